"""An observer that writes what happens into the log: failures as warnings, each call at DEBUG."""

from __future__ import annotations

import asyncio
import logging
from contextvars import Context
from typing import TYPE_CHECKING

from envport_protocol.messages import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from envport_protocol.hosting.host import Host

log = logging.getLogger("envport.protocol")

AT_MOST_EVERY_S = 1.0
"""Between two lines of a kind that comes in floods."""

_FAILURES = frozenset({Outcome.ENV_ERROR, Outcome.INFRA_ERROR, Outcome.TIMEOUT})
_REFUSED = 503


class EventLog:
    """An Observer. What it writes holds no arguments, no answers and no rewards."""

    def __init__(self) -> None:
        self._host: Host | None = None
        self._refused = _Flood(self._tell_refused)
        self._lost = _Flood(_tell_lost)

    def attach(self, host: Host) -> None:
        """Lines on overload say from now on how full `host` is."""
        self._host = host

    def executed(self, verb: str, tool: str | None, outcome: Outcome, seconds: float) -> None:
        """See Observer."""
        if outcome in _FAILURES:
            level = logging.WARNING
        elif log.isEnabledFor(logging.DEBUG):
            level = logging.DEBUG
        else:
            return
        what = f"{verb} {tool}" if tool else verb
        fields = {"verb": verb, "tool": tool, "outcome": outcome.value, "seconds": round(seconds, 6)}
        log.log(level, "%s ran for %.3f s: %s", what, seconds, outcome.value, extra=fields)

    def answered(self, verb: str, status: int, seconds: float) -> None:
        """See Observer."""
        if status == _REFUSED:
            self._refused.add()
        if log.isEnabledFor(logging.DEBUG):
            fields = {"verb": verb, "status": status, "seconds": round(seconds, 6)}
            log.debug("%s was answered %d after %.3f s", verb, status, seconds, extra=fields)

    def expired(self, rollouts: int) -> None:
        """See Observer."""
        log.warning(
            "%d rollouts were idle for too long and were ended; their trainer went away, or was slower than the idle "
            "timeout",
            rollouts,
            extra={"rollouts": rollouts},
        )

    def replayed(self, is_rebuilt: bool) -> None:
        """See Observer."""
        if is_rebuilt:
            log.debug("a rollout of before the restart was rebuilt")
        else:
            self._lost.add()

    def _tell_refused(self, count: int) -> None:
        fields: dict[str, int] = {"refused": count}
        load = "the server is still starting, or full"
        if self._host is not None:
            counts = self._host.counts()
            fields |= {"rollouts": counts.rollouts, "queued": counts.queued, "running": counts.running}
            load = (
                f"{counts.rollouts} of {counts.max_rollouts} rollouts are open, {counts.queued} of {counts.max_queued} "
                f"starts wait, {counts.running} calls run"
            )
        log.warning("%d requests were answered 503: %s", count, load, extra=fields)


class _Flood:
    """Counts events, and has `tell` write of them: of the first at once, of more after AT_MOST_EVERY_S together."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        self._tell = tell
        self._count = 0
        self._is_waiting = False

    def add(self) -> None:
        self._count += 1
        if not self._is_waiting:
            self._write()

    def _write(self) -> None:
        count, self._count = self._count, 0
        self._is_waiting = count > 0
        if count:
            self._tell(count)
            # Later lines are of many requests, so not in the context of the first.
            asyncio.get_running_loop().call_later(AT_MOST_EVERY_S, self._write, context=Context())


def _tell_lost(count: int) -> None:
    log.warning("%d rollouts of before the restart could not be rebuilt and are lost", count, extra={"lost": count})
