"""What happens is written into the log: start and stop, failures as warnings, each call at DEBUG."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any

from envport_protocol.messages import PROTOCOL_VERSION, Outcome

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from envport_protocol.hosting.host import Host
    from envport_protocol.server.app import EnvApp

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
            "ended for idling: %d rollouts; their trainer went away, or pauses for longer than the idle timeout",
            rollouts,
            extra={"rollouts": rollouts},
        )

    def replayed(self, is_rebuilt: bool) -> None:
        """See Observer. Who loses a rollout says which."""
        if is_rebuilt:
            log.debug("a rollout of before the restart was rebuilt")

    def _tell_refused(self, count: int) -> None:
        fields: dict[str, int] = {"refused": count}
        load = "the server is still starting, or full"
        if self._host is not None:
            counts = self._host.counts()
            rollouts = counts.rollouts + counts.rollouts_elsewhere
            fields |= {"rollouts": rollouts, "queued": counts.queued, "running": counts.running}
            load = (
                f"{rollouts} of {counts.max_rollouts} rollouts are open, {counts.queued} of {counts.max_queued} "
                f"starts wait, {counts.running} calls run"
            )
        log.warning("answered 503: %d requests; %s", count, load, extra=fields)


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


def add_event_log(app: EnvApp, events: EventLog) -> None:
    """The start, the readiness and the stop of `app` are logged, and what `events`, its host's observer, is told."""
    host, readiness = app.desk.host, app.desk.readiness
    events.attach(host)
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(running: Any) -> AsyncGenerator[Any]:
        config = host.config
        made_of = {"environment": host.name, "version": config.version, "digest": config.digest}
        log.info("starting %s %s", host.name, config.version, extra={**made_of, "protocol": PROTOCOL_VERSION})
        begun = time.monotonic()
        async with inner(running) as state:
            readiness.begin().add_done_callback(partial(_tell_ready, begun))
            try:
                yield state
            finally:
                counts = host.counts()
                load = {"rollouts": counts.rollouts, "running": counts.running}
                log.info("stopping with %d rollouts open and %d calls running", *load.values(), extra=load)
        log.info("stopped")

    app.router.lifespan_context = lifespan


def _tell_ready(begun: float, preparation: asyncio.Task[None]) -> None:
    if preparation.cancelled() or preparation.exception() is not None:
        return  # the server stops and says why
    seconds = time.monotonic() - begun
    log.info("ready after %.3f s", seconds, extra={"seconds": round(seconds, 6)})
