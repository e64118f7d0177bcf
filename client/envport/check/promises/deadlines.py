"""Deadlines: each call has one that the server keeps, and a call can be cancelled."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING

from envport_protocol.messages import Outcome

from envport.check.definition import BrokenError, NotApplicableError, check
from envport.check.expectations import error_body, good, refused, same
from envport.check.promises.exactly_once import executions
from envport.check.raw_http import request_bytes, send_and_leave

if TYPE_CHECKING:
    from envport.check.probe import Probe

RUNNING = "envport_calls_running"
_KEPT_WITHIN_S = 2.0
_ORPHANS_END_WITHIN_S = 25.0
"""The server gives an abandoned call 15 s for its client to come back."""
_ALL_CAME_WITHIN_S = 2.0
_RACES = 12
_CUT_OFF = 8


@check(
    promise=3,
    expected="limits.call_timeout_s is a finite number of seconds above 0",
    remedy="The server must have a deadline for each call and tell it in the manifest (ServeConfig.call_timeout_s).",
)
async def calls_have_a_deadline(probe: Probe) -> str:
    """Reads the deadline of calls in the manifest."""
    limit_s = probe.limits.get("call_timeout_s")
    if isinstance(limit_s, bool) or not isinstance(limit_s, int | float) or not 0 < limit_s < math.inf:
        raise BrokenError(f"limits.call_timeout_s is {limit_s!r}")
    return f"{limit_s:g} s"


@check(
    promise=3,
    expected="an answer within 2 s: that of the tool, or 504 timeout; and the same for the repeat",
    remedy="The server must end a call at its deadline, also one that does not listen, and keep that outcome.",
)
async def deadline_of_a_millisecond_is_kept(probe: Probe) -> str:
    """Makes tool calls with a timeout_s of one millisecond, and repeats them."""
    rollout = await probe.start()
    seen: set[int] = set()
    for call in probe.calls(4):
        call_id = rollout.new_call_id()
        first = await rollout.run_tool(call, call_id, timeout_s=0.001)
        if first.seconds > _KEPT_WITHIN_S:
            raise BrokenError(f"{first.told} after {first.seconds:.1f} s")
        if first.status == 504:
            refused(first, 504, "timeout", Outcome.TIMEOUT)
        elif first.status != 200:
            error_body(first)
        same(first, await rollout.run_tool(call, call_id, timeout_s=0.001))
        seen.add(first.status)
    return f"answers of status {', '.join(map(str, sorted(seen)))} within {_KEPT_WITHIN_S:g} s, the repeats the same"


@check(
    promise=3,
    expected="422 invalid_request for each",
    remedy="The server must refuse a deadline that is none: 0, negative, over an hour, no number.",
)
async def deadline_out_of_range_is_refused(probe: Probe) -> str:
    """Makes tool calls with deadlines that are none."""
    rollout = await probe.start()
    (call,) = probe.calls(1)
    wrong = [0, -1, 3601, "soon", []]
    for timeout_s in wrong:
        refused(await rollout.run_tool(call, timeout_s=timeout_s), 422, "invalid_request")
    return f"422 for {wrong}"


@check(
    promise=3,
    expected="cancelled is true; then the call is answered with 409 cancelled, every time",
    remedy="The server must remember a call id that was cancelled before its call came, and not run it.",
)
async def cancelled_call_never_runs(probe: Probe) -> str:
    """Cancels a call id that was not seen yet, then makes the call twice."""
    probe.needs("cancel")
    rollout = await probe.start()
    (call,) = probe.calls(1)
    if good(await rollout.cancel("early"))["cancelled"] is not True:
        raise BrokenError("the cancel of a call id that was not seen yet says cancelled: false")
    first = await rollout.run_tool(call, "early")
    refused(first, 409, "cancelled", Outcome.CANCELLED)
    same(first, await rollout.run_tool(call, "early"))
    return "409 cancelled, twice the same"


@check(
    promise=3,
    expected="cancelled is false, and the call is still answered as before",
    remedy="The server must leave a finished call as it is.",
)
async def cancel_leaves_a_finished_call_alone(probe: Probe) -> str:
    """Cancels a call that was answered."""
    probe.needs("cancel")
    rollout = await probe.start()
    (call,) = probe.calls(1)
    first = await rollout.run_tool(call, "finished")
    if good(await rollout.cancel("finished"))["cancelled"] is not False:
        raise BrokenError("the cancel of a finished call says cancelled: true")
    same(first, await rollout.run_tool(call, "finished"))
    return "cancelled is false, the answer is the same"


@check(
    promise=3,
    expected="cancelled true goes with 409 cancelled, cancelled false with the tool's answer; the repeat is the same",
    remedy="The server must fix the outcome of a call once: what cancel says must be what the call gets.",
)
async def cancel_and_call_agree(probe: Probe) -> str:
    """Lets calls race with their cancels."""
    probe.needs("cancel")
    rollout = await probe.start()
    stopped = 0
    for number, call in enumerate(probe.calls(_RACES)):
        call_id = rollout.new_call_id()
        racing = [rollout.run_tool(call, call_id), rollout.cancel(call_id)]
        if number % 2:
            called, cancel = await asyncio.gather(*racing)
        else:
            cancel, called = await asyncio.gather(*reversed(racing))
        is_cancelled = good(cancel)["cancelled"]
        if is_cancelled is not (called.status == 409):
            raise BrokenError(f"{cancel.told}; and {called.told}")
        same(called, await rollout.run_tool(call, call_id))
        stopped += is_cancelled
    return f"{_RACES} races, {stopped} calls were stopped"


@check(
    promise=3,
    expected="404 unknown_rollout and 410 rollout_ended, both lost",
    remedy="The server must answer a cancel for a rollout that it does not hold as any other call: lost.",
)
async def cancel_of_a_lost_rollout_says_so(probe: Probe) -> str:
    """Cancels a call of a rollout that was never started, and of one that was ended."""
    probe.needs("cancel")
    unknown = await probe.wire.post("cancel", {"rollout_id": probe.new_id(), "call_id": "c"})
    refused(unknown, 404, "unknown_rollout", Outcome.LOST)
    rollout = await probe.start()
    await rollout.end()
    refused(await rollout.cancel("c"), 410, "rollout_ended", Outcome.LOST)
    return "404 unknown_rollout and 410 rollout_ended"


@check(
    promise=3,
    expected="within 25 s, by /metrics no call runs that did not run before",
    remedy="The server must stop a call that no client waits for any more (ServeConfig.orphan_grace_s).",
)
async def abandoned_calls_do_not_stay(probe: Probe) -> str:
    """Makes tool calls, closes their connections without reading, and watches the calls that run."""
    rollout = await probe.start()
    before = await probe.metrics()
    if not before.has(RUNNING):
        raise NotApplicableError(f"/metrics has no {RUNNING}, by which running calls could be seen")
    for call in probe.calls(_CUT_OFF):
        body = call.body(rollout.id, rollout.new_call_id())
        await send_and_leave(probe.wire, request_bytes(probe.wire, "POST", "/v1/run_tool", body))
    begun, running = time.monotonic(), 0.0
    while (waited_s := time.monotonic() - begun) < _ORPHANS_END_WITHIN_S:
        now = await probe.metrics()
        have_come = executions(now, "run_tool") - executions(before, "run_tool") >= _CUT_OFF
        running = now.sum(RUNNING) - before.sum(RUNNING)
        if running <= 0 and (have_come or waited_s > _ALL_CAME_WITHIN_S):
            return f"{_CUT_OFF} abandoned calls, none runs after {waited_s:.1f} s"
        await asyncio.sleep(0.05)
    raise BrokenError(f"{running:g} of {_CUT_OFF} abandoned calls still run")
