"""Retries that come when it is hardest to answer them: after the source is gone, twice orphaned, or regrouped."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager

import orjson
import pytest
from envport_protocol import BaseEnv, reward, tool
from envport_protocol.config import ServeConfig
from envport_protocol.errors import CallCancelledError, IdConflictError, OverloadedError, RolloutEndedError
from envport_protocol.hosting.host import Host
from envport_protocol.messages import (
    CancelRequest,
    ComputeGroupRewardRequest,
    EndRolloutRequest,
    ForkRolloutRequest,
    GroupMember,
    Message,
    RunToolRequest,
    StartRolloutRequest,
)


class GatedEnv(BaseEnv):
    """Starts and tools wait for a gate where the rollout's id says so. Counts what ran."""

    def __init__(self) -> None:
        self.ran: Counter[str] = Counter()
        self.gate = asyncio.Event()
        self.entered = asyncio.Event()
        self.freeing = asyncio.Event()
        self.hooks: list[str] = []

    async def start_rollout(self, rollout_id):
        self.ran["start_rollout"] += 1
        if rollout_id == "slow":
            self.entered.set()
            await self.gate.wait()

        if rollout_id == "fork":
            self.hooks.append("start")
            await self.gate.wait()

    async def end_rollout(self, rollout_id):
        if rollout_id == "fork":
            self.hooks.append("end")
            await self.freeing.wait()
            self.hooks.append("ended")

    @tool
    async def wait(self) -> str:
        """Waits for the gate."""
        self.ran["wait"] += 1
        self.entered.set()
        await self.gate.wait()
        return "open"

    @reward()
    async def score(self) -> float:
        self.ran["score"] += 1
        return 1.0

    def get_state(self, rollout_id):
        return {}

    def set_state(self, rollout_id, state):
        self.ran["set_state"] += 1


@asynccontextmanager
async def hosted(**settings):
    """The environment and its host."""
    env = GatedEnv()
    host = Host(env, ServeConfig(**settings))
    await host.prepare()
    yield env, host
    env.gate.set()
    await host.close()


def start(rollout_id):
    return StartRolloutRequest(rollout_id=rollout_id, messages=[Message(role="user", content="Go.")])


def group(*rollout_ids):
    members = [GroupMember(rollout_id=rollout_id, completion="x") for rollout_id in rollout_ids]
    return ComputeGroupRewardRequest(group_id="g", members=members)


async def gives_up(asking):
    """Cancels a request, as a broken connection does."""
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_a_fork_is_answered_again_when_its_source_has_ended():
    async with hosted() as (env, host):
        await host.start_rollout(start("a"))
        fork = ForkRolloutRequest(rollout_id="a", new_rollout_id="b")
        answer = await host.fork_rollout(fork)
        await host.end_rollout(EndRolloutRequest(rollout_id="a"))
        assert await host.fork_rollout(fork) == answer
        assert env.ran["set_state"] == 1


async def test_a_group_reward_is_answered_again_when_another_member_has_ended():
    async with hosted() as (env, host):
        await host.start_rollout(start("a"))
        await host.start_rollout(start("b"))
        answer = await host.compute_group_reward(group("a", "b"))
        await host.end_rollout(EndRolloutRequest(rollout_id="b"))
        assert await host.compute_group_reward(group("a", "b")) == answer
        assert env.ran["score"] == 2


async def test_a_group_id_is_spent_whichever_member_stands_first():
    async with hosted() as (_, host):
        await host.start_rollout(start("a"))
        await host.start_rollout(start("b"))
        await host.compute_group_reward(group("a", "b"))
        with pytest.raises(IdConflictError):
            await host.compute_group_reward(group("b", "a"))


async def test_a_start_that_everybody_left_stays_cancelled():
    async with hosted(orphan_grace_s=0.02) as (env, host):
        asking = asyncio.create_task(host.start_rollout(start("slow")))
        await env.entered.wait()
        await gives_up(asking)
        while host.counts().rollouts:
            await asyncio.sleep(0.005)
        env.gate.set()
        with pytest.raises(CallCancelledError):
            await host.start_rollout(start("slow"))
        assert env.ran["start_rollout"] == 1


async def test_each_time_that_a_call_is_left_its_whole_grace_begins_anew():
    async with hosted(orphan_grace_s=0.4) as (env, host):
        loop = asyncio.get_running_loop()
        await host.start_rollout(start("a"))
        call = RunToolRequest(rollout_id="a", call_id="c", tool_name="wait")
        asking = asyncio.create_task(host.run_tool(call))
        await env.entered.wait()
        await gives_up(asking)
        left_first = loop.time()
        again = asyncio.create_task(host.run_tool(call))
        await asyncio.sleep(0.3)
        await gives_up(again)
        await asyncio.sleep(left_first + 0.5 - loop.time())
        env.gate.set()
        answer = orjson.loads(await host.run_tool(call))
        assert (answer["content"], env.ran["wait"]) == ([{"type": "text", "text": "open"}], 1)


async def test_a_start_that_waited_in_line_waits_for_the_freeing_of_its_id_too():
    async with hosted(max_rollouts=3, max_queued=3) as (env, host):

        def forked_from(rollout_id):
            fork = ForkRolloutRequest(rollout_id=rollout_id, new_rollout_id="fork")
            return asyncio.create_task(host.fork_rollout(fork))

        async def until(condition):
            async with asyncio.timeout(4):
                while not condition():
                    await asyncio.sleep(0.001)

        for rollout_id in ("a", "b", "c"):
            await host.start_rollout(start(rollout_id))
        first = forked_from("a")
        await until(lambda: host.counts().queued == 1)
        other = asyncio.create_task(host.start_rollout(start("d")))
        await until(lambda: host.counts().queued == 2)
        second = forked_from("b")
        await until(lambda: host.counts().queued == 3)
        await host.end_rollout(EndRolloutRequest(rollout_id="c"))
        await until(lambda: env.hooks == ["start"])
        await host.end_rollout(EndRolloutRequest(rollout_id="a"))
        await other
        env.gate.set()
        with pytest.raises(RolloutEndedError):
            await first
        await until(lambda: "end" in env.hooks)
        env.freeing.set()
        await second
        assert env.hooks == ["start", "end", "ended", "start"]


async def test_a_call_may_be_cancelled_ahead_while_the_server_is_full():
    async with hosted(max_running_calls=1) as (env, host):
        await host.start_rollout(start("a"))
        running = asyncio.create_task(
            host.run_tool(RunToolRequest(rollout_id="a", call_id="c1", tool_name="wait", arguments={}))
        )
        await env.entered.wait()
        second = RunToolRequest(rollout_id="a", call_id="c2", tool_name="wait", arguments={})
        with pytest.raises(OverloadedError):
            await host.run_tool(second)
        cancelled = await host.cancel(CancelRequest(rollout_id="a", call_id="c2"))
        assert orjson.loads(cancelled)["cancelled"] is True
        env.gate.set()
        await running
        with pytest.raises(CallCancelledError):
            await host.run_tool(second)
        assert env.ran["wait"] == 1


async def test_an_end_that_hangs_does_not_hold_up_the_expiry_of_others():
    async with hosted(idle_timeout_s=0.1, call_timeout_s=3.0) as (env, host):
        env.gate.set()
        sweeping = asyncio.create_task(host.sweep())
        await host.start_rollout(start("fork"))
        async with asyncio.timeout(2):
            while "end" not in env.hooks:
                await asyncio.sleep(0.01)
            await host.start_rollout(start("a"))
            while host.counts().rollouts > 1:
                await asyncio.sleep(0.01)
        env.freeing.set()
        sweeping.cancel()
