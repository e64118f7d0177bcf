"""Workers: whichever connection a call comes by, it finds its rollout."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from envport.check.definition import BrokenError, check
from envport.check.expectations import good, same

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from envport.check.probe import Probe
    from envport.check.wire import Reply

_ROLLOUTS = 64
_CONNECTIONS = 16
_GROUPS = 12


@check(
    promise=9,
    expected="every call finds its rollout, and every repeat its answer",
    remedy="The server must route a rollout's calls to the worker that holds it. Behind a proxy of your own, route by "
    "the rollout's id, or run one worker.",
)
async def every_connection_finds_every_rollout(probe: Probe) -> str:
    """Starts 64 rollouts over 16 connections, and uses each over other connections than it was started by."""
    async with _crew(probe) as (other, workers):
        return f"{workers}: {await _spread(other)}"


@check(
    promise=9,
    expected="each fork works and each group is scored: none of their rollouts is unknown",
    remedy="The server must keep rollouts whose ids have the same part before the first dot in one worker.",
)
async def groups_and_forks_stay_together(probe: Probe) -> str:
    """Starts groups of rollouts with a common part in their ids, forks one of each and scores each group together."""
    probe.needs_version(1, 1)
    async with _crew(probe) as (other, workers):
        replies = await asyncio.gather(*(_group(other, number) for number in range(_GROUPS)))
        for reply in (reply for pair in replies for reply in pair):
            if reply is not None and reply.status not in (200, 500):
                raise BrokenError(reply.told)
        return f"{workers}: {_GROUPS} groups"


@asynccontextmanager
async def _crew(probe: Probe) -> AsyncGenerator[tuple[Probe, str]]:
    """A server of two workers where one can be started, else the one under check; and how many it has."""
    if not probe.can_launch:
        yield probe, "as served"
        return
    async with probe.served(workers=2) as other:
        yield other, "2 workers"


async def _group(probe: Probe, number: int) -> tuple[Reply | None, Reply]:
    """The answers to the fork of a group's rollout, where it can be forked, and to the group's reward."""
    name = probe.new_id()
    ids = [f"{name}.0", f"{name}.1"]
    for rollout_id in ids:
        await probe.start(number, rollout_id=rollout_id)
    forked = None
    if probe.can("fork"):
        body = {"rollout_id": ids[0], "new_rollout_id": probe.sibling(name)}
        forked = await probe.wire.post("fork_rollout", body)
    members = [{"rollout_id": rollout_id, "completion": f"Answer {rollout_id}."} for rollout_id in ids]
    return forked, await probe.wire.post("compute_group_reward", {"group_id": name, "members": members})


async def _spread(probe: Probe) -> str:
    room = min(_ROLLOUTS, probe.limits.get("max_rollouts", _ROLLOUTS))
    (call,) = probe.calls(1)
    async with AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(probe.wire.separately()) for _ in range(_CONNECTIONS)]

        async def use(number: int) -> None:
            rollout = await probe.start(number, wire=wires[number % _CONNECTIONS])
            elsewhere = [rollout.over(wires[(number + step) % _CONNECTIONS]) for step in (1, 5, 9)]
            first = await elsewhere[0].run_tool(call, "c")
            if first.status in (404, 410):
                raise BrokenError(first.told)
            same(first, await elsewhere[1].run_tool(call, "c"))
            same(rollout.started, await wires[(number + 3) % _CONNECTIONS].post("start_rollout", rollout.request))
            good(await elsewhere[2].end())

        await asyncio.gather(*(use(number) for number in range(room)))
    return f"{room} rollouts over {_CONNECTIONS} connections, each found over others"
