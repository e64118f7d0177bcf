"""One environment behind the verbs of the protocol, without HTTP: requests in, bodies out."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import orjson

from envport_protocol.calling import NamedCall, env_boundary, invoke, rollout_boundary, thread_pool
from envport_protocol.env import BaseEnv, overrides
from envport_protocol.errors import (
    EnvDefinitionError,
    EnvFailedError,
    InvalidRequestError,
    ToolError,
    UnknownTaskError,
    UnsupportedError,
)
from envport_protocol.hosting.journal import Journal
from envport_protocol.hosting.observer import NullObserver
from envport_protocol.hosting.replay import TOOL_CALL, Replay, StartRecord, canonical, digest, replay
from envport_protocol.hosting.rollout_key import RolloutKey
from envport_protocol.hosting.rollouts import Job, RolloutStore, StoreLimits
from envport_protocol.hosting.scoring import Scoring, check_truth
from envport_protocol.hosting.state import RolloutState
from envport_protocol.hosting.stored_call import ToolErrorBody, too_late
from envport_protocol.hosting.taskbook import TaskBook, public_task
from envport_protocol.hosting.threads import ThreadPool
from envport_protocol.messages import (
    CancelAnswer,
    EndRolloutAnswer,
    ListToolsAnswer,
    Manifest,
    Message,
    OpenRollout,
    OpenRollouts,
    StartRolloutAnswer,
    TaskPage,
)
from envport_protocol.results import tool_body, tool_error_answer
from envport_protocol.task import EnvTask, as_messages
from envport_protocol.toolset import ToolSet

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence

    from pydantic import BaseModel

    from envport_protocol.config import ServeConfig
    from envport_protocol.hosting.observer import Observer
    from envport_protocol.messages import (
        CancelRequest,
        ComputeGroupRewardRequest,
        ComputeRewardRequest,
        EndRolloutRequest,
        ForkRolloutRequest,
        ListToolsRequest,
        RunToolRequest,
        StartRolloutRequest,
        TasksRequest,
    )

_ROLLOUT_INPUTS = frozenset({"rollout_id", "task", "seed", "messages", "ground_truth", "metadata"})
_REWARD_CALL = "compute_reward"
_GROUP_CALL = "compute_group_reward "
_MAX_TOOL_ANSWER_BYTES = 2**20
"""It is kept until the rollout ends, and no model reads more."""
_MAX_SHOWN = 1000


class Counts(NamedTuple):
    """What a server holds and does at this moment."""

    rollouts: int
    max_rollouts: int
    queued: int
    """Starts that wait for room."""
    max_queued: int
    running: int
    """Calls that run."""
    threads_busy: int
    """Blocking methods that run."""
    max_threads: int
    journal_bytes: int


class Host:
    """Holds an environment and its rollouts. `prepare` must have finished before any verb is called.

    Raises:
        EnvDefinitionError: `env` is no BaseEnv, or one of its methods asks for what the server does not have.
    """

    def __init__(
        self, env: BaseEnv, config: ServeConfig, observer: Observer | None = None, *, serves: Sequence[str] = ()
    ) -> None:
        if not isinstance(env, BaseEnv):  # pyright: ignore[reportUnnecessaryIsInstance]
            kind = f"the class {cast('type', env).__name__}" if isinstance(env, type) else type(env).__name__
            raise EnvDefinitionError(f"expected an instance of a BaseEnv subclass, got {kind}")
        self.config = config
        self.name = config.name or type(env).__name__
        self.observer = observer or NullObserver()
        self._env = env
        self._serves = serves
        self._pool = ThreadPool(config.max_threads)
        self._tasks = TaskBook(env)
        self._scoring = Scoring(env, config.reward_weights)
        self._list_tools = NamedCall(env.list_tools, {"rollout_id"})
        self._begin = NamedCall(env.start_rollout, _ROLLOUT_INPUTS) if overrides(env, "start_rollout") else None
        self._get_state, self._set_state = _native_fork(env)
        self._free = [
            NamedCall(getattr(env, name), {"rollout_id"})
            for name in ("end_rollout", "release_rollout")
            if overrides(env, name)
        ]
        self._tools = ToolSet(())
        self._system_prompt = ""
        self._manifest = b""
        self._journal = _open_journal(self.name, config)
        self.key = RolloutKey(_rollout_secret(config, self._journal))
        self._store = RolloutStore[RolloutState](
            self._free_rollout,
            StoreLimits(
                max_rollouts=config.max_rollouts,
                max_queued=config.max_queued,
                queue_timeout_s=config.queue_timeout_s,
                max_running_calls=config.max_running_calls,
                idle_timeout_s=config.idle_timeout_s,
                orphan_grace_s=config.orphan_grace_s,
                end_timeout_s=config.call_timeout_s,
                max_calls=config.max_calls_per_rollout,
                max_tombstones=config.max_tombstones,
            ),
            before=self._replay(),
            observer=self.observer,
        )

    async def prepare(self) -> None:
        """Asks the environment once for its tools, rewards and tasks.

        Raises:
            EnvportError: what it gave cannot be served, or its code raised.
        """
        thread_pool.set(self._pool)
        if not self._list_tools.requires("rollout_id"):
            self._tools = await self._ask_tools({})
        rewards = await self._scoring.open()
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
                rewards=rewards,
                splits=self._tasks.splits,
                limits=self.config.limits,
            )
        )

    def counts(self) -> Counts:
        """What the server holds and does now."""
        return Counts(
            rollouts=len(self._store),
            max_rollouts=self.config.max_rollouts,
            queued=self._store.queued,
            max_queued=self.config.max_queued,
            running=self._store.running,
            threads_busy=self._pool.busy,
            max_threads=self.config.max_threads,
            journal_bytes=0 if self._journal is None else self._journal.size_bytes,
        )

    def use_threads(self) -> None:
        """Blocking methods called from this context run in the host's own pool."""
        thread_pool.set(self._pool)

    async def manifest(self) -> bytes:
        """The body of `GET /v1/manifest`."""
        return self._manifest

    async def tasks(self, request: TasksRequest) -> bytes:
        """The body of `GET /v1/tasks`."""
        async with _within(self.config.call_timeout_s, "tasks"):
            with rollout_boundary("tasks", UnknownTaskError):
                tasks, total = await self._tasks.page(request.split, request.offset, request.limit)
        page = [
            public_task(task, request.split, index, self._first_messages(task))
            for index, task in enumerate(tasks, request.offset)
        ]
        with rollout_boundary("tasks"):
            return _encode(TaskPage(tasks=page, total=total, offset=request.offset))

    async def start_rollout(self, request: StartRolloutRequest) -> bytes:
        """The body of `POST /v1/start_rollout`."""

        async def work(state: RolloutState) -> bytes:
            return await self._start(state, request)

        return await self._new_rollout(request.rollout_id, request, work, "start_rollout")

    async def fork_rollout(self, request: ForkRolloutRequest) -> bytes:
        """The body of `POST /v1/fork_rollout`."""
        if request.new_rollout_id == request.rollout_id:
            raise InvalidRequestError("new_rollout_id is the rollout itself; a fork needs an id of its own")

        async def work(state: RolloutState) -> bytes:
            return await self._fork(await self._store.state(request.rollout_id), state)

        return await self._new_rollout(request.new_rollout_id, request, work, "fork_rollout")

    async def list_tools(self, request: ListToolsRequest) -> bytes:
        """The body of `POST /v1/list_tools`."""
        tools = self._tools if request.rollout_id is None else (await self._store.state(request.rollout_id)).tools
        return _encode(ListToolsAnswer(tools=tools.specs))

    async def run_tool(self, request: RunToolRequest) -> bytes:
        """The body of `POST /v1/run_tool`."""
        tool_name, arguments = request.tool_name, request.arguments

        async def work(state: RolloutState) -> bytes:
            return await self._run_tool(state, tool_name, arguments)

        limit_s = self.config.call_timeout_s
        asked = canonical([tool_name, arguments])
        return await self._store.run(
            request.rollout_id,
            Job(
                TOOL_CALL + request.call_id,
                digest(asked),
                work,
                min(request.timeout_s, limit_s) if request.timeout_s else limit_s,
                asked if self._env.deterministic else b"",
                "run_tool",
                tool_name,
            ),
        )

    async def compute_reward(self, request: ComputeRewardRequest) -> bytes:
        """The body of `POST /v1/compute_reward`."""

        async def work(state: RolloutState) -> bytes:
            check_truth(state, request.ground_truth)
            with rollout_boundary("compute_reward"):
                return _encode(await self._scoring.score(state, request.completion, request.ground_truth))

        fingerprint = digest(canonical(request.model_dump(mode="json")))
        return await self._store.run(
            request.rollout_id,
            Job(_REWARD_CALL, fingerprint, work, self.config.call_timeout_s, fingerprint, "compute_reward"),
        )

    async def compute_group_reward(self, request: ComputeGroupRewardRequest) -> bytes:
        """The body of `POST /v1/compute_group_reward`. Run as a call of the first member."""
        first, *others = [member.rollout_id for member in request.members]
        if len({first, *others}) != len(request.members):
            raise InvalidRequestError("a rollout is twice in the group; name each once")

        async def work(_: RolloutState) -> bytes:
            states = [await self._store.state(member.rollout_id) for member in request.members]
            for state, member in zip(states, request.members, strict=True):
                check_truth(state, member.ground_truth)
            with rollout_boundary("compute_group_reward"):
                return _encode(await self._scoring.score_group(states, request.members))

        fingerprint = digest(canonical(request.model_dump(mode="json")))
        key = _GROUP_CALL + request.group_id
        job = Job(key, fingerprint, work, self.config.call_timeout_s, fingerprint, "compute_group_reward")
        return await self._store.run(first, job, others)

    async def cancel(self, request: CancelRequest) -> bytes:
        """The body of `POST /v1/cancel`."""
        cancelled = await self._store.cancel(request.rollout_id, TOOL_CALL + request.call_id)
        return _encode(CancelAnswer(rollout_id=request.rollout_id, call_id=request.call_id, cancelled=cancelled))

    async def end_rollout(self, request: EndRolloutRequest) -> bytes:
        """The body of `POST /v1/end_rollout`."""
        await self._store.end(request.rollout_id)
        return _encode(EndRolloutAnswer(rollout_id=request.rollout_id))

    async def open_rollouts(self) -> bytes:
        """The body of `GET /v1/rollouts`."""
        held = self._store.held()
        shown = [
            OpenRollout(
                rollout_id=one.rollout_id,
                task_id=one.state.task.task_id or None if one.state.task else None,
                age_s=one.age_s,
                idle_s=one.idle_s,
                calls=one.calls,
                running=one.running,
            )
            for one in held[:_MAX_SHOWN]
        ]
        return _encode(OpenRollouts(rollouts=shown, total=len(held), queued=self._store.queued))

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
        if self._journal is not None:
            self._journal.close()

    async def _new_rollout(
        self,
        rollout_id: str,
        request: BaseModel,
        work: Callable[[RolloutState], Coroutine[object, object, bytes]],
        verb: str,
    ) -> bytes:
        fingerprint = digest(canonical(request.model_dump(mode="json")))

        def record(state: RolloutState) -> bytes:
            # Of an environment that cannot replay, the journal keeps that there was a rollout, and nothing of it.
            is_kept = self._journal is not None and self._env.deterministic
            return StartRecord(fingerprint, state.start).to_bytes() if is_kept else b""

        return await self._store.start(
            rollout_id,
            fingerprint,
            lambda: RolloutState(rollout_id, self._tools),
            work,
            self.config.call_timeout_s,
            record=record,
            verb=verb,
        )

    async def _start(self, state: RolloutState, request: StartRolloutRequest) -> bytes:
        state.start = request
        with rollout_boundary("start_rollout", UnknownTaskError):
            task = state.task = await self._task(request)
        with rollout_boundary("start_rollout"):
            state.messages = self._first_messages(task)
            state.is_begun = True
            if overrides(self._env, "init_rollout"):
                await invoke(self._env.init_rollout, {**task.init_args, "rollout_id": state.rollout_id})
            if self._begin is not None:
                messages = await self._begin(state.inputs())
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
                    token=self.key.token(state.rollout_id),
                )
            )

    async def _fork(self, source: RolloutState, state: RolloutState) -> bytes:
        get_state, set_state = self._get_state, self._set_state
        is_native = get_state is not None and set_state is not None
        if not is_native and not self._env.deterministic:
            raise UnsupportedError(
                f"{self.name} cannot fork a rollout: it has neither get_state and set_state, nor `deterministic = "
                "True`. Start another rollout of the task instead"
            )
        answer = await self._start(state, source.start)
        calls = await self._store.finished(source.rollout_id, TOOL_CALL)
        if get_state is not None and set_state is not None:
            with rollout_boundary("fork_rollout"):
                held = await get_state({"rollout_id": source.rollout_id})
                await set_state({"rollout_id": state.rollout_id, "state": held})
        else:
            await replay(calls, lambda request: self._run_again(state, request))
        self._store.adopt(state.rollout_id, calls)
        return answer

    async def _begin_again(self, rollout_id: str, start: StartRolloutRequest) -> tuple[RolloutState, bytes]:
        state = RolloutState(rollout_id, self._tools)
        async with _within(self.config.call_timeout_s, "start_rollout"):
            return state, await self._start(state, start)

    async def _run_again(self, state: RolloutState, request: bytes) -> bytes:
        tool_name, arguments = orjson.loads(request)
        async with _within(self.config.call_timeout_s, f"tool {tool_name!r}"):
            return await self._run_tool(state, tool_name, arguments)

    def _replay(self) -> Replay | None:
        if self._journal is None:
            return None
        return Replay(
            self._journal,
            is_deterministic=self._env.deterministic,
            begin=self._begin_again,
            run=self._run_again,
            let_go=self._free_rollout,
        )

    async def _task(self, request: StartRolloutRequest) -> EnvTask:
        if request.messages is not None:
            return EnvTask(messages=request.messages, ground_truth=request.ground_truth)
        if request.task_id is not None:
            return await self._tasks.find(request.task_id)
        return await self._tasks.at(request.split or "", request.index or 0)

    async def _run_tool(self, state: RolloutState, tool_name: str, arguments: dict[str, Any]) -> bytes:
        with rollout_boundary(f"tool {tool_name!r}"):
            try:
                state.tools.check(tool_name, arguments)
                names = {"rollout_id": state.rollout_id, "tool_name": tool_name}
                body = tool_body(await invoke(self._env.run_tool, names | arguments))
            except ToolError as error:
                body = ToolErrorBody(_encode(tool_error_answer(str(error))))
            if len(body) > _MAX_TOOL_ANSWER_BYTES:
                raise EnvFailedError(
                    f"tool {tool_name!r} answered {len(body)} bytes as JSON; the most is {_MAX_TOOL_ANSWER_BYTES}. "
                    "Have it give less, such as a page"
                )
            return body

    async def _free_rollout(self, state: RolloutState) -> None:
        if not state.is_begun:
            return
        with rollout_boundary("end_rollout"):
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
            "deterministic": self._env.deterministic,
            "fork": self._env.deterministic or self._get_state is not None,
            "cancel": True,
            "group_reward": overrides(self._env, "compute_group_reward"),
        }
        return [*(name for name, present in has.items() if present), *self._serves]


