"""What a check is: a function that asks a server and tells what it saw, with its promise and its remedy."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from envport.check.probe import Probe

PROMISES = {
    1: "Exactly once",
    2: "Whose fault, on the wire",
    3: "Deadlines",
    4: "Back-pressure",
    5: "Nothing leaks",
    6: "Restart",
    7: "Scopes",
    8: "Versions",
    9: "Multi-worker",
    10: "One error body",
    11: "Traceable",
}
"""The promises of the protocol, by number."""

CheckFunction = Callable[["Probe"], Awaitable[str]]


class BrokenError(Exception):
    """A promise does not hold; the text is what was seen."""


class NotApplicableError(Exception):
    """There is nothing to check, for a reason in the environment or in how it is reached; the text is the reason."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check. `run` gives what was seen where the promise holds.

    It raises BrokenError where it does not, and NotApplicableError where there is nothing to check.
    """

    name: str
    promise: int
    does: str
    """What is done, for a person."""
    expected: str
    remedy: str
    """What the environment's author or the server's operator should do where it fails."""
    run: CheckFunction
    is_slow: bool = False
    """It waits for a time limit of the server, so it runs beside the others."""


def check(*, promise: int, expected: str, remedy: str, is_slow: bool = False) -> Callable[[CheckFunction], Check]:
    """Makes a function a check, named like it; the first paragraph of its docstring says what it does."""

    def define(function: CheckFunction) -> Check:
        name = getattr(function, "__name__", "")
        does = " ".join((inspect.getdoc(function) or "").partition("\n\n")[0].split())
        return Check(name, promise, does, expected, remedy, function, is_slow)

    return define
