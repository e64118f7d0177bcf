"""Exactly once: a repeat is answered from what is stored, and other arguments under a used id are refused."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from envport_protocol.messages import Outcome

from envport.check.definition import BrokenError, NotApplicableError, check
from envport.check.expectations import all_same, good, refused, same
from envport.check.raw_http import request_bytes, send_and_leave

if TYPE_CHECKING:
    from envport.check.probe import Probe
    from envport.check.prometheus import Samples

EXECUTIONS = "envport_call_execution_seconds_count"
_DUPLICATES = 16


@check(
    promise=1,
    expected="the second answer is the first, byte for byte, whatever the order of the fields in the request",
    remedy="The server must keep the answer of a start under its rollout_id and compare requests by their values.",
)
async def start_repeats(probe: Probe) -> str:
    """Sends one start_rollout three times, the last time with its fields in another order."""
    body = probe.start_body()
    first = await probe.ask_start(body)
    good(first)
    same(first, await probe.ask_start(body))
    same(first, await probe.ask_start(dict(reversed(body.items()))))
    return f"three times the same {len(first.body)} bytes"


@check(
    promise=1,
    expected="the second answer is the first, byte for byte, errors and other deadlines included",
    remedy="The server must keep the answer of each tool call under its call_id until the rollout ends.",
)
async def tool_call_repeats(probe: Probe) -> str:
    """Sends tool calls twice each, the second time with another timeout_s, which is no argument."""
    rollout = await probe.start()
    calls = probe.calls(4)
    for call in calls:
        call_id = rollout.new_call_id()
        first = await rollout.run_tool(call, call_id)
        same(first, await rollout.run_tool(call, call_id, timeout_s=30))
    return f"{len(calls)} calls, each answered twice the same"


@check(
    promise=1,
    expected="the second answer is the first, byte for byte",
    remedy="The server must score a rollout once and keep the answer until the rollout ends.",
)
async def reward_repeats(probe: Probe) -> str:
    """Asks twice for the reward of one completion."""
    rollout = await probe.start()
    first = await rollout.score("An answer.")
    same(first, await rollout.score("An answer."))
    return f"twice {first.status} with the same {len(first.body)} bytes"


@check(
    promise=1,
    expected="200 both times, with the same bytes",
    remedy="The server must remember that a rollout was ended, and answer a repeat of its end as the first time.",
)
async def end_repeats(probe: Probe) -> str:
    """Ends one rollout twice."""
    rollout = await probe.start()
    first = await rollout.end()
    good(first)
    same(first, await rollout.end())
    return f"twice the same {len(first.body)} bytes"


@check(
    promise=1,
    expected="the second answer is the first, byte for byte",
    remedy="The server must keep the answer of a fork under the new rollout's id.",
)
async def fork_repeats(probe: Probe) -> str:
    """Sends one fork_rollout twice."""
    probe.needs("fork")
    rollout = await probe.start(rollout_id=probe.new_id(".0"))
    body = {"rollout_id": rollout.id, "new_rollout_id": probe.sibling(rollout.id)}
    first = await probe.wire.post("fork_rollout", body)
    good(first)
    same(first, await probe.wire.post("fork_rollout", body))
    return f"twice the same {len(first.body)} bytes"


@check(
    promise=1,
    expected="the second answer is the first, byte for byte",
    remedy="The server must keep the scores of a group under its group_id.",
)
async def group_reward_repeats(probe: Probe) -> str:
    """Asks twice for the rewards of one group."""
    probe.needs_version(1, 1)
    body = await group_body(probe)
    first = await probe.wire.post("compute_group_reward", body)
    same(first, await probe.wire.post("compute_group_reward", body))
    return f"twice {first.status} with the same {len(first.body)} bytes"


@check(
    promise=1,
    expected="the second answer is the first, byte for byte",
    remedy="The server must answer a repeated cancel as the first one.",
)
async def cancel_repeats(probe: Probe) -> str:
    """Cancels one call id twice."""
    probe.needs("cancel")
    rollout = await probe.start()
    first = await rollout.cancel("never-seen")
    good(first)
    same(first, await rollout.cancel("never-seen"))
    return f"twice the same {len(first.body)} bytes"


@check(
    promise=1,
    expected="all sixteen answers of each are the same, byte for byte",
    remedy="The server must let a repeat of a call that still runs wait for that one's answer.",
)
async def duplicates_in_flight_join(probe: Probe) -> str:
    """Sends sixteen duplicates at once of a start, of a tool call and of a reward."""
    body = probe.start_body()
    started = await asyncio.gather(*(probe.ask_start(body) for _ in range(_DUPLICATES)))
    all_same(started)
    good(started[0])
    (call,) = probe.calls(1)
    called = (probe.wire.post("run_tool", call.body(body["rollout_id"], "twin")) for _ in range(_DUPLICATES))
    all_same(await asyncio.gather(*called))
    score = {"rollout_id": body["rollout_id"], "completion": "An answer."}
    all_same(await asyncio.gather(*(probe.wire.post("compute_reward", score) for _ in range(_DUPLICATES))))
    return f"{_DUPLICATES} duplicates of each, one answer of each"


@check(
    promise=1,
    expected="by /metrics, the environment's code ran once for each of start, tool call and reward",
    remedy="The server must not run the environment's code for a repeat, in flight or later.",
)
async def repeats_run_nothing(probe: Probe) -> str:
    """Counts by /metrics how often the environment ran for a start, a tool call and a reward, each sent eight times."""
    body = probe.start_body()
    (call,) = probe.calls(1)
    requests = {
        "start_rollout": body,
        "run_tool": call.body(body["rollout_id"], "once"),
        "compute_reward": {"rollout_id": body["rollout_id"], "completion": "An answer."},
    }
    probe.will_open(body["rollout_id"])
    for verb, request in requests.items():
        before = executions(await probe.metrics(), verb)
        await asyncio.gather(*(probe.wire.post(verb, request) for _ in range(_DUPLICATES // 4)))
        for _ in range(_DUPLICATES // 4):
            await probe.wire.post(verb, request)
        after = executions(await probe.metrics(), verb)
        if after != before + 1:
            raise BrokenError(f"{verb} was sent 8 times with one id and ran {after - before:g} times")
    return "one execution of each"


@check(
    promise=1,
    expected="410 rollout_ended with outcome lost for each, and 200 for the repeat of the end",
    remedy="The server must remember the ids of ended rollouts, so that a late repeat neither runs nor starts anew.",
)
async def spent_ids_stay_spent(probe: Probe) -> str:
    """Sends every request of a rollout again after its end, and new ones."""
    rollout = await probe.start()
    (call,) = probe.calls(1)
    await rollout.run_tool(call, "made-before")
    await rollout.score("An answer.")
    ended = await rollout.end()
    late = [
        await probe.ask_start(rollout.request),
        await probe.ask_start({**rollout.request, "seed": probe.seed + 1}),
        await rollout.run_tool(call, "made-before"),
        await rollout.run_tool(call, "new"),
        await rollout.score("An answer."),
        await rollout.list_tools(),
    ]
    for reply in late:
        refused(reply, 410, "rollout_ended", Outcome.LOST)
    same(ended, await rollout.end())
    return f"410 rollout_ended for {len(late)} late requests"


@check(
    promise=1,
    expected="the repeat is answered, twice the same, and by /metrics the environment's code ran once",
    remedy="The server must go on with a call whose client's connection broke, at least until a repeat can have come.",
)
async def cut_off_call_is_found_again(probe: Probe) -> str:
    """Sends a tool call, closes the connection without reading the answer, and sends it again."""
    rollout = await probe.start()
    (call,) = probe.calls(1)
    body = call.body(rollout.id, "cut-off")
    before = executions(await probe.metrics(), "run_tool")
    await send_and_leave(probe.wire, request_bytes(probe.wire, "POST", "/v1/run_tool", body))
    first = await probe.wire.post("run_tool", body)
    same(first, await probe.wire.post("run_tool", body))
    after = executions(await probe.metrics(), "run_tool")
    if first.status == 409 or after != before + 1:
        raise BrokenError(f"{first.told}; it ran {after - before:g} times")
    return f"{first.status}, run once"


@check(
    promise=1,
    expected="404 unknown_task, then 200",
    remedy="A start that was refused with a status below 500 must leave its id free.",
)
async def refused_start_leaves_its_id_free(probe: Probe) -> str:
    """Starts a rollout of a task that does not exist, then one of a real task under the same id."""
    body = probe.start_body()
    unknown = {"rollout_id": body["rollout_id"], "task_id": "envport-check-no-such-task"}
    refused(await probe.ask_start(unknown), 404, "unknown_task")
    good(await probe.ask_start(body))
    return "404 unknown_task, then 200"


def executions(samples: Samples, verb: str) -> float:
    """How often the environment's code ran for a verb.

    Raises:
        NotApplicableError: this server does not tell.
    """
    if not samples.has(EXECUTIONS):
        raise NotApplicableError(f"/metrics has no {EXECUTIONS}, by which executions could be counted")
    return samples.sum(EXECUTIONS, verb=verb)


async def group_body(probe: Probe) -> dict[str, Any]:
    """The body of a compute_group_reward for two rollouts of one task."""
    name = probe.new_id()
    members = [await probe.start(rollout_id=f"{name}.{number}") for number in range(2)]
    return {
        "group_id": name,
        "members": [{"rollout_id": member.id, "completion": f"Answer {member.id}."} for member in members],
    }
