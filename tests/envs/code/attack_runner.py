"""Runs the attack suite: each program alone or many at once, and looks at what they changed from outside of them.

`Here` runs it on the sandbox of this process. `python -m PACKAGE.attack_runner` does so with the scripts, without any
test tool, and prints what came of it as JSON: so they run inside of an environment's container.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import dataclasses
import json
import os
import random
import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from envport_code.grading.grade import UngradedError
from envport_code.grading.grader import Grader
from envport_code.problem import CallCase, CodeCase, SessionCase, StdinCase
from envport_code.scoring import Scorer
from envport_code.workspace import QUOTA
from envport_sandbox import Limits, Sandbox
from envport_sandbox.isolation import ZygoteIsolation

from .attack_suite import PLANTED, PROBLEMS_UNDER_ATTACK, Attack, Control, escapes, load_attacks, load_controls

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Sequence

    from envport_code.problem import Case, Problem
    from envport_sandbox import Result

LIMITS: Final = Limits(cpu_s=1, wall_s=1)
LATE_S: Final = 2.0
"""Seconds after its deadline by which a program's end must be told."""
STDIN: Final = b"1 2\n" * 25_000
"""For attacks: more than a pipe holds, so that who writes it could be held up."""
AT_ONCE: Final = 8
HONEST: Final = "print(6 * 7)"
_PR_SET_CHILD_SUBREAPER: Final = 36
_SHARED: Final = ("/", "/tmp", "/var/tmp", "/dev/shm", "/run", str(Path.home()))
_LIMITS_OF_A_PROCESS: Final = sorted(name for name in vars(resource) if name.startswith("RLIMIT_"))
_STATUS: Final = ("Umask", "TracerPid", "NoNewPrivs", "Seccomp", "Cpus_allowed_list", "Groups")


@dataclass(frozen=True, slots=True)
class Trial:
    """One program of the suite, run."""

    name: str
    ending: str
    seconds: float
    faults: tuple[str, ...] = ()
    """Why it does not hold; empty: it does."""


class Target(Protocol):
    """Something that the suite is run against."""

    async def attack(self, attack: Attack) -> Trial: ...

    async def control(self, control: Control) -> Trial: ...

    async def honest(self) -> list[str]:
        """What is wrong with a plain program now."""
        ...

    async def traces(self) -> dict[str, Any]:
        """What a program could have changed, and none may."""
        ...


async def one_by_one(target: Target, attacks: Sequence[Attack]) -> list[Trial]:
    """Each attack alone, and after it a look at what it changed, and a plain program."""
    trials: list[Trial] = []
    before = await target.traces()
    for attack in attacks:
        trial = await target.attack(attack)
        after = await target.traces()
        found = [*trial.faults, *changes(before, after), *await target.honest()]
        trials.append(dataclasses.replace(trial, faults=tuple(found)))
        before = after
    return trials


async def at_once(target: Target, programs: Sequence[Attack | Control], seed: int) -> list[Trial]:
    """All in an order by `seed`, eight at a time. What they changed together is a trial of its own."""
    order = random.Random(seed).sample(programs, len(programs))
    room = asyncio.Semaphore(AT_ONCE)

    async def run(program: Attack | Control) -> Trial:
        async with room:
            return await (target.attack(program) if isinstance(program, Attack) else target.control(program))

    before = await target.traces()
    trials = await asyncio.gather(*map(run, order))
    found = [*changes(before, await target.traces()), *await target.honest()]
    return [*trials, Trial("what all of them left", "", 0.0, tuple(found))]


