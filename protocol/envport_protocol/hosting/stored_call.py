"""One call of a rollout and its outcome, which is fixed once and told to everybody who asks."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TypeVar

from envport_protocol.errors import CallTimeoutError, EnvFailedError, InfraError, WireError

log = logging.getLogger("envport.protocol")

T = TypeVar("T")


@dataclass(slots=True)
class StoredCall:
    """One call: while it runs, its task and the future that those who ask wait for; afterwards only the outcome.

    The future's result is the answer or the error, never an exception, so that none goes unretrieved.
    """

    fingerprint: bytes
    outcome: bytes | WireError | None = None
    waiting: asyncio.Future[bytes | WireError] | None = None
    task: asyncio.Task[bytes] | None = None

    def settle(self, outcome: bytes | WireError) -> None:
        """Fixes the outcome; the first one counts."""
        if self.outcome is None:
            self.outcome = outcome
            if self.waiting is not None:
                self.waiting.set_result(outcome)
                self.waiting = None

    async def answer(self) -> bytes:
        """The answer, as soon as there is an outcome.

        Raises:
            WireError: the outcome is one.
        """
        outcome = self.outcome
        if outcome is None and self.waiting is not None:
            outcome = await asyncio.shield(self.waiting)
        if isinstance(outcome, bytes):
            return outcome
        raise InfraError("the call has no outcome") if outcome is None else outcome.afresh()


def outcome_of(done: asyncio.Task[T], what: str) -> T | WireError:
    """The result of a finished task, or the error that tells whose fault it was that there is none."""
    if done.cancelled():
        return EnvFailedError(f"{what} was cancelled by the environment's own code")
    error = done.exception()
    if error is None:
        return done.result()
    if isinstance(error, WireError):
        return error.afresh()
    log.error("%s failed in the server", what, exc_info=error)
    return InfraError(f"{what} failed in the server with {type(error).__name__}; the server's log has the traceback")


def too_late(what: str, timeout_s: float) -> CallTimeoutError:
    """The error of a deadline that passed."""
    return CallTimeoutError(f"{what} did not finish within its deadline of {timeout_s:g} s")
