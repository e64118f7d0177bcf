"""One rollout at a server: its first messages, its tools, and the calls that belong to it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

from envport_protocol.errors import EnvportError, RolloutEndedError, UnknownRolloutError
from envport_protocol.messages import (
    ComputeRewardAnswer,
    ComputeRewardRequest,
    EndRolloutAnswer,
    EndRolloutRequest,
    Message,
    RunToolAnswer,
    RunToolRequest,
    StartRolloutAnswer,
)

from envport.requests import as_messages, boundary, new_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from envport.transport import Transport

LEAVE_S = 3.0
"""How long an end may take while an error, such as Ctrl-C, is on its way out."""


class StartedRollout:
    """What the server told at the start of a rollout."""

    def __init__(self, answer: StartRolloutAnswer) -> None:
        self.rollout_id = answer.rollout_id
        self.task_id = answer.task_id
        """None where the caller gave the messages."""
        self.messages = answer.messages
        """The messages to begin with, the environment's system prompt among them."""
        self.tools = answer.tools
        """The tools allowed in this rollout."""
        self.idle_timeout_s = answer.idle_timeout_s
        """Without a call for this long, the server ends the rollout."""
        self.answer = answer
        """The whole answer of `start_rollout`."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(rollout_id={self.rollout_id!r}, task_id={self.task_id!r})"


class Rollout(StartedRollout):
    """A started rollout. As a context manager it is ended on the way out.

    A call of a rollout that the server does not hold any more raises UnknownRolloutError or RolloutEndedError.
    """

    def __init__(self, answer: StartRolloutAnswer, transport: Transport, *, timeout_s: float | None) -> None:
        super().__init__(answer)
        self._transport = transport
        self._timeout_s = timeout_s

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
            EnvFailedError: the environment's own code failed.
        """
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        with boundary("run_tool"):
            request = RunToolRequest(
                rollout_id=self.rollout_id,
                call_id=call_id or new_id(),
                tool_name=name,
                arguments=dict(arguments or {}),
                timeout_s=timeout_s,
            )
        return await self._transport.request("/v1/run_tool", request, RunToolAnswer, timeout_s=timeout_s)

    async def compute_reward(
        self, completion: str | Sequence[Message | Mapping[str, Any]], *, ground_truth: Any = None
    ) -> ComputeRewardAnswer:
        """The reward of what the model wrote: its last text, or all messages after the first ones.

        Raises:
            EnvFailedError: the environment's own code failed; there is no reward then, not one of 0.
        """
        with boundary("compute_reward"):
            request = ComputeRewardRequest(
                rollout_id=self.rollout_id,
                completion=completion if isinstance(completion, str) else as_messages(completion),
                ground_truth=ground_truth,
            )
        return await self._transport.request("/v1/compute_reward", request, ComputeRewardAnswer)

    async def end(self) -> None:
        """Frees the rollout's state at the server. Again is the same."""
        await self._end(None)

    async def _end(self, retry_for_s: float | None) -> None:
        request = EndRolloutRequest(rollout_id=self.rollout_id)
        await self._transport.request("/v1/end_rollout", request, EndRolloutAnswer, retry_for_s=retry_for_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            # With an error on its way out there is no time to wait: an idle rollout ends by itself.
            async with asyncio.timeout(None if error is None else LEAVE_S):
                await self._end(None if error is None else 0.0)
        except TimeoutError:
            pass
        except (UnknownRolloutError, RolloutEndedError):
            pass  # The server does not hold it any more, which is what was asked for.
        except EnvportError:
            if error is None:
                raise