def mixed(attacks: Sequence[Attack], controls: Sequence[Control]) -> list[Attack | Control]:
    """Every attack once, and so often each control that there are about as many of them."""
    return [*attacks, *list(controls) * (len(attacks) // len(controls))]


def failures(trials: Iterable[Trial]) -> dict[str, tuple[str, ...]]:
    """The faults by program; empty where all hold."""
    return {trial.name: trial.faults for trial in trials if trial.faults}


def table(trials: Iterable[Trial]) -> str:
    """Name, ending and seconds of each, a line a program."""
    lines = [f"{trial.name:<42} {trial.ending:<24} {trial.seconds:7.2f} s" for trial in trials]
    return "\n".join(["", f"{'program':<42} {'ending':<24} {'time':>7}", *lines])


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """In words, what is not as it was."""
    return [
        f"changed: {name}: {_difference(before.get(name), after.get(name))}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def row_of(problem: Problem) -> dict[str, Any]:
    """A problem in the form of `envport_code.loaders.problems`; its reference holds the planted secret."""
    return {
        "id": problem.problem_id,
        "statement": problem.statement,
        "entry": list(problem.entry),
        "visible": [_case_row(case) for case in problem.visible],
        "hidden": [_case_row(case) for case in problem.hidden],
        "reference": f"# {PLANTED}\n{problem.reference}",
        "case_timeout_s": problem.case_timeout_s,
    }


class Here:
    """The sandbox of this process, without a server around it."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        """`folder` holds the planted file."""
        self._sandbox = sandbox
        self._folder = folder
        self._scorer = Scorer(Grader(sandbox), style=False)
        isolation = sandbox._isolation
        assert isinstance(isolation, ZygoteIsolation)
        self._isolation = isolation

    async def attack(self, attack: Attack) -> Trial:
        """Answers are graded; others are run twice, so that the second finds what the first left."""
        if attack.kind == "answer":
            return await self._answer(attack)
        files: dict[str, bytes] | None = {} if attack.kind == "folder" else None
        began = time.monotonic()
        faults: list[str] = []
        endings: list[str] = []
        for _ in range(2):
            started = time.monotonic()
            result = await self._sandbox.run(attack.source, stdin=STDIN, limits=LIMITS, files=files, turn=attack.name)
            faults += escapes(result.stdout, result.stderr) + left_faults(result)
            faults += ending_faults(attack, result.ending, time.monotonic() - started, LIMITS.wall_s)
            endings.append(str(result.ending))
        return Trial(attack.name, ", ".join(dict.fromkeys(endings)), time.monotonic() - began, tuple(faults))

    async def control(self, control: Control) -> Trial:
        files: dict[str, bytes] | None = {} if control.kind == "folder" else None
        began = time.monotonic()
        result = await self._sandbox.run(control.source, stdin=control.stdin, files=files, turn=control.name)
        wrong: list[str] = []
        if (result.ending, result.stdout) != (control.ending, control.stdout):
            wrong = [f"{result.ending}: {result.stdout[-200:]!r} {result.stderr[-500:]!r} {result.detail}"]
        return Trial(control.name, str(result.ending), time.monotonic() - began, tuple(wrong))

    async def honest(self) -> list[str]:
        result = await self._sandbox.run(HONEST)
        return [] if result.stdout == b"42\n" else [f"a plain program after it: {result}"]

    async def traces(self) -> dict[str, Any]:
        zygote = self._isolation.zygote_pid
        assert zygote is not None
        found: dict[str, Any] = {
            "processes": {pid: _words_of(pid) for pid in _descendants(os.getpid())},
            "files": {**_files(self._folder), **_names_in_shared_folders()},
            "planted file": (self._folder / "secret.txt").read_text("utf-8"),
        }
        scratch = self._isolation._scratch
        assert scratch is not None
        slots = [scratch.folder(number).path for number in range(self._sandbox.slots.count)]
        found["slots"] = {str(slot): _files(slot) for slot in slots}
        for name, pid in (("server", os.getpid()), ("zygote", zygote)):
            found[f"limits of the {name}"] = {
                limit: resource.prlimit(pid, getattr(resource, limit)) for limit in _LIMITS_OF_A_PROCESS
            }
            found[f"standing of the {name}"] = _standing(pid)
            with contextlib.suppress(PermissionError):
                found[f"open descriptors of the {name}"] = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        return found

    async def _answer(self, attack: Attack) -> Trial:
        assert attack.problem is not None
        began = time.monotonic()
        try:
            scores = await self._scorer.score(PROBLEMS_UNDER_ATTACK[attack.problem], attack.completion, attack.name)
        except UngradedError as error:
            return Trial(attack.name, "ungraded", time.monotonic() - began, (f"ungraded: {error}",))
        plain = {name: result.score for name, result in scores.items()}
        return Trial(attack.name, *judged(plain, time.monotonic() - began))


@contextlib.asynccontextmanager
async def here(folder: Path) -> AsyncGenerator[Here]:
    """A sandbox in a process that has secrets: in its environment, its memory and a file of `folder`."""
    memory = [PLANTED.encode() * 3, bytearray(PLANTED, "utf-8")]
    (folder / "secret.txt").write_text(PLANTED)
    (folder / "secret.txt").chmod(0o644)
    had = os.environ.get("SECRET_TOKEN")
    os.environ["SECRET_TOKEN"] = PLANTED
    _adopt_orphans(True)
    try:
        async with Sandbox(slots=AT_ONCE, quota=QUOTA, secret_file=folder / "secret.txt") as sandbox:
            # The zygote keeps what it once made for a slot's folder.
            await asyncio.gather(*(sandbox.run(HONEST, files={}, turn=str(turn)) for turn in range(AT_ONCE)))
            yield Here(sandbox, folder)
    finally:
        _adopt_orphans(False)
        del memory
        if had is None:
            del os.environ["SECRET_TOKEN"]
        else:
            os.environ["SECRET_TOKEN"] = had


def judged(scores: dict[str, float], seconds: float) -> tuple[str, float, tuple[str, ...]]:
    """The ending, time and faults of an answer that was graded so."""
    passed, everything = scores["tests_passed"], scores["all_passed"]
    return f"{passed:g} passed", seconds, () if passed == everything == 0 else (f"graded {scores}",)


def ending_faults(attack: Attack, ending: Any, seconds: float, wall_s: float) -> list[str]:
    """What is wrong with how and when an attack ended."""
    found = [] if attack.allows(ending) else [f"it ended by {ending}, and not by {'/'.join(attack.ends) or 'itself'}"]
    return [*found, f"its end was told after {seconds:.1f} s"] if seconds > wall_s + LATE_S else found


def left_faults(result: Result) -> list[str]:
    """What of the files that a program left it cannot have had."""
    return [f"in {path}: {line}" for path, content in result.files.items() for line in escapes(content, path)]


def _case_row(case: Case) -> dict[str, Any]:
    match case:
        case CallCase():
            return {"args": list(case.args), "kwargs": dict(case.kwargs), "gives": case.expected.any_of[0]}
        case SessionCase():
            return {"session": [_step_row(step) for step in case.steps]}
        case StdinCase():
            return {"stdin": case.stdin, "stdout": case.stdout}
        case CodeCase():
            return {"code": case.source}


def _step_row(step: Any) -> dict[str, Any]:
    gives = {} if step.expected is None else {"gives": step.expected.any_of[0]}
    if not step.name:
        return {"new": list(step.args)}
    return {"get": step.name, **gives} if step.args is None else {"do": step.name, "args": list(step.args), **gives}


def _difference(before: Any, after: Any) -> str:
    if isinstance(before, dict) and isinstance(after, dict):
        keys = [key for key in sorted(before.keys() | after.keys(), key=str) if before.get(key) != after.get(key)]
        return "; ".join(f"{key}: {before.get(key)} -> {after.get(key)}" for key in keys)[:600]
    return f"{before} -> {after}"[:600]


def _adopt_orphans(wanted: bool) -> None:
    """Whether a process whose parent is gone becomes a child of this one, where it is seen."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(wanted), 0, 0, 0)


def _descendants(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (folder / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    found, waiting = [], [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return sorted(found)


def _words_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace").replace("\0", " ")[:80]
    return "gone"


def _files(folder: Path) -> dict[str, tuple[int, ...]]:
    """Mode, links, size and time of change of all below it and of itself."""
    found: dict[str, tuple[int, ...]] = {}
    for path in (folder, *folder.rglob("*")):
        status = path.lstat()
        times = () if path.is_dir() else (status.st_size, status.st_mtime_ns)
        found[str(path)] = (status.st_mode, status.st_nlink, status.st_uid, *times)
    return found


def _names_in_shared_folders() -> dict[str, str]:
    """Others write there meanwhile; the attacks' files tell their name."""
    names = [str(path) for folder in _SHARED for path in Path(folder).glob("*attack*")]
    return dict.fromkeys(names, "there")


def _standing(pid: int) -> dict[str, Any]:
    lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    return {
        **{name: status.get(name) for name in _STATUS},
        "nice": os.getpriority(os.PRIO_PROCESS, pid),
        "out of memory": Path(f"/proc/{pid}/oom_score_adj").read_text("utf-8").strip(),
        "working folder": str(Path.cwd()),
    }


async def _main(folder: Path) -> list[Trial]:
    scripts = [attack for attack in load_attacks() if attack.kind == "script"]
    async with here(folder) as target:
        return await at_once(target, mixed(scripts, load_controls()), seed=1)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        print(json.dumps([dataclasses.asdict(trial) for trial in asyncio.run(_main(Path(temporary)))]))
