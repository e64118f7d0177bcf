"""No attack of the suite works against the environment in its container, by its HTTP interface.

What a program prints is one witness. The others stand outside of it: the engine's list of processes and of changed
files, a look at the container's folders, and the server, which must go on.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import docker
import envport
import httpx
import pytest
from envport_code.reports import MAX_OUTPUT_CHARS
from envport_code.shown import cut_middle
from envport_protocol.errors import EnvportError
from envport_registry import runner
from envport_registry.errors import RegistryError
from envport_registry.runner.docker import connect_engine
from envport_sandbox import Ending

from .attack_runner import (
    HONEST,
    STDIN,
    Trial,
    at_once,
    ending_faults,
    failures,
    judged,
    mixed,
    one_by_one,
    row_of,
    table,
)
from .attack_suite import PLANTED, PROBLEMS_UNDER_ATTACK, Attack, Control, escapes, load_attacks, load_controls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from envport.rollout import Rollout
    from envport_registry.runner import Running

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

ENVIRONMENT: Final = Path(__file__).parents[3] / "envs" / "code"
TOKEN: Final = f"{PLANTED}-of-the-trainer"
CPU_S: Final = 1.0
WALL_S: Final = 2 * CPU_S
OPTIONS: Final = {
    "problems": "problems",
    "data": "/app/env/under_attack.jsonl",
    "eval_share": 0.0,
    "cpu_s": CPU_S,
    "slots": 8,
}
MEMORY_GROWTH_MB: Final = 200
WITHOUT_A_FOLDER: Final = {"make_names_everywhere", "write_everywhere"}
"""`run_python` gives every program a folder, and these must have none."""
_ENDINGS: Final = {
    "(stopped: it ran longer": Ending.TIMEOUT,
    "(stopped: it needed more": Ending.MEMORY,
    "(stopped: it printed": Ending.OUTPUT_LIMIT,
    "(stopped: it had more": Ending.THREAD_LIMIT,
    "(its files were not kept": Ending.FILE_LIMIT,
    "(exit status": Ending.ERROR,
    "(ended by signal": Ending.ERROR,
}
_PLANT: Final = f"umask 022; for at in /tmp /var/lib/envport; do echo {PLANTED} > $at/canary.txt; done"
_LOOK: Final = """
import glob, json, os, pathlib, resource
files = {}
for top in ("/tmp", "/var/tmp", "/dev", "/run", "/slots", "/var/lib/envport", "/app"):
    for folder, _, names in os.walk(top):
        if folder.startswith(("/dev/pts", "/var/lib/envport/journal")):
            continue
        status = os.lstat(folder)
        files[folder] = [status.st_mode, status.st_uid]
        for name in names:
            it = os.lstat(f"{folder}/{name}")
            files[f"{folder}/{name}"] = [it.st_mode, it.st_uid, it.st_nlink, it.st_size, it.st_mtime_ns]
seen = {"files": files}
for at in ("/tmp", "/var/lib/envport"):
    seen[f"canary in {at}"] = pathlib.Path(at, "canary.txt").read_text()
for path in glob.glob("/proc/[0-9]*"):
    try:
        parent = pathlib.Path(path, "status").read_text().partition("PPid:")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        continue
    if path == "/proc/1" or parent != "0":  # The engine's own, as the health check, come and go with no parent here.
        seen[f"limits of {path}"] = pathlib.Path(path, "limits").read_text()
        seen[f"out of memory score of {path}"] = pathlib.Path(path, "oom_score_adj").read_text()
        seen[f"priority of {path}"] = os.getpriority(os.PRIO_PROCESS, int(path[6:]))
        seen[f"processors of {path}"] = sorted(os.sched_getaffinity(int(path[6:])))
