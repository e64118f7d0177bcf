"""Every verb at once, on a host too small for them, by clients that give up at any moment: the books stay right."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from contextlib import suppress
from random import Random

import pytest
from envport_protocol import BaseEnv, reward, tool
from envport_protocol.config import ServeConfig
from envport_protocol.errors import WireError
from envport_protocol.hosting.host import Host
from envport_protocol.messages import (
    CancelRequest,
    ComputeGroupRewardRequest,
    ComputeRewardRequest,
    EndRolloutRequest,
    ForkRolloutRequest,
    GroupMember,
    ListToolsRequest,
    Message,
    RunToolRequest,
    StartRolloutRequest,
)


class MoodyEnv(BaseEnv):
    """Takes its time, breaks, hangs and does not listen, by chance. Counts each run of its code."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.ran: Counter[tuple[str, ...]] = Counter()
        self.open: set[str] = set()
        self.ending: set[str] = set()
        self.overlaps: list[str] = []
        """Starts while the end of the same id ran, and the other way round."""

    async def mood(self) -> None:
        match self.random.randrange(12):
            case 0:
                raise RuntimeError("in a mood")
            case 1:
                await asyncio.sleep(1)
            case 2:
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(0.05)
                await asyncio.sleep(0.01)
            case 3:
                raise asyncio.CancelledError
            case number:
                await asyncio.sleep(number * 0.001)

    async def start_rollout(self, rollout_id):
        self.ran["start", rollout_id] += 1
        self.overlaps += [rollout_id] if rollout_id in self.open | self.ending else []
        self.open.add(rollout_id)
        await self.mood()

    @tool
    async def work(self, rollout_id: str, call: str) -> str:
        """Works."""
        self.ran["work", rollout_id, call] += 1
        await self.mood()
        return call

    @tool
    def block(self, rollout_id: str, call: str) -> str:
        """Works in a thread."""
        self.ran["block", rollout_id, call] += 1
        return call

    @reward()
    async def score(self, rollout_id: str) -> float:
        self.ran["score", rollout_id] += 1
        await self.mood()
        return 1.0

    def get_state(self, rollout_id):
        return rollout_id

    async def set_state(self, rollout_id, state):
        self.ran["set_state", rollout_id] += 1
        await self.mood()

    async def end_rollout(self, rollout_id):
        self.ran["end", rollout_id] += 1
        self.open.discard(rollout_id)
        self.ending.add(rollout_id)
        try:
            await self.mood()
        finally:
            self.ending.discard(rollout_id)


def any_request(random: Random, host: Host):
    """One call of a random verb. Few ids, so that the same ones meet often; a call's arguments follow from its id."""
    group = random.randrange(40)
    rollout_id, other = (f"g{group}.{random.randrange(3)}" for _ in range(2))
    number = random.randrange(4)
    messages = [Message(role="user", content="Go.")]
    members = [GroupMember(rollout_id=f"g{group}.{index}", completion="x") for index in range(3)]
    name = ("work", "block")[number % 2]
    tool_call = RunToolRequest(
        rollout_id=rollout_id, call_id=f"c{number}", tool_name=name, arguments={"call": f"c{number}"}
    )
    return random.choices(
        [
            lambda: host.start_rollout(StartRolloutRequest(rollout_id=rollout_id, messages=messages)),
            lambda: host.run_tool(tool_call),
            lambda: host.compute_reward(ComputeRewardRequest(rollout_id=rollout_id, completion="x")),
            lambda: host.cancel(CancelRequest(rollout_id=rollout_id, call_id=f"c{number}")),
            lambda: host.fork_rollout(ForkRolloutRequest(rollout_id=rollout_id, new_rollout_id=f"{other}-fork")),
            lambda: host.compute_group_reward(ComputeGroupRewardRequest(group_id="g", members=members)),
            lambda: host.list_tools(ListToolsRequest(rollout_id=rollout_id)),
            lambda: host.end_rollout(EndRolloutRequest(rollout_id=rollout_id)),
        ],
        weights=[4, 8, 2, 1, 2, 1, 1, 2],
    )[0]


async def one(random: Random, host: Host) -> None:
    """A client that asks, and perhaps goes away."""
    await asyncio.sleep(random.random())
    asking = asyncio.create_task(any_request(random, host)())
    if random.random() < 0.3:
        await asyncio.sleep(random.random() * 0.02)
        asking.cancel()
    await asyncio.wait([asking], timeout=10)
    assert asking.done(), "a call has no answer"
    if not asking.cancelled() and asking.exception() is not None:
        error = asking.exception()
        assert isinstance(error, WireError), repr(error)
        assert error.code != "infra_error", error


@pytest.mark.parametrize("seed", range(3))
async def test_after_a_storm_nothing_is_left_and_nothing_ran_twice(seed, tmp_path):
    random = Random(seed)
    unheard: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
    env = MoodyEnv(random)
    config = ServeConfig(
        max_rollouts=30,
        max_queued=8,
        queue_timeout_s=0.05,
        max_running_calls=40,
        call_timeout_s=0.1,
        orphan_grace_s=0.01,
        idle_timeout_s=0.2,
        max_threads=2,
        journal=tmp_path / "journal" if seed == 2 else None,
    )
    host = Host(env, config)
    await host.prepare()
    sweeping = asyncio.create_task(host.sweep())
    before = asyncio.all_tasks()
    await asyncio.gather(*(one(random, host) for _ in range(3000)))
    async with asyncio.timeout(10):
        while host.counts().rollouts or asyncio.all_tasks() - before:
            await asyncio.sleep(0.05)
    counts = host.counts()
    assert (counts.queued, counts.running, counts.threads_busy) == (0, 0, 0)
    assert host._store._line._called == 0
    assert env.open == set()
    assert env.overlaps == []
    # A fork of what has ended fails and may be tried again; a group scores members that are scored alone too.
    assert [key for key, times in env.ran.items() if times > 1 and key[0] in ("work", "block")] == []
    assert [key for key, times in env.ran.items() if times > 1 and key[0] == "start" and "fork" not in key[1]] == []
    starts = {key[1] for key in env.ran if key[0] == "start"}
    assert {key[1] for key in env.ran if key[0] == "end"} == starts
    sweeping.cancel()
    await host.close()
    gc.collect()  # what failed in a task that nobody asks is told when it is collected
    assert unheard == []
    assert len(starts) > 60
