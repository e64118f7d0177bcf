"""All checks, in the order in which they run."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from envport_protocol.errors import EnvportError

from envport.check.definition import Check
from envport.check.promises import (
    batch,
    conflicts,
    deadlines,
    errors,
    exactly_once,
    fork,
    gold,
    ground_truth,
    http,
    leaks,
    mcp,
    outcomes,
    overload,
    restart,
    rewards,
    scopes,
    tasks,
    tools,
    tracing,
    versions,
    workers,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

_GROUPS = (
    exactly_once,
    conflicts,
    outcomes,
    rewards,
    gold,
    deadlines,
    overload,
    batch,
    leaks,
    fork,
    restart,
    scopes,
    ground_truth,
    versions,
    tasks,
    tools,
    mcp,
    workers,
    errors,
    http,
    tracing,
)

CHECKS: tuple[Check, ...] = tuple(
    sorted(
        (value for group in _GROUPS for value in vars(group).values() if isinstance(value, Check)),
        key=lambda check: check.promise,
    )
)
"""Each check once, by its promise."""


def chosen(names: Iterable[str] = ()) -> tuple[Check, ...]:
    """The checks of these names, in the order of all; without names, all.

    Raises:
        UnknownCheckError: there is none of such a name.
    """
    wanted = set(names)
    known = {check.name: check for check in CHECKS}
    for name in sorted(wanted - known.keys()):
        near = difflib.get_close_matches(name, known, n=1)
        meant = f"did you mean {near[0]!r}?" if near else "`envport check --list` has them all"
        raise UnknownCheckError(f"there is no check {name!r}; {meant}")
    return tuple(check for check in CHECKS if not wanted or check.name in wanted)


class UnknownCheckError(EnvportError):
    """A check was asked for by a name that none has."""
