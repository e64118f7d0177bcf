"""How late the event loop is, and the culprit's name in the log."""

from __future__ import annotations

import asyncio
import logging
import re
import time

import pytest
import uvloop
from envport_protocol import BaseEnv
from envport_protocol.calling import invoke
from envport_protocol.server.loop_watch import BLOCKED_S, TICK_S, LoopWatch


class Blocking(BaseEnv):
    async def run_tool(self, rollout_id: str, tool_name: str):
        fetch(BLOCKED_S + TICK_S + 0.1)


def fetch(seconds: float) -> None:
    time.sleep(seconds)


async def lags_while(work) -> list[float]:
    """The lags measured until the one after `work` is known."""
    lags: asyncio.Queue[float] = asyncio.Queue()
    told: list[float] = []
    async with LoopWatch(lags.put_nowait).watching():
        told.append(await lags.get())
        await work
        told.append(await lags.get())
    return told


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_blocked_loop_is_a_warning_that_names_the_code(new_loop, caplog):
    work = invoke(Blocking().run_tool, {"rollout_id": "r", "tool_name": "t"})
    with asyncio.Runner(loop_factory=new_loop) as runner:
        before, after = runner.run(lags_while(asyncio_task(work)))
    assert 0 <= before < BLOCKED_S < after
    (record,) = [record for record in caplog.records if record.name == "envport.protocol"]
    assert record.levelno == logging.WARNING
    place = rf"Blocking\.run_tool \({re.escape(__file__)}:\d+\), then in fetch \({re.escape(__file__)}:\d+\)"
    assert re.match(rf"the event loop was blocked for at least 1\.\d\d s by {place}; ", record.getMessage())
    assert re.fullmatch(place, record.code)


async def asyncio_task(work) -> None:
    await asyncio.create_task(work)


async def test_an_idle_loop_is_hardly_late_and_says_nothing(caplog):
    lags = await lags_while(asyncio.sleep(0))
    assert all(0 <= lag < BLOCKED_S for lag in lags)
    assert caplog.records == []
