"""Traceable: a request has an id, the server counts what it did, and says that it lives whatever else it does."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from typing import TYPE_CHECKING

from envport.check.definition import BrokenError, NotApplicableError, check
from envport.check.expectations import good

if TYPE_CHECKING:
    from envport.check.probe import Probe
    from envport.check.wire import Wire

REQUESTS = "envport_requests_total"
_FAMILIES = (
    "envport_call_execution_seconds_bucket",
    "envport_calls_running",
    "envport_rollouts_open",
    "envport_rollouts_queued",
    REQUESTS,
)
_ALIVE_WITHIN_S = 1.0
_BUSY_ROLLOUTS = 48
_TICK_S = 0.02
_LOGGED_WITHIN_S = 5.0


@check(
    promise=11,
    expected="the same X-Request-Id back, on good answers and on errors",
    remedy="The server must echo X-Request-Id; a proxy in front of it must pass the header on.",
)
async def request_id_comes_back(probe: Probe) -> str:
    """Sends requests with an X-Request-Id, good ones and ones that must be refused."""
    for path in ("/v1/manifest", "/livez", "/no-such-path", "/v1/tasks?limit=none"):
        sent = f"check-{secrets.token_hex(8)}"
        reply = await probe.wire.get(path, headers={"x-request-id": sent})
        if reply.headers.get("x-request-id") != sent:
            raise BrokenError(f"{reply.told} with X-Request-Id {reply.headers.get('x-request-id')!r}, sent {sent!r}")
    return "the id that was sent, each time"


@check(
    promise=11,
    expected="an X-Request-Id on each answer, each time another, and never one that is unfit for a log",
    remedy="The server must make an id where none came, or one that is too long or has other characters.",
)
async def request_id_is_made_where_missing(probe: Probe) -> str:
    """Sends requests without an X-Request-Id, and with ones that are no ids."""
    given = [{}, {}, {"x-request-id": "a" * 1000}, {"x-request-id": "two words"}]
    made = [(await probe.wire.get("/livez", headers=headers)).headers.get("x-request-id", "") for headers in given]
    if "" in made or len(set(made)) != len(made) or any(len(name) > 128 or " " in name for name in made):
        raise BrokenError(f"ids {[name[:40] for name in made]}")
    return f"ids such as {made[0]}"


@check(
    promise=11,
    expected="200 with a good traceparent and with a bad one",
    remedy="The server must take a W3C traceparent, and ignore one that is none.",
)
async def traceparent_is_taken(probe: Probe) -> str:
    """Sends requests with a traceparent, and with texts that are none."""
    good_one = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
    for parent in (good_one, "none", "00-0-0-0", "a" * 500):
        good(await probe.wire.post("list_tools", {}, headers={"traceparent": parent}))
    return "200 for each"


@check(
    promise=11,
    expected="both ids in the log line about the request",
    remedy="The server must log what went wrong with the X-Request-Id and the traceparent of its request.",
)
async def log_lines_name_their_request(probe: Probe) -> str:
    """Sends a start that must fail with both headers, and looks for them in the log of a server that logs all."""
    request_id, trace_id = f"check-{secrets.token_hex(8)}", secrets.token_hex(16)
    headers = {"x-request-id": request_id, "traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"}
    async with probe.mortal() as (other, server):
        await other.wire.post("start_rollout", {"rollout_id": "a", "task_id": "no-such-task"}, headers=headers)
        deadline = time.monotonic() + _LOGGED_WITHIN_S
        while (log := server.log()) is not None:
            lines = [line for line in log.splitlines() if request_id in line]
            if any(trace_id in line for line in lines):
                return "both in one line"
            if time.monotonic() > deadline:
                raise BrokenError(f"{len(lines)} lines of the log name the request, none of them its trace")
            await asyncio.sleep(0.05)
        raise NotApplicableError("the server's log is not at hand")


@check(
    promise=11,
    expected="the Prometheus text format, with running calls, open and waiting rollouts, requests by status, and "
    "execution times by tool and outcome",
    remedy="The server must tell at /metrics what it holds and did.",
)
async def metrics_can_be_scraped(probe: Probe) -> str:
    """Makes a tool call and reads /metrics."""
    rollout = await probe.start()
    await rollout.run_tool(probe.calls(1)[0])
    samples = await probe.metrics()
    missing = [name for name in _FAMILIES if not samples.has(name)]
    if missing:
        raise BrokenError(f"/metrics has no {', '.join(missing)}")
    labels = [labels for name, labels, _ in samples.all if name == _FAMILIES[0]]
    if not any(one.keys() >= {"verb", "tool", "outcome"} for one in labels):
        raise BrokenError(f"{_FAMILIES[0]} has the labels {sorted(labels[0])}")
    return f"{len(samples.all)} samples"


@check(
    promise=11,
    expected="each number of requests by verb and status rises by what was sent",
    remedy="The server must count each request once, by its verb and status.",
)
async def metrics_count_what_was_asked(probe: Probe) -> str:
    """Sends some requests, good and bad, and compares the counts of /metrics before and after."""
    before = await probe.metrics()
    sent: Counter[tuple[str, int]] = Counter()
    for number in range(3):
        rollout = await probe.start(number)
        replies = [rollout.started, *[await rollout.run_tool(call) for call in probe.calls(2)]]
        replies += [await rollout.score("An answer."), await rollout.end(), await rollout.end()]
        sent.update((reply.request.removeprefix("POST /v1/"), reply.status) for reply in replies)
    refused = [await probe.wire.post("run_tool", {}), await probe.wire.post("end_rollout", {"rollout_id": "nobody"})]
    sent.update((reply.request.removeprefix("POST /v1/"), reply.status) for reply in refused)
    after = await probe.metrics()
    for (verb, status), times in sent.items():
        labels = {"verb": verb, "status": str(status)}
        rose = after.sum(REQUESTS, **labels) - before.sum(REQUESTS, **labels)
        if rose != times:
            raise BrokenError(f"{times} requests of {verb} were answered {status}, and the count rose by {rose:g}")
    return f"{sent.total()} requests, all counted"


@check(
    promise=11,
    expected="200 within 1 s, each time",
    remedy="Code of the environment blocks the event loop: make blocking methods plain def, which run in threads. The "
    "server's log names the code.",
)
async def livez_answers_while_all_else_runs(probe: Probe) -> str:
    """Asks /livez over and over while rollouts run their tools and rewards beside it."""
    busy = asyncio.gather(*(_use(probe, number) for number in range(_BUSY_ROLLOUTS)))
    slowest, times = 0.0, 0
    async with probe.wire.separately() as wire:
        while not busy.done() or times == 0:
            slowest = max(slowest, await _alive(wire))
            times += 1
            await asyncio.sleep(0.02)
    await busy
    if slowest > _ALIVE_WITHIN_S:
        raise BrokenError(f"/livez took {slowest:.2f} s while {_BUSY_ROLLOUTS} rollouts ran")
    return f"{times} answers, the slowest after {slowest * 1000:.0f} ms"


async def _use(probe: Probe, number: int) -> None:
    rollout = await probe.start(number)
    for call in probe.calls(3):
        await rollout.run_tool(call)
    await rollout.score("x" * 10_000)
    await rollout.end()


async def _alive(wire: Wire) -> float:
    """Seconds until the answer, less those that this process itself was late."""
    late_s: list[float] = []
    watching = asyncio.create_task(_watch(late_s))
    try:
        reply = await wire.get("/livez")
    finally:
        watching.cancel()
    if reply.status != 200:
        raise BrokenError(reply.told)
    return max(0.0, reply.seconds - sum(late_s))


async def _watch(late_s: list[float]) -> None:
    while True:
        due = time.monotonic() + _TICK_S
        await asyncio.sleep(_TICK_S)
        late_s.append(max(0.0, time.monotonic() - due))
