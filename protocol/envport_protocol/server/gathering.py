"""What a client is told of the whole server, though one worker is asked: gathered from all of them."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Any

import orjson

from envport_protocol.server.answers import Answer
from envport_protocol.server.endpoint import Endpoint
from envport_protocol.server.metrics import merge

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from envport_protocol.messages import Limits
    from envport_protocol.server.answers import Header
    from envport_protocol.server.assignment import Assignment
    from envport_protocol.server.endpoint import Asked, Desk
    from envport_protocol.server.forwarding import Forwarding
    from envport_protocol.server.metrics import Metrics
    from envport_protocol.server.scopes import Caller

_TIMEOUT_S = 2.0
"""How long a worker may take to say how it is: one that is stuck must not hold up the news of the others."""
_OPEN_METRICS = "application/openmetrics-text"
_MAX_SHOWN = 1000
_FRESH_S = 1.0
"""For so long all who ask for the metrics are given the same: many who ask must not hold up the rollouts."""
_PASSED_ON = (b"authorization", b"traceparent")


class OwnMetrics(Endpoint):
    """`GET /metrics` of one worker, for another one that gathers them."""

    def __init__(self, desk: Desk, metrics: Metrics, assignment: Assignment) -> None:
        super().__init__(desk, "/metrics")
        self._metrics = metrics
        self._restarts = _RESTARTS % assignment.restarts

    async def respond(self, caller: Caller, asked: Asked) -> Answer:
        """In the text format."""
        return Answer(200, self._metrics.render()[0] + _IS_UP % 1 + self._restarts)


class GatheredMetrics(Endpoint):
    """`GET /metrics`: those of every worker that answers, labelled by its number, and which of them do."""

    def __init__(self, desk: Desk, forwarding: Forwarding, own: Endpoint, number: int) -> None:
        super().__init__(desk, own.path)
        self._forwarding = forwarding
        self._own = own
        self._number = number
        self._gathering = asyncio.Lock()
        self._gathered: dict[str, tuple[float, bytes, str]] = {}
        """When, what and of what type, by what was accepted."""

    async def respond(self, caller: Caller, asked: Asked) -> Answer:
        """In the format that is asked for."""
        accept = _OPEN_METRICS if _OPEN_METRICS in asked.headers.get(b"accept", b"").decode("latin-1") else ""
        async with self._gathering:
            gathered_at, body, content_type = self._gathered.get(accept, (-math.inf, b"", ""))
            if time.monotonic() > gathered_at + _FRESH_S:
                body, content_type = merge(await self._expositions(caller, asked), accept)
                self._gathered[accept] = time.monotonic(), body, content_type
        headers = [
            (b"content-type", content_type.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", asked.request_id),
        ]
        asked.is_answered = True
        await asked.send({"type": "http.response.start", "status": 200, "headers": headers})
        await asked.send({"type": "http.response.body", "body": body})
        return Answer(200, b"")

    async def _expositions(self, caller: Caller, asked: Asked) -> dict[str, bytes]:
        answers = {self._number: await self._own.respond(caller, asked)}
        answers |= await self._forwarding.ask_others(self.path, _passed_on(asked), _TIMEOUT_S)
        return {
            str(number): answer.body if answer.status == 200 else _IS_UP % 0
            for number, answer in sorted(answers.items())
        }


class GatheredRollouts(Endpoint):
    """`GET /v1/rollouts`: those of all workers, oldest first. Where one does not answer, there is no list."""

    def __init__(self, desk: Desk, forwarding: Forwarding, own: Endpoint) -> None:
        super().__init__(desk, own.path, "rollouts")
        self._forwarding = forwarding
        self._own = own

    async def respond(self, caller: Caller, asked: Asked) -> Answer:
        """The list, or the first answer that is none."""
        own = await self._own.respond(caller, asked)
        answers = [own, *(await self._forwarding.ask_others(self.path, _passed_on(asked), _TIMEOUT_S)).values()]
        return _first_failure(answers) or Answer(200, _joined([orjson.loads(answer.body) for answer in answers]))


class GatheredReadiness(Endpoint):
    """`GET /readyz`: the server is ready when all its workers are."""

    def __init__(self, desk: Desk, forwarding: Forwarding, own: Endpoint) -> None:
        super().__init__(desk, own.path)
        self._forwarding = forwarding
        self._own = own

    async def respond(self, caller: Caller, asked: Asked) -> Answer:
        """The first answer of a worker that is not ready, if there is one."""
        own = await self._own.respond(caller, asked)
        others = await self._forwarding.ask_others(self.path, _passed_on(asked), _TIMEOUT_S)
        return _first_failure(others.values()) or own


class WholeManifest(Endpoint):
    """`GET /v1/manifest`, with the limits of the whole server."""

    def __init__(self, desk: Desk, own: Endpoint, limits: Limits) -> None:
        super().__init__(desk, own.path, "manifest")
        self._own = own
        self._limits = limits.model_dump(mode="json")

    async def respond(self, caller: Caller, asked: Asked) -> Answer:
        """The manifest."""
        own = await self._own.respond(caller, asked)
        return Answer(200, orjson.dumps(orjson.loads(own.body) | {"limits": self._limits}))


def gathered(
    desk: Desk, endpoints: Mapping[str, Endpoint], forwarding: Forwarding, assignment: Assignment
) -> dict[str, Endpoint]:
    """The endpoints that answer for the whole server in place of a worker's own `endpoints`, by their paths."""
    answering = [
        GatheredMetrics(desk, forwarding, endpoints["/metrics"], assignment.number),
        GatheredRollouts(desk, forwarding, endpoints["/v1/rollouts"]),
        GatheredReadiness(desk, forwarding, endpoints["/readyz"]),
        WholeManifest(desk, endpoints["/v1/manifest"], assignment.limits),
    ]
    return {one.path: one for one in answering}


def _passed_on(asked: Asked) -> list[Header]:
    return [(name, asked.headers[name]) for name in _PASSED_ON if name in asked.headers]


def _first_failure(answers: Iterable[Answer]) -> Answer | None:
    return next((answer for answer in answers if answer.status != 200), None)


def _joined(lists: list[dict[str, Any]]) -> bytes:
    rollouts = [rollout for one in lists for rollout in one["rollouts"]]
    rollouts.sort(key=lambda rollout: -rollout["age_s"])
    sums = {name: sum(one[name] for one in lists) for name in ("total", "queued")}
    return orjson.dumps({"rollouts": rollouts[:_MAX_SHOWN], **sums})


_IS_UP = b"# HELP envport_worker_up Whether the worker answers\n# TYPE envport_worker_up gauge\nenvport_worker_up %d\n"
_RESTARTS = (
    b"# HELP envport_worker_restarts_total How often the worker was started again\n"
    b"# TYPE envport_worker_restarts_total counter\n"
    b"envport_worker_restarts_total %d\n"
)
