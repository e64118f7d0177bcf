"""Workers: whichever connection a call comes by, it finds its rollout."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from envport.check.definition import BrokenError, check
from envport.check.expectations import good, same

if TYPE_CHECKING:
    from envport.check.probe import Probe

_ROLLOUTS = 64
_CONNECTIONS = 16


@check(
    promise=9,
    expected="every call finds its rollout, and every repeat its answer",
    remedy="The server must route a rollout's calls to the worker that holds it. Behind a proxy of your own, route by "
    "the rollout's id, or run one worker.",
)
async def every_connection_finds_every_rollout(probe: Probe) -> str:
    """Starts 64 rollouts over 16 connections, and uses each over other connections than it was started by."""
    if not probe.can_launch:
        return await _spread(probe)
    async with probe.served("", workers=2) as (other, _):
        return f"2 workers, {await _spread(other)}"


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
