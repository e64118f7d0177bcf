"""One rollout at a server: its first messages, its tools, and the calls that belong to it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

from envport_protocol.errors import EnvportError
from envport_protocol.messages import (
    CancelAnswer,
    CancelRequest,
    ComputeRewardAnswer,
    EndRolloutAnswer,
    EndRolloutRequest,
    ForkRolloutRequest,
    RunToolAnswer,
    RunToolRequest,
    StartRolloutAnswer,
)

from envport.connection import GONE, LEAVE_S
from envport.requests import boundary, new_id, new_id_beside, reward_request
from envport.together import all_ended

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from envport.aimd import Slot
    from envport.connection import Connection
    from envport.requests import Completion


class StartedRollout:
    """What the server told at the start of a rollout."""

    def __init__(self, answer: StartRolloutAnswer, slot: Slot) -> None:
        self.rollout_id = answer.rollout_id
        self.task_id = answer.task_id
        """None where the caller gave the messages."""
        self.messages = answer.messages
        """The messages to begin with, the environment's system prompt among them."""
        self.tools = answer.tools
        """The tools allowed in this rollout."""
        self.idle_timeout_s = answer.idle_timeout_s
        """Without a call for this long, the server ends the rollout."""
        self.token = answer.token
        """Lets its bearer list and run this rollout's tools, and nothing else: for an agent that is not trusted with
        more. Empty where the server makes none."""
        self.answer = answer
        """The whole answer of `start_rollout`."""
        self.slot = slot
        """Its place among the rollouts that this client holds open."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(rollout_id={self.rollout_id!r}, task_id={self.task_id!r})"


class Rollout(StartedRollout):
    """A started rollout. As a context manager it is ended on the way out, unless another client started it.

    A call of a rollout that the server does not hold any more raises UnknownRolloutError, RolloutEndedError or
    RolloutLostError.
    """

    def __init__(
        self, answer: StartRolloutAnswer, connection: Connection, slot: Slot, *, is_attached: bool = False
    ) -> None:
        super().__init__(answer, slot)
        self._connection = connection
        self._is_attached = is_attached

    async def run_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        timeout_s: float | None = None,
        call_id: str | None = None,
    ) -> RunToolAnswer:
        """What the tool said. A call that the tool refused is an answer too, with outcome `tool_error`.

        The tool runs at most once for one `call_id`, however often the request is sent.

        Raises:
            CallTimeoutError: the tool took longer than `timeout_s`.
            CallCancelledError: `cancel` stopped it.
            EnvFailedError: the environment's own code failed.
        """
        timeout_s = self._connection.timeout_s if timeout_s is None else timeout_s
        with boundary("run_tool"):
            request = RunToolRequest(
                rollout_id=self.rollout_id,
                call_id=call_id or new_id(),
                tool_name=name,
                arguments=dict(arguments or {}),
                timeout_s=timeout_s,
            )
        return await self._connection.post("run_tool", request, RunToolAnswer, self.slot, timeout_s=timeout_s)

    async def run_tools(
        self,
        calls: Sequence[tuple[str, Mapping[str, Any]]],
        *,
        timeout_s: float | None = None,
        call_ids: Sequence[str] | None = None,
    ) -> list[RunToolAnswer]:
        """The answers of a turn's calls, which run at once: `[("search", {"query": "..."}), ...]`, in their order.

        Raises:
            EnvportError: that of the first of `calls` that failed, as `run_tool` says, after all have ended.
        """
        ids = [None] * len(calls) if call_ids is None else call_ids
        return await all_ended(
            self.run_tool(name, arguments, timeout_s=timeout_s, call_id=call_id)
            for (name, arguments), call_id in zip(calls, ids, strict=True)
        )

    async def cancel(self, call_id: str) -> bool:
        """Whether the tool call was stopped; false where it had finished before, and then its answer stays.

        One that the server has not seen yet will not run when it comes.

        Raises:
            UnsupportedError: this server is too old to cancel calls.
        """
        self._connection.require("cancel")
        with boundary("cancel"):
            request = CancelRequest(rollout_id=self.rollout_id, call_id=call_id)
        return (await self._connection.post("cancel", request, CancelAnswer, self.slot)).cancelled

    async def compute_reward(self, completion: Completion, *, ground_truth: Any = None) -> ComputeRewardAnswer:
        """The reward of what the model wrote: its last text, or all messages after the first ones.

        Raises:
            EnvFailedError: the environment's own code failed; there is no reward then, not one of 0.
        """
        request = reward_request(self.rollout_id, completion, ground_truth)
        return await self._connection.post("compute_reward", request, ComputeRewardAnswer, self.slot)

    async def fork(self, rollout_id: str | None = None) -> Rollout:
        """A new rollout that begins in the state of this one as it is now, and is ended by itself.

        It counts among the rollouts that this client holds open but never waits for room among them: the one that it is
        made from would not be given back meanwhile. An id given must have this one's part before the first ".", which
        names the server's worker that holds both.

        Raises:
            UnsupportedError: this environment cannot fork.
            OverloadedError: the server holds as many rollouts as it may, also after the retries.
        """
        self._connection.require("fork")
        with boundary("fork_rollout"):
            new_rollout_id = rollout_id or new_id_beside(self.rollout_id)
            request = ForkRolloutRequest(rollout_id=self.rollout_id, new_rollout_id=new_rollout_id)
        slot = self.slot.another()
        answer = await self._connection.fork(request, slot)
        return Rollout(answer, self._connection, slot)

    async def end(self) -> None:
        """Frees the rollout's state at the server. Again is the same."""
        await self._end(None)

    async def _end(self, retry_for_s: float | None) -> None:
        request = EndRolloutRequest(rollout_id=self.rollout_id)
        try:
            await self._connection.transport.post("end_rollout", request, EndRolloutAnswer, retry_for_s=retry_for_s)
        finally:
            self.slot.give_back()  # whatever came of it: a server that holds it still refuses when it is full

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_attached:
            return
        try:
            # With an error on its way out there is no time to wait: an idle rollout ends by itself.
            async with asyncio.timeout(None if error is None else LEAVE_S):
                await self._end(None if error is None else 0.0)
        except TimeoutError:
            pass
        except GONE:
            pass  # Which is what was asked for.
        except EnvportError:
            if error is None:
                raise
