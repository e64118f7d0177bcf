"""Batches: many calls in one request, answered as alone, each as soon as it is done."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from envport.check.definition import BrokenError, NotApplicableError, check
from envport.check.promises.overload import filled, make_room

if TYPE_CHECKING:
    from envport.check.probe import Probe

_STARTS = 8


@check(
    promise=1,
    expected="a line for each call, with the status and body of the call alone; and the repeat says the same",
    remedy="The server must answer a call in a batch from the same store as a call alone.",
)
async def batch_gives_the_answers_of_single_calls(probe: Probe) -> str:
    """Sends starts, tool calls, rewards and ends in batches, and each of them again alone."""
    probe.needs("batch")
    starts = [probe.start_body(number) for number in range(_STARTS)]
    (call,) = probe.calls(1)
    for body in starts:
        probe.will_open(body["rollout_id"])
    ids = [body["rollout_id"] for body in starts]
    await _compare(probe, "start_rollout", starts)
    await _compare(probe, "run_tool", [call.body(rollout_id, "c") for rollout_id in ids])
    score: dict[str, Any] = {"completion": "An answer."}
    await _compare(probe, "compute_reward", [{"rollout_id": rollout_id, **score} for rollout_id in ids])
    await _compare(probe, "end_rollout", [{"rollout_id": rollout_id} for rollout_id in ids])
    return f"{4 * _STARTS} calls, answered in batches as alone"


@check(
    promise=4,
    expected="the answer of the quick call at once, before that of the one that waits",
    remedy="The server must send each line as its call is done, and let no slow call hold back another. A proxy in "
    "front of it must not buffer.",
)
async def batch_streams_as_calls_are_done(probe: Probe) -> str:
    """Sends a batch of a start that must wait in line and of a quick call after it."""
    probe.needs("batch")
    async with filled(probe) as (full, rollouts):
        if not full.limits.get("max_queued"):
            raise NotApplicableError("the server has no line for starts, so no call of a batch can be made to wait")
        waiting = full.start_body()
        full.will_open(waiting["rollout_id"])
        calls = [
            {"id": "waits", "verb": "start_rollout", "body": waiting},
            {"id": "quick", "verb": "list_tools", "body": {}},
        ]
        seen: list[tuple[str, int]] = []
        has_come_in = asyncio.Event()
        freeing: asyncio.Task[None] | None = None
        async for _, line in full.wire.batch(calls):
            seen.append((line["id"], line["status"]))
            if line["id"] == "quick" and freeing is None:
                freeing = asyncio.create_task(make_room(rollouts, has_come_in))
        has_come_in.set()
        if freeing is not None:
            await freeing
        if seen != [("quick", 200), ("waits", 200)]:
            raise BrokenError(f"lines in the order {seen}")
        return "the quick call first, then the one that had waited"


async def _compare(probe: Probe, verb: str, bodies: list[dict[str, Any]]) -> None:
    by_name = {f"n{number}": body for number, body in enumerate(bodies)}
    calls: list[dict[str, Any]] = [{"id": name, "verb": verb, "body": body} for name, body in by_name.items()]
    lines = [line async for _, line in probe.wire.batch(calls)]
    answered = sorted(line["id"] for line in lines)
    if answered != sorted(by_name):
        raise BrokenError(f"{len(calls)} calls of {verb}, lines of {answered}")
    for line in lines:
        alone = await probe.wire.post(verb, by_name[line["id"]])
        if (line["status"], line["body"]) != (alone.status, alone.json):
            raise BrokenError(f"{verb} in a batch: {line['status']} {line['body']!r:.150}; alone: {alone.told}")