print(json.dumps(seen))
"""


class Served:
    """The environment behind its server, in its container."""

    def __init__(self, client: envport.EnvClient, container: Any) -> None:
        self._client = client
        self._container = container

    async def attack(self, attack: Attack) -> Trial:
        """In a rollout of its own."""
        began = time.monotonic()
        try:
            if attack.kind == "answer":
                ending, faults = await self._answer(attack)
            else:
                ending, faults = await self._script(attack)
        except EnvportError as error:
            ending, faults = "failed", [f"{type(error).__name__}: {error}"]
        return Trial(attack.name, ending, time.monotonic() - began, tuple(faults))

    async def control(self, control: Control) -> Trial:
        began = time.monotonic()
        async with await self._rollout() as rollout:
            said = (await rollout.run_tool("run_python", _call(control.source, control.stdin))).text
        ending = ending_of(said)
        printed = cut_middle(control.stdout.decode(), MAX_OUTPUT_CHARS).rstrip("\n")
        right = ending is control.ending and (
            said == printed or said.startswith((f"{printed}\nstderr:\n", f"{printed}\n("))
        )
        return Trial(control.name, ending, time.monotonic() - began, () if right else (f"it says {said[-600:]!r}",))

    async def honest(self) -> list[str]:
        async with await self._rollout() as rollout:
            said = (await rollout.run_tool("run_python", {"code": HONEST})).text
        answer = await asyncio.to_thread(httpx.get, f"{self._client.url}/livez", trust_env=False)
        return [] if (said, answer.status_code) == ("42", 200) else [f"a plain program after it: {said!r}, {answer}"]

    async def traces(self) -> dict[str, Any]:
        return await asyncio.to_thread(self._traces)

    def changed_files(self) -> list[tuple[int, str]]:
        """Of the container's root, as the engine tells them; it takes its time."""
        return sorted((change["Kind"], change["Path"]) for change in self._container.diff() or [])

    def memory_mb(self) -> float:
        """What the container needs, without files that the kernel keeps for later."""
        used = self._container.stats(stream=False)["memory_stats"]
        kept = used["stats"].get("total_inactive_file", used["stats"].get("inactive_file", 0))
        return (used["usage"] - kept) / 2**20

    async def _rollout(self, task: str = "attack/calls") -> Rollout:
        return await self._client.start_rollout(task_id=task)

    async def _script(self, attack: Attack) -> tuple[str, list[str]]:
        async with await self._rollout() as rollout:
            began = time.monotonic()
            said = (await rollout.run_tool("run_python", _call(attack.source, STDIN))).text
            ending = ending_of(said)
            faults = escapes(said) + ending_faults(attack, ending, time.monotonic() - began, WALL_S)
            listing = (await rollout.run_tool("list_files")).text
            names = [line.lstrip().partition(" ")[2] for line in listing.splitlines() if listing != "(no files)"]
            for answer in await rollout.run_tools([("read_file", {"path": name}) for name in names]):
                faults += [f"in a file: {line}" for line in escapes(answer.text)]
        return ending, faults + escapes(listing)

    async def _answer(self, attack: Attack) -> tuple[str, list[str]]:
        async with await self._rollout(f"attack/{attack.problem}") as rollout:
            answer = await rollout.compute_reward(attack.completion)
        scores = {name: reward.score for name, reward in answer.rewards.items()}
        ending, _, faults = judged(scores, 0.0)
        return ending, list(faults)

    def _traces(self) -> dict[str, Any]:
        self._container.reload()
        state = self._container.attrs["State"]
        looked = self._container.exec_run(["python3", "-I", "-S", "-c", _LOOK])
        assert looked.exit_code == 0, looked.output
        return {
            **json.loads(looked.output),
            "processes": self._processes(),
            "started": state["StartedAt"],
            "state": [state["Status"], state["OOMKilled"], self._container.attrs["RestartCount"]],
        }

    def _processes(self) -> list[str]:
        """Their commands; what the engine starts beside the first process, as the health check, comes and goes."""
        first = str(self._container.attrs["State"]["Pid"])
        rows = self._container.top(ps_args="-eo pid,ppid,args")["Processes"]
        inside = {row[0] for row in rows}
        return sorted(row[2][:60] for row in rows if row[0] == first or row[1] in inside)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The environment's own folder with the problems under attack, and this suite for `attack_runner` inside."""
    try:
        connect_engine().close()
    except RegistryError as error:
        pytest.skip(str(error))
    home, folder = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("attacked") / "code"
    here, ignored = Path(__file__).parent, shutil.ignore_patterns("__pycache__")
    shutil.copytree(ENVIRONMENT, folder, ignore=ignored)
    rows = [json.dumps(row_of(problem)) + "\n" for problem in PROBLEMS_UNDER_ATTACK.values()]
    (folder / "under_attack.jsonl").write_text("".join(rows))
    (folder / "suite").mkdir()
    for name in ("attacks", "controls"):
        shutil.copytree(here / name, folder / "suite" / name, ignore=ignored)
    for name in ("attack_suite.py", "attack_runner.py"):
        shutil.copy(here / name, folder / "suite")
    started = runner.run(
        folder,
        home=home,
        runtime="docker",
        base_image=os.environ.get("ENVPORT_BASE_IMAGE", runner.DEFAULT_BASE_IMAGE),
        options=OPTIONS,
        tokens={"ENVPORT_TRAINER_TOKEN": TOKEN, "ENVPORT_AGENT_TOKEN": f"{PLANTED}-agent", "SECRET_TOKEN": PLANTED},
    )
    yield started
    runner.stop(started.run_id, home=home)


@pytest.fixture
async def served(running: Running) -> AsyncIterator[Served]:
    engine = docker.from_env(timeout=60)
    try:
        container = engine.containers.get(running.container)
        assert container.exec_run(["sh", "-c", _PLANT]).exit_code == 0
        async with envport.connect(running.url, token=TOKEN, retry_for_s=0) as client:
            yield Served(client, container)
    finally:
        engine.close()


async def test_no_attack_works_among_others_alone_or_after_them(served: Served):
    attacks = [attack for attack in load_attacks() if attack.name not in WITHOUT_A_FOLDER]
    memory_mb, changed_files = served.memory_mb(), served.changed_files()
    first = await at_once(served, mixed(attacks, load_controls()), seed=2)
    print(table(first))
    assert failures(first) == {}
    second = await one_by_one(served, attacks)
    print(table(second))
    assert failures(second) == {}
    assert served.changed_files() == changed_files
    assert served.memory_mb() < memory_mb + MEMORY_GROWTH_MB


async def test_no_script_works_without_a_folder_of_its_own(running: Running, served: Served):
    before = await served.traces()
    engine = docker.from_env(timeout=300)
    try:
        container = engine.containers.get(running.container)
        ran = container.exec_run(["/opt/envport/bin/python", "-B", "-m", "suite.attack_runner"], demux=True)
    finally:
        engine.close()
    stdout, stderr = ran.output
    assert ran.exit_code == 0, stderr
    trials = [Trial(**{**found, "faults": tuple(found["faults"])}) for found in json.loads(stdout)]
    print(table(trials))
    assert failures(trials) == {}
    assert await served.traces() == before


def ending_of(said: str) -> Ending:
    """How a program ended, by what the tool `run_python` says of it."""
    last = said.rpartition("\n")[2]
    return next((ending for words, ending in _ENDINGS.items() if last.startswith(words)), Ending.OK)


def _call(source: str, stdin: bytes) -> dict[str, str]:
    return {"code": source, "stdin": stdin.decode()}
