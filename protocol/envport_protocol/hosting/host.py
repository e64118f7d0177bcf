"""One environment behind the verbs of the protocol, without HTTP: requests in, bodies out."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import orjson

from envport_protocol.calling import NamedCall, env_boundary, invoke, thread_pool
from envport_protocol.conversation import completion_text, conversation
from envport_protocol.env import BaseEnv, overrides
from envport_protocol.errors import (
    CallTimeoutError,
    EnvDefinitionError,
    EnvFailedError,
    InvalidRequestError,
    ToolError,
    UnknownTaskError,
)
from envport_protocol.hosting.rollouts import RolloutStore, StoreLimits
from envport_protocol.hosting.taskbook import TaskBook, public_task
from envport_protocol.hosting.threads import ThreadPool
from envport_protocol.messages import (
    EndRolloutAnswer,
    ListToolsAnswer,
    Manifest,
    Message,
    StartRolloutAnswer,
    TaskPage,
)
from envport_protocol.results import run_tool_answer, tool_error_answer
from envport_protocol.rewards import REWARD_INPUTS, Scorer
from envport_protocol.task import EnvTask, as_messages
from envport_protocol.toolset import ToolSet

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from pydantic import BaseModel

    from envport_protocol.config import ServeConfig
    from envport_protocol.messages import (
        ComputeRewardRequest,
        EndRolloutRequest,
        ListToolsRequest,
        RunToolRequest,
        StartRolloutRequest,
        TasksRequest,
    )

_ROLLOUT_INPUTS = frozenset({"rollout_id", "task", "seed", "messages", "ground_truth", "metadata"})
_REWARD_CALL = "compute_reward"
_MAX_TOOL_ANSWER_BYTES = 2**20
"""It is kept until the rollout ends, and no model reads more."""


@dataclass(slots=True)
class RolloutState:
    """What the server knows of one rollout."""

    rollout_id: str
    seed: int
    tools: ToolSet
    task: EnvTask | None = None
    """None until the start found it."""
    messages: list[Message] = field(default_factory=list[Message])
    """Those it began with."""
    truth_is_ours: bool = False
    """The task is the environment's own, so no trainer may bring another ground truth."""
    is_begun: bool = False
    """The author's code was told of the rollout, so it must be told of its end."""


