"""Forks: a rollout's state under another id, by the author's own methods or by running the calls again."""

from __future__ import annotations

import asyncio
import copy

import pytest
from envport_protocol.errors import (
    EnvDefinitionError,
    EnvFailedError,
    IdConflictError,
    InvalidRequestError,
    RolloutEndedError,
    RolloutLostError,
    UnknownRolloutError,
    UnsupportedError,
)

from .counting import Counting, Driver


class Native(Counting):
    """Not deterministic, but its state can be copied."""

    deterministic = False

    def get_state(self, rollout_id):
        return copy.deepcopy(self.count[rollout_id])

    def set_state(self, rollout_id, state):
        self.count[rollout_id] = state


@pytest.mark.parametrize(("env_type", "runs"), [(Counting, 4), (Native, 2)])
async def test_a_fork_goes_on_from_where_its_source_was_and_then_apart(env_type, runs):
    env = env_type()
    driver = await Driver.of(env)
    began = await driver.start("g.0")
    assert [await driver.add("g.0", call_id, 1) for call_id in "ab"] == ["1", "2"]
    forked = await driver.fork("g.0", "g.1")
    assert env.runs == runs
    assert forked["rollout_id"] == "g.1"
    assert (forked["messages"], forked["tools"]) == (began["messages"], began["tools"])
    assert forked["token"] != began["token"]
    assert await driver.add("g.0", "c", 5) == "7"
    assert await driver.add("g.1", "c", 1) == "3"
    assert [await driver.reward(rollout_id) for rollout_id in ("g.0", "g.1")] == [0.0, 1.0]


async def test_a_forks_calls_are_spent_and_answer_what_they_answered_in_its_source():
    env = Counting()
    driver = await Driver.of(env)
    await driver.start("g.0")
    await driver.add("g.0", "a", 1)
    await driver.fork("g.0", "g.1")
    runs = env.runs
    assert await driver.add("g.1", "a", 1) == "1"
    with pytest.raises(IdConflictError):
        await driver.add("g.1", "a", 2)
    assert env.runs == runs


async def test_a_repeated_fork_gets_the_first_answer_and_another_source_conflicts():
    env = Counting()
    driver = await Driver.of(env)
    for rollout_id in ("g.0", "g.9"):
        await driver.start(rollout_id)
    await driver.add("g.0", "a", 1)
    first = await driver.fork("g.0", "g.1")
    await driver.add("g.0", "b", 1)
    runs = env.runs
    assert await driver.fork("g.0", "g.1") == first
    assert env.runs == runs
    with pytest.raises(IdConflictError):
        await driver.fork("g.9", "g.1")


async def test_a_fork_of_a_fork_and_of_an_error_replays_both():
    driver = await Driver.of(Counting())
    await driver.start("g.0")
    with pytest.raises(EnvFailedError):
        await driver.add("g.0", "broken", 13)
    await driver.add("g.0", "a", 2)
    await driver.fork("g.0", "g.1")
    await driver.fork("g.1", "g.2")
    assert await driver.add("g.2", "b", 1) == "3"
    with pytest.raises(EnvFailedError):
        await driver.add("g.2", "broken", 13)


async def test_a_source_that_was_scored_is_forked_unscored():
    driver = await Driver.of(Counting())
    await driver.start("g.0")
    assert await driver.reward("g.0") == 0.0
    await driver.fork("g.0", "g.1")
    await driver.add("g.1", "a", 3)
    assert await driver.reward("g.1") == 1.0


async def test_an_environment_that_only_says_it_is_deterministic_is_found_out():
    class Liar(Counting):
        async def run_tool(self, rollout_id, tool_name, by):
            self.runs += by
            return self.runs

    env = Liar()
    driver = await Driver.of(env)
    await driver.start("g.0")
    await driver.add("g.0", "a", 1)
    with pytest.raises(RolloutLostError, match="gave another answer when it was run again"):
        await driver.fork("g.0", "g.1")
    await driver.host.close()
    assert env.count == {}


async def test_a_fork_waits_for_the_calls_of_its_source():
    class Slow(Counting):
        gate = asyncio.Event()

        async def run_tool(self, rollout_id, tool_name, by):
            await self.gate.wait()
            return await super().run_tool(rollout_id, tool_name, by=by)

    env = Slow()
    driver = await Driver.of(env)
    await driver.start("g.0")
    call = asyncio.create_task(driver.add("g.0", "a", 1))
    await asyncio.sleep(0)
    fork = asyncio.create_task(driver.fork("g.0", "g.1"))
    await asyncio.sleep(0)
    env.gate.set()
    assert await call == "1"
    await fork
    assert await driver.add("g.1", "b", 1) == "2"


async def test_what_cannot_be_forked_is_refused():
    class Plain(Counting):
        deterministic = False

    driver = await Driver.of(Plain())
    await driver.start("g.0")
    with pytest.raises(UnsupportedError, match="neither get_state and set_state"):
        await driver.fork("g.0", "g.1")
    with pytest.raises(UnknownRolloutError):
        await driver.fork("never", "g.2")
    with pytest.raises(InvalidRequestError, match="an id of its own"):
        await driver.fork("g.0", "g.0")
    await driver.end("g.0")
    with pytest.raises(RolloutEndedError):
        await driver.fork("g.0", "g.3")


def test_half_of_a_native_fork_is_a_wrong_definition():
    class Half(Counting):
        def get_state(self, rollout_id):
            return None

    with pytest.raises(EnvDefinitionError, match="belong together"):
        asyncio.run(Driver.of(Half()))


async def test_a_call_that_comes_while_the_state_is_read_is_in_both_or_in_none():
    class Reading(Native):
        reads = 0

        async def get_state(self, rollout_id):
            self.reads += 1
            if self.reads == 1:
                await driver.add(rollout_id, "meanwhile", 5)
            return self.count[rollout_id]

    env = Reading()
    driver = await Driver.of(env)
    await driver.start("g.0")
    await driver.add("g.0", "a", 1)
    await driver.fork("g.0", "g.1")
    runs = env.runs
    assert await driver.add("g.1", "meanwhile", 5) == "6"
    assert (env.count["g.1"], env.runs, env.reads) == (6, runs, 2)
