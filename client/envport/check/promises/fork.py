"""Forks: a copy of a rollout as it is, that goes its own way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envport_protocol.messages import Outcome

from envport.check.definition import BrokenError, NotApplicableError, check
from envport.check.expectations import good, refused, same

if TYPE_CHECKING:
    from envport.check.probe import Probe
    from envport.check.rollout import Rollout

_CALLS = 3


@check(
    promise=6,
    expected="the fork's messages, tools and finished calls are those of the original",
    remedy="get_state and set_state must carry the whole state of a rollout; without them, the environment must be "
    "deterministic.",
)
async def fork_is_like_its_original(probe: Probe) -> str:
    """Forks a rollout after some calls, repeats them in the fork and compares."""
    original, fork = await _forked(probe)
    for number, call in enumerate(probe.calls(_CALLS)):
        same(await original.run_tool(call, f"c-{number}"), await fork.run_tool(call, f"c-{number}"))
    begun, copied = good(original.started), good(fork.started)
    if begun["messages"] != copied["messages"] or begun["tools"] != copied["tools"]:
        raise BrokenError(f"{original.started.told}; the fork: {fork.started.told}")
    return f"{_CALLS} calls answered as in the original"


@check(
    promise=5,
    expected="the same next call gets the same answer in both, whatever the other one did before",
    remedy="The fork shares state with its original: get_state must give a copy.",
)
async def fork_goes_its_own_way(probe: Probe) -> str:
    """Makes further calls in the original, then the same ones in the fork, then ends the original."""
    original, fork = await _forked(probe)
    further = probe.calls(2 * _CALLS)[_CALLS:]
    first = [(await original.run_tool(call, f"next-{number}")).answer for number, call in enumerate(further)]
    second = [(await fork.run_tool(call, f"next-{number}")).answer for number, call in enumerate(further)]
    if probe.can("deterministic") and first != second:
        raise BrokenError(f"the original said {first[0][1]!r:.150}, then the fork {second[0][1]!r:.150}")
    good(await original.end())
    good(await fork.list_tools())
    refused(await original.list_tools(), 410, "rollout_ended", Outcome.LOST)
    return f"{len(further)} calls in each; the fork outlives the original"


@check(
    promise=2,
    expected="404 unknown_rollout and 410 rollout_ended, both lost",
    remedy="The server must answer a fork of a rollout that it does not hold as any other call: lost.",
)
async def fork_of_a_lost_rollout_says_so(probe: Probe) -> str:
    """Forks a rollout that was never started, and one that was ended."""
    probe.needs("fork")
    unknown = probe.new_id()
    body = {"rollout_id": unknown, "new_rollout_id": f"{unknown}.fork"}
    refused(await probe.wire.post("fork_rollout", body), 404, "unknown_rollout", Outcome.LOST)
    rollout = await probe.start()
    await rollout.end()
    body = {"rollout_id": rollout.id, "new_rollout_id": f"{rollout.id}.fork"}
    refused(await probe.wire.post("fork_rollout", body), 410, "rollout_ended", Outcome.LOST)
    return "404 unknown_rollout and 410 rollout_ended"


@check(
    promise=10,
    expected="501 unsupported",
    remedy="The server must say that it cannot fork, and the manifest's capabilities must not name fork.",
)
async def fork_is_refused_where_there_is_none(probe: Probe) -> str:
    """Forks a rollout of an environment whose capabilities do not name fork."""
    probe.needs_version(1, 1)
    if probe.can("fork"):
        raise NotApplicableError("the environment can fork")
    rollout = await probe.start(rollout_id=probe.new_id(".0"))
    body = {"rollout_id": rollout.id, "new_rollout_id": probe.sibling(rollout.id)}
    refused(await probe.wire.post("fork_rollout", body), 501, "unsupported")
    return "501 unsupported"


async def _forked(probe: Probe) -> tuple[Rollout, Rollout]:
    probe.needs("fork")
    original = await probe.start(rollout_id=probe.new_id(".0"))
    for number, call in enumerate(probe.calls(_CALLS)):
        await original.run_tool(call, f"c-{number}")
    return original, await original.fork(probe.sibling(original.id))
