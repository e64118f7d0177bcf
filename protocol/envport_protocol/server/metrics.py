"""What a server did and does, for Prometheus: counted in plain numbers, put into families when it is asked.

Every label has a bounded set of values, and none of them is what a client sent: tools are those that the environment
has, verbs those of the protocol, all else is "other".
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple, get_args

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString
from starlette.responses import Response

from envport_protocol.messages import PROTOCOL_VERSION, Outcome, Verb
from envport_protocol.server.lifespan import run_during
from envport_protocol.server.loop_watch import LoopWatch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from prometheus_client.core import Metric
    from starlette.applications import Starlette
    from starlette.requests import Request

    from envport_protocol.hosting.host import Host

VERBS = frozenset({*get_args(Verb), "batch", "manifest", "tasks", "rollouts", "mcp"})
OTHER = "other"
"""The label of whatever is not among the known values."""

MAX_TOOLS = 64
"""Tools with a label of their own: an environment that makes up tools for each rollout must not fill the memory."""

_RAN = frozenset({Outcome.OK, Outcome.ENV_ERROR, Outcome.TIMEOUT})
"""Outcomes that only a tool which exists can have; whatever a model makes up is a tool_error."""

_CALL_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_LAG_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

_GAUGES = {
    "rollouts": ("envport_rollouts_open", "Rollouts that the server holds"),
    "max_rollouts": ("envport_rollouts_limit", "Rollouts that the server may hold"),
    "queued": ("envport_rollouts_queued", "Starts that wait for room"),
    "max_queued": ("envport_rollouts_queued_limit", "Starts that may wait for room"),
    "running": ("envport_calls_running", "Calls that run now"),
    "threads_busy": ("envport_threads_busy", "Threads in which a blocking method runs now"),
    "max_threads": ("envport_threads_limit", "Threads in which blocking methods may run; more of these wait"),
    "journal_bytes": ("envport_journal_bytes", "Size of the journal"),
}
"""The fields of the host's counts, each with its family and what it tells."""


class Metrics(Collector):
    """An Observer that counts, and tells what it counted. All on one thread, the event loop's.

    A registry belongs to it alone, so that two servers in a process do not count together.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(namespace="envport", registry=self._registry)
        self._host: Host | None = None
        self._calls: dict[tuple[str, str, str], _Buckets] = {}
        self._calls_by_event: dict[tuple[str, str | None, str], _Buckets] = {}
        """The same ones, by what `executed` is called with."""
        self._tools: set[str] = set()
        self._answers: dict[tuple[str, int], _Answers] = {}
        self._latencies: dict[str, _Buckets] = {}
        self._expired = 0
        self._replayed = {True: 0, False: 0}
        self._lag = _Buckets(_LAG_BOUNDS_S)
        self._last_lag_s = 0.0
        self.loop_watch = LoopWatch(self.lagged)

    def attach(self, host: Host) -> None:
        """The gauges are those of `host` from now on, read whenever they are rendered."""
        self._host = host

    def executed(self, verb: str, tool: str | None, outcome: Outcome, seconds: float) -> None:
        """See Observer."""
        buckets = self._calls_by_event.get((verb, tool, outcome)) or self._call(verb, tool, outcome)
        buckets.observe(seconds)

    def answered(self, verb: str, status: int, seconds: float) -> None:
        """See Observer."""
        answers = self._answers.get((verb, status)) or self._answer(verb, status)
        answers.count += 1
        answers.latency.observe(seconds)

    def expired(self, rollouts: int) -> None:
        """See Observer."""
        self._expired += rollouts

    def replayed(self, is_rebuilt: bool) -> None:
        """See Observer."""
        self._replayed[is_rebuilt] += 1

    def lagged(self, seconds: float) -> None:
        """Counts one measurement of how late the event loop was."""
        self._last_lag_s = seconds
        self._lag.observe(seconds)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """The exposition and its content type: OpenMetrics where `accept`, the header, asks for it, else plain text."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def collect(self) -> Iterator[Metric]:
        """Every family that is not of the process."""
        yield self._calls_family()
        yield from self._answers_families()
        yield CounterMetricFamily("envport_rollouts_expired", "Rollouts that were idle for too long", self._expired)
        replayed = CounterMetricFamily(
            "envport_rollouts_replayed", "Rollouts of before a restart that were asked for", labels=["result"]
        )
        replayed.add_metric(["rebuilt"], self._replayed[True])
        replayed.add_metric(["lost"], self._replayed[False])
        yield replayed
        yield HistogramMetricFamily(
            "envport_event_loop_lag_seconds",
            "How late the event loop came to a measurement; one is due every 0.5 s",
            buckets=self._lag.cumulative(),
            sum_value=self._lag.sum,
        )
        yield GaugeMetricFamily("envport_event_loop_lag_last_seconds", "The last of these", self._last_lag_s)
        if self._host is not None:
            yield from _families_of(self._host)

    def _calls_family(self) -> Metric:
        family = HistogramMetricFamily(
            "envport_call_execution_seconds",
            "How long the environment's code ran for a call",
            labels=["verb", "tool", "outcome"],
        )
        for labels, buckets in self._calls.items():
            family.add_metric(labels, buckets.cumulative(), buckets.sum)
        return family

    def _answers_families(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "envport_requests", "Requests and calls of batches that were answered", labels=["verb", "status"]
        )
        for (verb, status), answers in self._answers.items():
            requests.add_metric([verb, str(status)], answers.count)
        yield requests
        latency = HistogramMetricFamily(
            "envport_request_seconds", "How long a request took from its headers to its answer", labels=["verb"]
        )
        for verb, buckets in self._latencies.items():
            latency.add_metric([verb], buckets.cumulative(), buckets.sum)
        yield latency

    def _call(self, verb: str, tool: str | None, outcome: Outcome) -> _Buckets:
        labels = (verb if verb in VERBS else OTHER, self._tool_label(verb, tool, outcome), str(outcome))
        buckets = self._calls.setdefault(labels, _Buckets(_CALL_BOUNDS_S))
        if labels[0] == verb and (tool is None or labels[1] == tool):
            self._calls_by_event[verb, tool, outcome] = buckets
        return buckets

    def _tool_label(self, verb: str, tool: str | None, outcome: Outcome) -> str:
        if tool is None:
            return OTHER if verb == "run_tool" else ""
        if tool not in self._tools:
            if outcome not in _RAN or len(self._tools) >= MAX_TOOLS:
                return OTHER
            self._tools.add(tool)
        return tool

    def _answer(self, verb: str, status: int) -> _Answers:
        label = verb if verb in VERBS else OTHER
        latency = self._latencies.setdefault(label, _Buckets(_CALL_BOUNDS_S))
        return self._answers.setdefault((label, status), _Answers(latency))