class Host:
    """Holds an environment and its rollouts. `prepare` must have finished before any verb is called.

    Raises:
        EnvDefinitionError: `env` is no BaseEnv, or one of its methods asks for what the server does not have.
    """

    def __init__(self, env: BaseEnv, config: ServeConfig) -> None:
        if not isinstance(env, BaseEnv):  # pyright: ignore[reportUnnecessaryIsInstance]
            kind = f"the class {cast('type', env).__name__}" if isinstance(env, type) else type(env).__name__
            raise EnvDefinitionError(f"expected an instance of a BaseEnv subclass, got {kind}")
        self.config = config
        self.name = config.name or type(env).__name__
        self._env = env
        self._pool = ThreadPool(config.max_threads)
        self._tasks = TaskBook(env)
        self._list_tools = NamedCall(env.list_tools, {"rollout_id"})
        self._compute_reward = NamedCall(env.compute_reward, REWARD_INPUTS)
        self._begin = NamedCall(env.start_rollout, _ROLLOUT_INPUTS) if overrides(env, "start_rollout") else None
        self._free = [
            NamedCall(getattr(env, name), {"rollout_id"})
            for name in ("end_rollout", "release_rollout")
            if overrides(env, name)
        ]
        self._tools = ToolSet(())
        self._scorer = Scorer(())
        self._system_prompt = ""
        self._manifest = b""
        self._store = RolloutStore[RolloutState](
            self._free_rollout,
            StoreLimits(
                max_rollouts=config.max_rollouts,
                idle_timeout_s=config.idle_timeout_s,
                end_timeout_s=config.call_timeout_s,
                max_calls=config.max_calls_per_rollout,
                max_tombstones=config.max_tombstones,
            ),
        )

    async def prepare(self) -> None:
        """Asks the environment once for its tools, rewards and tasks.

        Raises:
            EnvportError: what it gave cannot be served, or its code raised.
        """
        thread_pool.set(self._pool)
        if not self._list_tools.requires("rollout_id"):
            self._tools = await self._ask_tools({})
        with env_boundary("rewards"):
            self._scorer = Scorer(await invoke(self._env.rewards, {}), self.config.reward_weights)
        self._system_prompt = await self._ask_system_prompt()
        await self._tasks.open()
        self._manifest = _encode(
            Manifest(
                name=self.name,
                version=self.config.version,
                summary=self.config.summary,
                licence=self.config.licence,
                digest=self.config.digest,
                capabilities=self._capabilities(),
                tools=self._tools.specs,
                rewards=self._scorer.specs,
                splits=self._tasks.splits,
                limits=self.config.limits,
            )
        )

    def use_threads(self) -> None:
        """Blocking methods called from this context run in the host's own pool."""
        thread_pool.set(self._pool)

    async def manifest(self) -> bytes:
        """The body of `GET /v1/manifest`."""
        return self._manifest

    async def tasks(self, request: TasksRequest) -> bytes:
        """The body of `GET /v1/tasks`."""
        try:
            async with asyncio.timeout(self.config.call_timeout_s):
                with _blame_env("tasks", UnknownTaskError):
                    tasks, total = await self._tasks.page(request.split, request.offset, request.limit)
        except TimeoutError:  # the environment's own would have become EnvFailedError
            raise CallTimeoutError(
                f"tasks did not come within the deadline of {self.config.call_timeout_s:g} s"
            ) from None
        page = [
            public_task(task, request.split, index, self._first_messages(task))
            for index, task in enumerate(tasks, request.offset)
        ]
        with _blame_env("tasks"):
            return _encode(TaskPage(tasks=page, total=total, offset=request.offset))

    async def start_rollout(self, request: StartRolloutRequest) -> bytes:
        """The body of `POST /v1/start_rollout`."""

        async def work(state: RolloutState) -> bytes:
            with _blame_env("start_rollout", UnknownTaskError):
                task = await self._task(request)
            with _blame_env("start_rollout"):
                return await self._start(state, task, is_ours=request.messages is None)

        return await self._store.start(
            request.rollout_id,
            fingerprint(request.model_dump(mode="json")),
            lambda: RolloutState(request.rollout_id, request.seed, self._tools),
            work,
            self.config.call_timeout_s,
        )

    async def list_tools(self, request: ListToolsRequest) -> bytes:
        """The body of `POST /v1/list_tools`."""
        tools = self._tools if request.rollout_id is None else (await self._store.state(request.rollout_id)).tools
        return _encode(ListToolsAnswer(tools=tools.specs))

    async def run_tool(self, request: RunToolRequest) -> bytes:
        """The body of `POST /v1/run_tool`."""

        async def work(state: RolloutState) -> bytes:
            with _blame_env(f"tool {request.tool_name!r}"):
                return await self._run_tool(state, request)

        limit_s = self.config.call_timeout_s
        return await self._store.call(
            request.rollout_id,
            f"run_tool {request.call_id}",
            fingerprint([request.tool_name, request.arguments]),
            work,
            min(request.timeout_s, limit_s) if request.timeout_s else limit_s,
        )

    async def compute_reward(self, request: ComputeRewardRequest) -> bytes:
        """The body of `POST /v1/compute_reward`."""

        async def work(state: RolloutState) -> bytes:
            if request.ground_truth is not None and state.truth_is_ours:
                raise InvalidRequestError(
                    "ground_truth was sent for one of the environment's own tasks, whose answer the server knows; "
                    "leave it out"
                )
            with _blame_env("compute_reward"):
                return await self._score(state, request)

        return await self._store.call(
            request.rollout_id,
            _REWARD_CALL,
            fingerprint(request.model_dump(mode="json")),
            work,
            self.config.call_timeout_s,
        )

    async def end_rollout(self, request: EndRolloutRequest) -> bytes:
        """The body of `POST /v1/end_rollout`."""
        await self._store.end(request.rollout_id)
        return _encode(EndRolloutAnswer(rollout_id=request.rollout_id))

    async def sweep(self) -> None:
        """Ends idle rollouts, for ever."""
        self.use_threads()
        while True:
            await asyncio.sleep(min(30.0, self.config.idle_timeout_s / 4))
            await self._store.expire_idle()

    async def close(self) -> None:
        """Ends all rollouts and lets the threads go."""
        self.use_threads()
        await self._store.close()
        self._pool.shutdown()

    async def _start(self, state: RolloutState, task: EnvTask, *, is_ours: bool) -> bytes:
        state.task = task
        state.truth_is_ours = is_ours
        state.messages = self._first_messages(task)
        state.is_begun = True
        if overrides(self._env, "init_rollout"):
            await invoke(self._env.init_rollout, {**task.init_args, "rollout_id": state.rollout_id})
        if self._begin is not None:
            messages = await self._begin(self._inputs(state))
            if messages is not None:
                state.messages = [*as_messages(messages)]
        if self._list_tools.asks_for("rollout_id"):
            state.tools = await self._ask_tools({"rollout_id": state.rollout_id})
        return _encode(
            StartRolloutAnswer(
                rollout_id=state.rollout_id,
                task_id=task.task_id or None,
                messages=state.messages,
                tools=state.tools.specs,
                idle_timeout_s=self.config.idle_timeout_s,
            )
        )

    async def _task(self, request: StartRolloutRequest) -> EnvTask:
        if request.messages is not None:
            return EnvTask(messages=request.messages, ground_truth=request.ground_truth)
        if request.task_id is not None:
            return await self._tasks.find(request.task_id)
        return await self._tasks.at(request.split or "", request.index or 0)

    async def _run_tool(self, state: RolloutState, request: RunToolRequest) -> bytes:
        try:
            state.tools.check(request.tool_name, request.arguments)
            names = {"rollout_id": state.rollout_id, "tool_name": request.tool_name}
            answer = run_tool_answer(await invoke(self._env.run_tool, names | request.arguments))
        except ToolError as error:
            answer = tool_error_answer(str(error))
        body = _encode(answer)
        if len(body) > _MAX_TOOL_ANSWER_BYTES:
            raise EnvFailedError(
                f"tool {request.tool_name!r} answered {len(body)} bytes as JSON; the most is {_MAX_TOOL_ANSWER_BYTES}. "
                "Have it give less, such as a page"
            )
        return body

    async def _score(self, state: RolloutState, request: ComputeRewardRequest) -> bytes:
        inputs = self._inputs(state)
        if request.ground_truth is not None:
            inputs["ground_truth"] = request.ground_truth
            inputs["task"] = EnvTask(messages=inputs["task"].messages, ground_truth=request.ground_truth)
        inputs["completion"] = completion_text(request.completion)
        inputs["messages"] = conversation(state.messages, request.completion)
        return _encode(self._scorer.answer(await self._compute_reward(inputs)))

    def _inputs(self, state: RolloutState) -> dict[str, Any]:
        task = state.task
        if task is None:
            raise EnvFailedError(f"the rollout {state.rollout_id!r} has no task yet")
        return {
            "rollout_id": state.rollout_id,
            "seed": state.seed,
            "task": task,
            "messages": [message.model_dump(exclude_none=True) for message in state.messages],
            "ground_truth": task.ground_truth,
            "metadata": task.metadata,
        }

    async def _free_rollout(self, state: RolloutState) -> None:
        if not state.is_begun:
            return
        with _blame_env("end_rollout"):
            for free in self._free:
                await free({"rollout_id": state.rollout_id})

    async def _ask_tools(self, inputs: dict[str, Any]) -> ToolSet:
        raw = await self._list_tools(inputs)
        if not isinstance(raw, list | tuple):
            raise EnvDefinitionError(f"{self._list_tools.what} gave {type(raw).__name__}; expected a list of tools")
        return ToolSet(cast("Sequence[Any]", raw))

    async def _ask_system_prompt(self) -> str:
        prompt: Any = self._env.system_prompt
        with env_boundary("system_prompt"):
            text = await invoke(prompt, {}) if callable(prompt) else prompt
        return "" if text is None else str(text)

    def _first_messages(self, task: EnvTask) -> list[Message]:
        messages = cast("Sequence[Message]", task.messages)
        if not self._system_prompt or any(message.role == "system" for message in messages):
            return [*messages]
        return [Message(role="system", content=self._system_prompt), *messages]

    def _capabilities(self) -> list[str]:
        has = {
            "tasks": bool(self._tasks.splits),
            "tools": bool(self._tools.specs),
            "oracle": hasattr(self._env, "oracle"),
        }
        return [name for name, present in has.items() if present]


@contextmanager
def _blame_env(what: str, *passing: type[Exception]) -> Generator[None]:
    """While a rollout runs, whatever is raised is the environment's failure, but for the types in `passing`."""
    try:
        with env_boundary(what, *passing):
            yield
    except ToolError as error:
        raise EnvFailedError(f"{what} raised ToolError, which only a tool may") from error
    except EnvDefinitionError as error:
        raise EnvFailedError(f"{what}: {error}") from error


def fingerprint(arguments: Any) -> bytes:
    """Equal for equal JSON values, whatever the order of keys."""
    canonical = orjson.dumps(arguments, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(canonical, digest_size=16).digest()


def _encode(answer: BaseModel) -> bytes:
    return answer.__pydantic_serializer__.to_json(answer)
