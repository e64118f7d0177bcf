"""One call of a rollout and its outcome, which is fixed once and told to everybody who asks."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from envport_protocol.errors import (
    CallCancelledError,
    CallTimeoutError,
    EnvFailedError,
    InfraError,
    WireError,
)
from envport_protocol.messages import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

log = logging.getLogger("envport.protocol")

T = TypeVar("T")


class ToolErrorBody(bytes):
    """The body of an answer whose outcome is `tool_error`."""

    __slots__ = ()


class StoppedError(InfraError):
    """The server stopped in the middle of a call: what it did is not known, and it is not journaled."""


class StoredCall:
    """One call: while it runs, its `run`; afterwards only the outcome."""

    __slots__ = ("fingerprint", "outcome", "request", "run")

    def __init__(
        self, fingerprint: bytes, request: bytes = b"", outcome: bytes | WireError | None = None, run: Run | None = None
    ) -> None:
        self.fingerprint = fingerprint
        self.request = request
        """What it takes to run the call again; empty where nobody will."""
        self.outcome = outcome
        self.run = run

    def settle(self, outcome: bytes | WireError) -> None:
        """Fixes the outcome; the first one counts."""
        run = self.run
        if self.outcome is None and run is not None:
            run.timer.cancel()
            if run.orphaned is not None:
                run.orphaned.cancel()
            self.outcome = outcome = run.settled(outcome)
            for waiter in run.waiters:
                if not waiter.done():
                    waiter.set_result(outcome)
            run.waiters.clear()

    def stop(self, error: WireError) -> None:
        """Fixes `error` as the outcome and cancels the work, whether or not it listens."""
        self.settle(error)
        if self.run is not None and self.run.task is not None:
            self.run.task.cancel()

    async def answer(self) -> bytes:
        """The answer, as soon as there is an outcome.

        Raises:
            WireError: the outcome is one.
        """
        outcome, run = self.outcome, self.run
        if outcome is None and run is not None:
            waiter: asyncio.Future[bytes | WireError] = asyncio.get_running_loop().create_future()
            run.waiters.append(waiter)
            if run.orphaned is not None:
                run.orphaned.cancel()
            try:
                outcome = await waiter
            finally:
                if outcome is None:
                    self._leave(run, waiter)
        if isinstance(outcome, bytes):
            return outcome
        raise InfraError("the call has no outcome") if outcome is None else outcome.afresh()

    def _leave(self, run: Run, waiter: asyncio.Future[bytes | WireError]) -> None:
        if waiter in run.waiters:
            run.waiters.remove(waiter)
        if not run.waiters and self.outcome is None:
            run.orphaned = asyncio.get_running_loop().call_later(run.grace_s, self._orphaned, run)

    def _orphaned(self, run: Run) -> None:
        self.stop(
            CallCancelledError(
                f"{run.what} was cancelled: for {run.grace_s:g} s no client has waited for its answer; start a new "
                "rollout"
            )
        )


@dataclass(slots=True)
class Run:
    """What there is of a call while its work runs."""

    what: str
    """For messages."""
    timeout_s: float
    grace_s: float
    """How long it goes on when nobody waits for it any more."""
    on_settled: Callable[[bytes | WireError, float], bytes | WireError]
    """Told of the outcome and the seconds it took, before anybody else; gives the outcome that counts."""
    waiters: list[asyncio.Future[bytes | WireError]]
    begun_s: float
    timer: asyncio.TimerHandle
    """Of the deadline."""
    orphaned: asyncio.TimerHandle | None = None
    """Since the last waiter left."""
    task: asyncio.Task[None] | None = None
    """Runs on after the outcome where the work does not heed its cancellation."""

    def settled(self, outcome: bytes | WireError) -> bytes | WireError:
        """The outcome that counts, whatever becomes of who is told."""
        try:
            return self.on_settled(outcome, time.perf_counter() - self.begun_s)
        except Exception as error:  # noqa: BLE001 - else nobody who waits would ever be answered
            return _failed(self.what, error)


def launch(
    call: StoredCall,
    work: Callable[[], Coroutine[object, object, bytes]],
    *,
    what: str,
    timeout_s: float,
    grace_s: float,
    on_settled: Callable[[bytes | WireError, float], bytes | WireError],
) -> asyncio.Task[None]:
    """Begins the work of a call, in a task of its own: whoever asked may go away. The task must be held."""
    loop = asyncio.get_running_loop()

    def expire() -> None:
        call.stop(too_late(what, timeout_s))

    run = Run(what, timeout_s, grace_s, on_settled, [], time.perf_counter(), loop.call_later(timeout_s, expire))
    call.run = run
    run.task = loop.create_task(_carry_out(call, run, work))
    return run.task


async def _carry_out(call: StoredCall, run: Run, work: Callable[[], Coroutine[object, object, bytes]]) -> None:
    outcome: bytes | WireError | None = None
    try:
        outcome = await work()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            outcome = StoppedError(f"{run.what} was broken off: the server stopped")
        else:
            outcome = EnvFailedError(f"{run.what} was cancelled by the environment's own code")
        raise
    except WireError as error:
        outcome = error.afresh()
    except Exception as error:  # noqa: BLE001 - the boundary of the server's side: a call always has an outcome
        outcome = _failed(run.what, error)
    finally:
        call.settle(InfraError(f"{run.what} has no outcome") if outcome is None else outcome)
        call.run = None


def outcome_of(done: asyncio.Task[T], what: str) -> T | WireError:
    """The result of a finished task, or the error that tells whose fault it was that there is none."""
    if done.cancelled():
        return EnvFailedError(f"{what} was cancelled by the environment's own code")
    error = done.exception()
    if error is None:
        return done.result()
    return error.afresh() if isinstance(error, WireError) else _failed(what, error)


def too_late(what: str, timeout_s: float) -> CallTimeoutError:
    """The error of a deadline that passed."""
    return CallTimeoutError(f"{what} did not finish within its deadline of {timeout_s:g} s")


def outcome_kind(outcome: bytes | WireError) -> Outcome:
    """Which of the outcomes of the wire this is."""
    if isinstance(outcome, WireError):
        return outcome.outcome
    return Outcome.TOOL_ERROR if isinstance(outcome, ToolErrorBody) else Outcome.OK


def _failed(what: str, error: BaseException) -> InfraError:
    log.error("%s failed in the server", what, exc_info=error)
    return InfraError(f"{what} failed in the server with {type(error).__name__}; the server's log has the traceback")