class _Buckets:
    """A histogram as plain numbers: how many observations fell into each bucket, and their sum."""

    __slots__ = ("_bounds", "_counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def cumulative(self) -> list[tuple[str, float]]:
        """Each upper bound, and how many observations were at most as large."""
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        return [*zip(names, map(float, accumulate(self._counts)), strict=True)]


class _Answers:
    """The answers to one verb with one status. The latency is that of the verb, shared by its statuses."""

    __slots__ = ("count", "latency")

    def __init__(self, latency: _Buckets) -> None:
        self.count = 0
        self.latency = latency


def _families_of(host: Host) -> Iterator[Metric]:
    counts = host.counts()
    for field, (name, told) in _GAUGES.items():
        yield GaugeMetricFamily(name, told, getattr(counts, field))
    info = {
        "environment": host.name,
        "version": host.config.version,
        "digest": host.config.digest or "",
        "protocol": PROTOCOL_VERSION,
    }
    yield InfoMetricFamily("envport_build", "What is served", info)


def add_metrics(app: Starlette, host: Host, metrics: Metrics) -> None:
    """`GET /metrics` of `host` in `app`, and the watch over its event loop while it runs.

    `metrics` must be the host's observer, or one of its observers.
    """
    metrics.attach(host)

    async def respond(request: Request) -> Response:
        body, content_type = metrics.render(request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": content_type})

    app.add_route("/metrics", respond, methods=["GET"], include_in_schema=False)
    run_during(app, metrics.loop_watch.watching)


def merge(expositions: Mapping[str, bytes], accept: str = "") -> tuple[bytes, str]:
    """One exposition of several workers' ones in the text format, each sample labelled `worker` by the key of its own.

    With its content type, as `Metrics.render` gives them. The lines are not parsed: that takes seconds where there are
    many tools and workers.
    """
    families: dict[bytes, _Family] = {}
    for worker, exposition in expositions.items():
        label = b'{worker="%b"' % worker.encode()
        family = _Family({}, [])
        for line in exposition.split(b"\n"):
            if line.startswith(b"#"):
                family = families.setdefault(line.split(b" ", 3)[2], _Family({}, []))
                family.comments[line] = None
            elif line:
                family.samples.append(_labelled(line, label))
    _, content_type = choose_encoder(accept)
    if content_type.startswith("application/openmetrics-text"):
        blocks = [family.in_open_metrics(name) for name, family in families.items()]
        return b"".join([*blocks, b"# EOF\n"]), content_type
    return b"".join(family.in_text() for family in families.values()), content_type


class _Family(NamedTuple):
    comments: dict[bytes, None]
    samples: list[bytes]

    def in_text(self) -> bytes:
        return b"\n".join([*self.comments, *self.samples, b""])

    def in_open_metrics(self, name: bytes) -> bytes:
        """There a counter is named without the ending of its samples."""
        if b"# TYPE %b counter" % name not in self.comments:
            return self.in_text()
        short = name.removesuffix(b"_total")
        return b"\n".join([*(one.replace(name, short, 1) for one in self.comments), *self.samples, b""])


def _labelled(sample: bytes, label: bytes) -> bytes:
    name, brace, rest = sample.partition(b"{")
    if brace:
        return b"%b%b,%b" % (name, label, rest)
    name, _, value = sample.partition(b" ")
    return b"%b%b} %b" % (name, label, value)
