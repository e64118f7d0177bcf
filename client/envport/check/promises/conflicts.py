"""The same id with other arguments: refused, and nothing changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envport.check.definition import check
from envport.check.expectations import good, refused, same
from envport.check.promises.exactly_once import group_body

if TYPE_CHECKING:
    from envport.check.probe import Probe


@check(
    promise=1,
    expected="409 id_conflict, and the first start still answered as before",
    remedy="The server must compare a start with the one that it knows under this id, and refuse another.",
)
async def start_with_other_arguments_conflicts(probe: Probe) -> str:
    """Starts a rollout under a used id, with another seed."""
    body = probe.start_body()
    first = await probe.ask_start(body)
    good(first)
    refused(await probe.ask_start({**body, "seed": probe.seed + 1}), 409, "id_conflict")
    same(first, await probe.ask_start(body))
    return "409 id_conflict, and the first start is untouched"


@check(
    promise=1,
    expected="409 id_conflict, and the first call still answered as before",
    remedy="The server must compare a call with the one that it knows under this id, and refuse another.",
)
async def tool_call_with_other_arguments_conflicts(probe: Probe) -> str:
    """Makes a tool call under a used id, with other arguments and with another tool."""
    rollout = await probe.start()
    (call,) = probe.calls(1)
    first = await rollout.run_tool(call, "used")
    body = call.body(rollout.id, "used")
    for other in ({"arguments": {**call.arguments, "envport-check": 1}}, {"tool_name": "envport-check-other"}):
        refused(await probe.wire.post("run_tool", {**body, **other}), 409, "id_conflict")
    same(first, await rollout.run_tool(call, "used"))
    return "409 id_conflict for both, and the first call is untouched"


@check(
    promise=1,
    expected="409 id_conflict, and the first reward still answered as before",
    remedy="The server must score a rollout once, and refuse a second completion.",
)
async def reward_of_another_completion_conflicts(probe: Probe) -> str:
    """Asks for the reward of a second completion of one rollout."""
    rollout = await probe.start()
    first = await rollout.score("An answer.")
    refused(await rollout.score("Another answer."), 409, "id_conflict")
    same(first, await rollout.score("An answer."))
    return "409 id_conflict, and the first reward is untouched"


@check(
    promise=1,
    expected="409 id_conflict",
    remedy="The server must refuse a fork under the id of a rollout that came from elsewhere.",
)
async def fork_from_elsewhere_conflicts(probe: Probe) -> str:
    """Forks two rollouts under one new id, and one under the id of a started rollout."""
    probe.needs("fork")
    name = probe.new_id()
    one = await probe.start(rollout_id=f"{name}.0")
    two = await probe.start(rollout_id=f"{name}.1")
    probe.will_open(f"{name}.2")
    good(await probe.wire.post("fork_rollout", {"rollout_id": one.id, "new_rollout_id": f"{name}.2"}))
    for new_id in (f"{name}.2", one.id):
        reply = await probe.wire.post("fork_rollout", {"rollout_id": two.id, "new_rollout_id": new_id})
        refused(reply, 409, "id_conflict")
    return "409 id_conflict for both"


@check(
    promise=1,
    expected="409 id_conflict",
    remedy="The server must compare a group with the one that it scored under this id, and refuse another.",
)
async def group_reward_with_other_arguments_conflicts(probe: Probe) -> str:
    """Asks for the rewards of a group under a used id, with another completion."""
    probe.needs_version(1, 1)
    body = await group_body(probe)
    first = await probe.wire.post("compute_group_reward", body)
    members = [{**body["members"][0], "completion": "Another answer."}, *body["members"][1:]]
    refused(await probe.wire.post("compute_group_reward", {**body, "members": members}), 409, "id_conflict")
    same(first, await probe.wire.post("compute_group_reward", body))
    return "409 id_conflict, and the first rewards are untouched"
