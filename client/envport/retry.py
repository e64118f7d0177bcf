"""When to try again: exponential backoff with full jitter, within a budget of seconds."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from envport_protocol.errors import EnvportError


class Retryable(Exception):
    """A failure after which the same request may be sent again."""

    def __init__(self, error: EnvportError, *, after_s: float = 0.0, is_absent: bool = False) -> None:
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


def retry_after_s(header: str | None) -> float:
    """Seconds of a `Retry-After` header; 0 where there is none or it is a date."""
    try:
        seconds = float(header or "0")
    except ValueError:
        return 0.0
    return seconds if 0.0 <= seconds < float("inf") else 0.0
