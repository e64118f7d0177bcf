"""When to try again: exponential backoff with full jitter, within a budget of seconds."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envport.errors import TransportError

if TYPE_CHECKING:
    from envport_protocol.errors import EnvportError, WireError

log = logging.getLogger("envport.client")


class Retryable(Exception):
    """A failure after which the same request may be sent again."""

    def __init__(self, error: TransportError | WireError, *, after_s: float = 0.0, is_absent: bool = False) -> None:
        super().__init__(str(error))
        self.error = error
        """What is raised when the budget is spent."""
        self.after_s = after_s
        """The wait that the server asked for."""
        self.is_absent = is_absent
        """No server was found at all."""


@dataclass(frozen=True)
class Backoff:
    """Waits of 0 to `first_s`, then 0 to twice that and so on up to `cap_s`: many clients do not come back at once."""

    first_s: float = 0.1
    """Upper end of the first wait. A dropped connection is mostly usable again at once."""
    cap_s: float = 5.0
    """Upper end of any wait, so that a server that is back is found soon."""

    def delay_s(self, tries: int, left_s: float, at_least_s: float = 0.0) -> float | None:
        """Seconds to wait after `tries` failed ones, never beyond `left_s`; None where the budget does not allow it.

        `at_least_s` is what the server asked for in `Retry-After`.
        """
        if left_s <= 0 or at_least_s > left_s:
            return None
        widest_s = min(self.cap_s, self.first_s * 2.0 ** min(tries - 1, 30))
        return min(at_least_s + random.uniform(0.0, widest_s), left_s)  # noqa: S311 - spreads load, guards nothing


class Retries:
    """The failures of one request so far, and the waits between its tries."""

    def __init__(self, backoff: Backoff | None = None) -> None:
        self._backoff = backoff or Backoff()
        self._tries = 0
        self._failing_since = 0.0
        """`time.monotonic()` of the first one."""

    async def pause(self, failure: Retryable, budget_s: float) -> None:
        """Returns when the request is to be sent again.

        Raises:
            EnvportError: that of `failure`, since `budget_s` seconds after the first one nothing has come.
        """
        self._count()
        delay_s = self._delay_s(failure, budget_s, self._failing_since)
        log.info("%s; trying again in %.2f s", failure.error, delay_s)
        await asyncio.sleep(delay_s)

    def _count(self) -> None:
        if self._tries == 0:
            self._failing_since = time.monotonic()
        self._tries += 1

    def _delay_s(self, failure: Retryable, budget_s: float, since: float) -> float:
        delay_s = self._backoff.delay_s(self._tries, budget_s - (time.monotonic() - since), failure.after_s)
        if delay_s is None:
            raise self._given_up(failure.error) from failure
        return delay_s

    def _given_up(self, error: TransportError | WireError) -> EnvportError:
        failing_s = time.monotonic() - self._failing_since
        told = f" (tried {self._tries} times in {failing_s:.1f} s)" if self._tries > 1 else ""
        if isinstance(error, TransportError):
            return TransportError(error.url, error.message + told, request_id=error.request_id)
        return error.afresh(error.message + told)


def retry_after_s(header: str | None) -> float:
    """Seconds of a `Retry-After` header; 0 where there is none or it is a date."""
    try:
        seconds = float(header or "0")
    except ValueError:
        return 0.0
    return seconds if 0.0 <= seconds < float("inf") else 0.0
