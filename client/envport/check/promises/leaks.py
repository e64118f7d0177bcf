"""Nothing leaks: ended, refused and idle rollouts are freed, and no rollout sees another."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from envport_protocol.messages import Outcome

from envport.check.definition import BrokenError, NotApplicableError, check
from envport.check.expectations import good, refused

if TYPE_CHECKING:
    from envport.check.probe import Probe
    from envport.check.rollout import Call, Rollout

OPEN = "envport_rollouts_open"
_MANY = 24
_CALLS = 6
_SHORT_IDLE_S = 5.0


@check(
    promise=5,
    expected="by /metrics, as many open rollouts as before",
    remedy="The server must free a rollout before it answers its end.",
)
async def ended_rollouts_are_freed(probe: Probe) -> str:
    """Starts and ends rollouts, and reads the number of open ones by /metrics before, between and after."""
    before = await _open(probe)
    rollouts = await asyncio.gather(*(probe.start(number) for number in range(_MANY)))
    between = await _open(probe)
    for reply in await asyncio.gather(*(rollout.end() for rollout in rollouts)):
        good(reply)
    after = await _open(probe)
    if (between, after) != (before + _MANY, before):
        raise BrokenError(f"{before:g} open, {between:g} with {_MANY} more, {after:g} after their ends")
    return f"{before:g} open, {between:g}, and {after:g} again"


@check(
    promise=5,
    expected="by /metrics, as many open rollouts as before",
    remedy="The server must hold nothing of a start that it refused.",
)
async def refused_starts_hold_nothing(probe: Probe) -> str:
    """Sends starts that must be refused, and reads the number of open rollouts by /metrics."""
    before = await _open(probe)
    for number in range(4):
        await probe.ask_start({"rollout_id": probe.new_id(), "task_id": f"envport-check-no-such-task-{number}"})
        await probe.ask_start({**probe.start_body(), "no_such_field": number})
    after = await _open(probe)
    if after != before:
        raise BrokenError(f"{before:g} open before, {after:g} after 8 refused starts")
    return f"{after:g} open before and after"


@check(
    promise=5,
    expected="the idle_timeout_s of the manifest, a finite number above 0",
    remedy="The server must end rollouts that nobody asks anything of (ServeConfig.idle_timeout_s), and say when.",
)
async def start_tells_the_idle_limit(probe: Probe) -> str:
    """Reads the idle limit of a start and of the manifest."""
    told = good((await probe.start()).started)["idle_timeout_s"]
    declared = probe.limits.get("idle_timeout_s")
    if told != declared or not isinstance(told, int | float) or not 0 < told < 1e9:
        raise BrokenError(f"the start says {told!r}, the manifest {declared!r}")
    return f"{told:g} s"


@check(
    promise=5,
    expected="the idle one is gone, 410 with outcome lost; the one in use goes on",
    remedy="The server must end rollouts that nobody asks anything of for its idle_timeout_s, and no others.",
)
async def idle_rollouts_expire(probe: Probe) -> str:
    """Leaves one rollout idle for the server's limit while another is used."""
    idle_s = probe.limits.get("idle_timeout_s", 0)
    if probe.can_launch:
        async with probe.served(idle_timeout_s=1.5) as other:
            return await _expire(other)
    if not 0 < idle_s <= _SHORT_IDLE_S:
        raise NotApplicableError(
            f"the server's idle limit is {idle_s:g} s, too long to wait for; give the folder instead"
        )
    return await _expire(probe)


@check(
    promise=5,
    expected="each rollout gets the answers that one alone got",
    remedy="A rollout's state is shared: keep it under its rollout_id, not in the object or the module.",
)
async def rollouts_do_not_see_each_other(probe: Probe) -> str:
    """Makes the same calls in one rollout alone, and in two of the same task by turns."""
    calls = probe.calls(_CALLS)
    alone = await probe.start()
    expected = [(await alone.run_tool(call)).answer for call in calls]
    if not probe.can("deterministic"):
        again = await probe.start()
        if [(await again.run_tool(call)).answer for call in calls] != expected:
            raise NotApplicableError("the environment's answers vary by themselves, and it does not say deterministic")
    pair = [await probe.start(), await probe.start()]
    for call, answer in zip(calls, expected, strict=True):
        for rollout in pair:
            await _expect(rollout, call, answer)
    return f"{_CALLS} calls in each of two rollouts, answered as in one alone"


async def _expect(rollout: Rollout, call: Call, answer: tuple[int, bytes]) -> None:
    reply = await rollout.run_tool(call)
    if reply.answer != answer:
        shown = answer[1].decode("utf-8", "replace")[:200]
        raise BrokenError(f"{call.tool_name} of two rollouts by turns: {reply.told}; alone: {answer[0]} {shown}")


async def _expire(probe: Probe) -> str:
    idle_s = probe.limits["idle_timeout_s"]
    idle, used = await probe.start(), await probe.start()
    begun = time.monotonic()
    while time.monotonic() - begun < 2 * idle_s + 0.5:
        good(await used.list_tools())
        await asyncio.sleep(idle_s / 8)
    refused(await idle.list_tools(), 410, "rollout_ended", Outcome.LOST)
    good(await used.list_tools())
    return f"idle for {idle_s:g} s and gone; the one in use goes on"


async def _open(probe: Probe) -> float:
    samples = await probe.metrics()
    if not samples.has(OPEN):
        raise NotApplicableError(f"/metrics has no {OPEN}, by which open rollouts could be counted")
    return samples.sum(OPEN)
