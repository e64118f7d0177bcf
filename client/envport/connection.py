"""What a client and its rollouts share while the client is open."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from envport_protocol.errors import (
    EnvportError,
    RolloutEndedError,
    RolloutLostError,
    UnknownRolloutError,
    UnsupportedError,
    WireError,
)
from envport_protocol.messages import EndRolloutAnswer, EndRolloutRequest, Manifest, StartRolloutAnswer

from envport.aimd import RolloutLimiter, SlotRetries
from envport.batching import Batcher
from envport.handshake import fetch_manifest
from envport.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Generator

    from envport_protocol.messages import ForkRolloutRequest, StartRolloutRequest
    from pydantic import BaseModel

    from envport.aimd import Slot
    from envport.answers import AnswerT
    from envport.http import Http

LEAVE_S = 3.0
"""How long an end may take that nobody has time to wait for: while an error, such as Ctrl-C, is on its way out."""

GONE = (UnknownRolloutError, RolloutEndedError, RolloutLostError)
"""The server does not hold the rollout any more."""


async def opened(url: str, http: Http, *, timeout_s: float | None, retry_for_s: float, may_batch: bool) -> Connection:
    """The connection with the environment at `url`, once it is ready. Where there is none, `http` is closed.

    Raises:
        EnvportError: as `fetch_manifest` says.
    """
    transport = Transport(url, http, timeout_s=timeout_s or 60.0, retry_for_s=retry_for_s)
    try:
        manifest = await fetch_manifest(transport)
    except BaseException:
        await transport.close()
        raise
    limits = manifest.limits
    transport.timeout_s = timeout_s or limits.call_timeout_s
    if may_batch and "batch" in manifest.capabilities:
        transport.batcher = Batcher(http, url, max_calls=limits.max_batch, max_bytes=limits.max_body_bytes)
    return Connection(transport, manifest, timeout_s)


class Connection:
    """The way to one environment, and how many rollouts are open there."""

    def __init__(self, transport: Transport, manifest: Manifest, timeout_s: float | None) -> None:
        self.transport = transport
        self.manifest = manifest
        self.timeout_s = timeout_s
        """How long the server may take for a call, as the caller said; None leaves it to the server."""
        self.limiter = RolloutLimiter(manifest.limits.max_rollouts, transport.retry_for_s)
        self._ends: set[asyncio.Task[None]] = set()

    def require(self, capability: str) -> None:
        """Returns where the environment can do that.

        Raises:
            UnsupportedError: its manifest does not say so.
        """
        if capability not in self.manifest.capabilities:
            can = ", ".join(self.manifest.capabilities) or "none"
            raise UnsupportedError(
                f"{self.transport.url}: this environment or its server cannot {capability}; its capabilities: {can}"
            )

    async def start(self, request: StartRolloutRequest, slot: Slot) -> StartRolloutAnswer:
        """The server's answer to a start that has this slot. Where none came, the rollout is ended in the background.

        Raises:
            EnvportError: as `Transport.post` says.
        """
        with self._given_back_unless_started(request.rollout_id, slot):
            answer = await self.transport.post("start_rollout", request, StartRolloutAnswer, retries=SlotRetries(slot))
        self.limiter.started()
        return answer

    async def fork(self, request: ForkRolloutRequest, slot: Slot) -> StartRolloutAnswer:
        """The same for a fork. The slot of the rollout that it is made from stays, whichever of the two is gone.

        Raises:
            EnvportError: as `Transport.post` says.
        """
        with self._given_back_unless_started(request.new_rollout_id, slot):
            return await self.transport.post("fork_rollout", request, StartRolloutAnswer)

    async def post(
        self,
        verb: str,
        request: BaseModel,
        answer_type: type[AnswerT],
        slot: Slot,
        *,
        timeout_s: float | None = None,
        retry_for_s: float | None = None,
    ) -> AnswerT:
        """The answer to a call of the rollout with this slot, which is given back where the server holds it no more.

        Raises:
            EnvportError: as `Transport.post` says.
        """
        try:
            return await self.transport.post(verb, request, answer_type, timeout_s=timeout_s, retry_for_s=retry_for_s)
        except GONE:
            slot.give_back()
            raise

    async def close(self) -> None:
        """Closes the connections, when what is being ended in the background was, within `LEAVE_S`."""
        self.limiter.close()
        try:
            await asyncio.gather(*self._ends)
        finally:
            await self.transport.close()

    @contextmanager
    def _given_back_unless_started(self, rollout_id: str, slot: Slot) -> Generator[None]:
        try:
            yield
        except WireError:
            slot.give_back()
            raise
        except BaseException:
            if slot.is_held:
                self._end_later(rollout_id, slot)
            raise

    def _end_later(self, rollout_id: str, slot: Slot) -> None:
        task = asyncio.create_task(self._end(rollout_id, slot))
        self._ends.add(task)  # the event loop itself holds tasks weakly
        task.add_done_callback(self._ends.discard)

    async def _end(self, rollout_id: str, slot: Slot) -> None:
        try:
            with suppress(EnvportError, TimeoutError):  # an idle rollout ends by itself
                async with asyncio.timeout(LEAVE_S):
                    request = EndRolloutRequest(rollout_id=rollout_id)
                    await self.transport.post("end_rollout", request, EndRolloutAnswer)
        finally:
            slot.give_back()
