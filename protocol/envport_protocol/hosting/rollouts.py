"""Rollouts and their calls, each call run exactly once. Knows nothing of HTTP.

Ids are made by the client. A call's work runs in a task of its own, so a client that goes away does not stop it; the
same call again joins it while it runs, and gets the stored outcome, error or not, once it is done. The deadline is
kept here: at that moment the outcome is CallTimeoutError and the work is cancelled, whether or not it listens.
An ended rollout frees its state and its answers; its id stays spent, as one of a bounded number of tombstones.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from envport_protocol.errors import (
    IdConflictError,
    InvalidRequestError,
    OverloadedError,
    RolloutEndedError,
    UnknownRolloutError,
    WireError,
)
from envport_protocol.hosting.stored_call import StoredCall, outcome_of, too_late

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

log = logging.getLogger("envport.protocol")

S = TypeVar("S")
T = TypeVar("T")

_STOP_TIMEOUT_S = 5.0
"""How long an end waits for the calls that it stopped."""


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """How much a store may hold, and for how long."""

    max_rollouts: int = 1000
    idle_timeout_s: float = 600.0
    end_timeout_s: float = 60.0
    """Deadline of the author's code that frees a rollout."""
    max_calls: int = 100_000
    """Calls of one rollout; their answers are kept until it ends."""
    max_tombstones: int = 100_000
    """Ended ids that are remembered; the oldest are forgotten first."""


@dataclass(slots=True)
class _Rollout(Generic[S]):
    state: S
    used_at: float
    start: StoredCall | None = None
    calls: dict[str, StoredCall] = field(default_factory=dict[str, StoredCall])
    running: int = 0
    end: asyncio.Future[WireError | None] | None = None
    end_reason: str = "ended"


@dataclass(frozen=True, slots=True)
class _Tombstone:
    reason: str
    start_fingerprint: bytes | None = None
    """With `start_error`: the start that failed, to be answered again."""
    start_error: WireError | None = None
    end_error: WireError | None = None