def _native_fork(env: BaseEnv) -> tuple[NamedCall | None, NamedCall | None]:
    if overrides(env, "get_state") != overrides(env, "set_state"):
        raise EnvDefinitionError("get_state and set_state belong together; write both, or none")
    if not overrides(env, "get_state"):
        return None, None
    return NamedCall(env.get_state, {"rollout_id"}), NamedCall(env.set_state, {"rollout_id", "state"})


def _open_journal(name: str, config: ServeConfig) -> Journal | None:
    if config.journal is None:
        return None
    identity = {
        "name": name,
        "version": config.version,
        "digest": config.digest,
        "options": config.options_digest,
    }
    return Journal.open(config.journal, identity, idle_timeout_s=config.idle_timeout_s)


def _rollout_secret(config: ServeConfig, journal: Journal | None) -> bytes:
    if config.rollout_secret is not None:
        return config.rollout_secret.get_secret_value().encode()
    return secrets.token_bytes(32) if journal is None else journal.secret


@asynccontextmanager
async def _within(timeout_s: float, what: str) -> AsyncGenerator[None]:
    """The deadline of what runs outside of a stored call."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError:  # the environment's own would have become EnvFailedError
        raise too_late(what, timeout_s) from None


def _encode(answer: BaseModel) -> bytes:
    return answer.__pydantic_serializer__.to_json(answer)