class RolloutStore(Generic[S]):
    """All rollouts of one server. `free` is called with the state of each that ended, expired or failed to start."""

    def __init__(
        self,
        free: Callable[[S], Coroutine[object, object, None]],
        limits: StoreLimits = StoreLimits(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._free = free
        self._limits = limits
        self._clock = clock
        self._live: dict[str, _Rollout[S]] = {}
        self._ended: OrderedDict[str, _Tombstone] = OrderedDict()
        self._tasks: set[asyncio.Task[object]] = set()
        self._freeing: dict[str, asyncio.Task[None]] = {}
        """The freeing of starts that failed, by rollout id."""

    def __len__(self) -> int:
        """How many rollouts are held now."""
        return len(self._live)

    async def start(
        self,
        rollout_id: str,
        fingerprint: bytes,
        new_state: Callable[[], S],
        work: Callable[[S], Coroutine[object, object, bytes]],
        timeout_s: float,
    ) -> bytes:
        """The answer of `work`, run once for this id.

        A start that the client got wrong (a 4xx) leaves the id unspent; any other failure is kept and answered again.

        Raises:
            IdConflictError: the id was used with another fingerprint.
            RolloutEndedError: the id is spent.
            OverloadedError: no room.
            WireError: what `work` raised, or CallTimeoutError.
        """
        gone = self._ended.get(rollout_id)
        if gone is not None:
            raise self._start_again(rollout_id, fingerprint, gone)
        await self._freed(rollout_id)
        rollout = self._live.get(rollout_id)
        if rollout is None:
            if len(self._live) >= self._limits.max_rollouts:
                raise OverloadedError(
                    f"the server holds {len(self._live)} rollouts, the most it may; end some, or try again later",
                    details={"rollouts": len(self._live), "max_rollouts": self._limits.max_rollouts},
                )
            rollout = _Rollout(new_state(), self._clock())
            self._live[rollout_id] = rollout
            rollout.start = self._launch(rollout, fingerprint, work, timeout_s, "start_rollout")
            if rollout.start.waiting is not None:
                rollout.start.waiting.add_done_callback(partial(self._start_done, rollout_id, rollout.start))
        call = rollout.start
        if call is None or call.fingerprint != fingerprint:
            raise IdConflictError(
                f"the rollout {rollout_id!r} was started with other arguments; a new rollout needs a new id"
            )
        return await call.answer()

    async def call(
        self,
        rollout_id: str,
        call_id: str,
        fingerprint: bytes,
        work: Callable[[S], Coroutine[object, object, bytes]],
        timeout_s: float,
    ) -> bytes:
        """The answer of `work`, run once for this rollout and call id.

        Raises:
            UnknownRolloutError, RolloutEndedError: no such rollout, or not any more.
            IdConflictError: the call id was used with another fingerprint.
            InvalidRequestError: more calls than one rollout may make.
            WireError: what `work` raised, or CallTimeoutError.
        """
        rollout = await self._started(rollout_id)
        call = rollout.calls.get(call_id)
        if call is None:
            if len(rollout.calls) >= self._limits.max_calls:
                raise InvalidRequestError(
                    f"the rollout {rollout_id!r} made {len(rollout.calls)} calls, the most it may; end it"
                )
            call = rollout.calls[call_id] = self._launch(rollout, fingerprint, work, timeout_s, f"call {call_id!r}")
        elif call.fingerprint != fingerprint:
            raise IdConflictError(
                f"{call_id!r} of rollout {rollout_id!r} was used with other arguments; a new call needs a new id"
            )
        return await call.answer()

    async def state(self, rollout_id: str) -> S:
        """The state of a rollout that is held, once its start is over.

        Raises:
            UnknownRolloutError, RolloutEndedError: no such rollout, or not any more.
            WireError: its start failed.
        """
        return (await self._started(rollout_id)).state

    async def end(self, rollout_id: str, reason: str = "ended") -> None:
        """Stops the calls of a rollout and frees it. Again: the same outcome.

        Raises:
            UnknownRolloutError: it was never started here.
            WireError: what the author's code for it raised; the rollout is freed all the same.
        """
        await self._freed(rollout_id)
        gone = self._ended.get(rollout_id)
        if gone is None:
            rollout = self._live.get(rollout_id)
            if rollout is None:
                raise _unknown(rollout_id)
            if rollout.end is None:
                rollout.end = asyncio.get_running_loop().create_future()
                rollout.end_reason = reason
                self._keep(asyncio.create_task(self._end(rollout_id, rollout, rollout.end, reason)))
            error = await asyncio.shield(rollout.end)
        else:
            error = gone.end_error
        if error is not None:
            raise error.afresh()

    async def expire_idle(self) -> int:
        """Ends the rollouts that nothing was asked of for the idle timeout; how many these were."""
        latest = self._clock() - self._limits.idle_timeout_s
        idle = [
            rollout_id
            for rollout_id, rollout in self._live.items()
            if rollout.running == 0 and rollout.end is None and rollout.used_at <= latest
        ]
        await asyncio.gather(
            *(self.end(rollout_id, "idle for too long") for rollout_id in idle), return_exceptions=True
        )
        return len(idle)

    async def close(self) -> None:
        """Ends every rollout, and waits until those whose start failed are freed."""
        await asyncio.gather(
            *(self.end(rollout_id, "closed") for rollout_id in list(self._live)),
            *self._freeing.values(),
            return_exceptions=True,
        )

    def _find(self, rollout_id: str) -> _Rollout[S]:
        rollout = self._live.get(rollout_id)
        if rollout is None:
            gone = self._ended.get(rollout_id)
            raise _unknown(rollout_id) if gone is None else _ended(rollout_id, gone.reason)
        if rollout.end is not None:
            raise _ended(rollout_id, rollout.end_reason)
        return rollout

    async def _started(self, rollout_id: str) -> _Rollout[S]:
        rollout = self._find(rollout_id)
        if rollout.start is not None and rollout.start.outcome is None:
            await rollout.start.answer()
            rollout = self._find(rollout_id)
        rollout.used_at = self._clock()
        return rollout

    def _launch(
        self,
        rollout: _Rollout[S],
        fingerprint: bytes,
        work: Callable[[S], Coroutine[object, object, bytes]],
        timeout_s: float,
        what: str,
    ) -> StoredCall:
        loop = asyncio.get_running_loop()
        task = loop.create_task(work(rollout.state))
        waiting: asyncio.Future[bytes | WireError] = loop.create_future()
        call = StoredCall(fingerprint, waiting=waiting, task=task)
        rollout.running += 1
        rollout.used_at = self._clock()

        def settled(_: asyncio.Future[bytes | WireError]) -> None:
            # Not when the task ends: one that does not heed its cancellation would keep the rollout for ever.
            rollout.running -= 1
            rollout.used_at = self._clock()

        def expire() -> None:
            call.settle(too_late(what, timeout_s))
            task.cancel()

        waiting.add_done_callback(settled)
        timer = loop.call_later(timeout_s, expire)

        def finish(done: asyncio.Task[bytes]) -> None:
            call.settle(outcome_of(done, what))
            call.task = None
            timer.cancel()

        task.add_done_callback(finish)
        self._keep(task)
        return call

    def _start_done(self, rollout_id: str, start: StoredCall, outcome: asyncio.Future[bytes | WireError]) -> None:
        error = outcome.result()
        rollout = self._live.get(rollout_id)
        if isinstance(error, WireError) and rollout is not None and rollout.end is None:
            del self._live[rollout_id]
            if error.status >= 500:
                self._bury(rollout_id, _Tombstone("could not be started", start.fingerprint, error))
            stopping = [start.task] if start.task is not None else []
            freeing = asyncio.create_task(self._free_failed(rollout_id, rollout.state, stopping))
            self._freeing[rollout_id] = freeing

    async def _free_failed(self, rollout_id: str, state: S, stopping: list[asyncio.Task[bytes]]) -> None:
        try:
            error = await self._let_go(state, stopping)
            if error is not None:
                log.error("the rollout %r, which could not be started, was not freed: %s", rollout_id, error)
        finally:
            del self._freeing[rollout_id]

    async def _freed(self, rollout_id: str) -> None:
        freeing = self._freeing.get(rollout_id)
        if freeing is not None:
            await asyncio.wait([freeing], timeout=_STOP_TIMEOUT_S + self._limits.end_timeout_s)

    def _start_again(self, rollout_id: str, fingerprint: bytes, gone: _Tombstone) -> WireError:
        if gone.start_error is None:
            return _ended(rollout_id, gone.reason)
        if gone.start_fingerprint != fingerprint:
            return IdConflictError(
                f"the rollout {rollout_id!r} was started with other arguments; a new rollout needs a new id"
            )
        return gone.start_error.afresh()

    async def _end(
        self, rollout_id: str, rollout: _Rollout[S], ended: asyncio.Future[WireError | None], reason: str
    ) -> None:
        stopped: list[asyncio.Task[bytes]] = []
        for call in (rollout.start, *rollout.calls.values()):
            if call is not None and call.task is not None:
                call.settle(_ended(rollout_id, reason))
                call.task.cancel()
                stopped.append(call.task)
        error = await self._let_go(rollout.state, stopped)
        del self._live[rollout_id]
        self._bury(rollout_id, _Tombstone(reason, end_error=error))
        ended.set_result(error)

    async def _let_go(self, state: S, stopping: list[asyncio.Task[bytes]]) -> WireError | None:
        """Frees a state after the calls that were stopped for it; the error where that failed or took too long."""
        if stopping:
            await asyncio.wait(stopping, timeout=_STOP_TIMEOUT_S)
        freeing = asyncio.create_task(self._free(state))
        self._keep(freeing)
        await asyncio.wait([freeing], timeout=self._limits.end_timeout_s)
        if freeing.done():
            outcome = outcome_of(freeing, "end_rollout")
        else:
            freeing.cancel()
            outcome = too_late("end_rollout", self._limits.end_timeout_s)
        return outcome if isinstance(outcome, WireError) else None

    def _bury(self, rollout_id: str, tombstone: _Tombstone) -> None:
        self._ended[rollout_id] = tombstone
        while len(self._ended) > self._limits.max_tombstones:
            self._ended.popitem(last=False)

    def _keep(self, task: asyncio.Task[T]) -> None:
        # The event loop itself holds tasks weakly.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _unknown(rollout_id: str) -> UnknownRolloutError:
    return UnknownRolloutError(
        f"this server does not hold the rollout {rollout_id!r}: it was never started here, or a restart lost it; "
        "start a new one"
    )


def _ended(rollout_id: str, reason: str) -> RolloutEndedError:
    return RolloutEndedError(f"the rollout {rollout_id!r} {_REASONS.get(reason, reason)}; start a new one")


_REASONS = {"ended": "was ended", "idle for too long": "was idle for too long and expired", "closed": "was ended"}
