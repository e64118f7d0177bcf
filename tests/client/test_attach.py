"""A rollout of another client, used by who has no more than its id and its own token."""

from __future__ import annotations

import envport
import pytest
from envport_protocol import BaseEnv, tool
from envport_protocol.config import ServeConfig, Tokens

TRAINER = "trainer-0123456789abcdef"
MESSAGES = [{"role": "user", "content": "Count."}]


class CountEnv(BaseEnv):
    """Counts."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.ended: list[str] = []

    @tool
    def count(self, rollout_id: str) -> str:
        """Counts one further."""
        self.counts[rollout_id] = self.counts.get(rollout_id, 0) + 1
        return str(self.counts[rollout_id])

    def compute_reward(self, completion):
        return {"any": 1.0}

    def end_rollout(self, rollout_id):
        self.ended.append(rollout_id)


@pytest.fixture
def served():
    return CountEnv()


@pytest.fixture
def url(served, serve_env):
    return serve_env(served, ServeConfig(max_rollouts=2, tokens=Tokens(trainer=TRAINER)))


async def test_an_agent_uses_the_tools_of_the_rollout_whose_token_it_has_and_no_more(url, served):
    async with envport.connect(url, token=TRAINER) as trainer:
        rollout, other = [await trainer.start_rollout(messages=MESSAGES) for _ in range(2)]
        async with envport.connect(url, token=rollout.token) as agent:
            async with await agent.attach(rollout.rollout_id) as attached:
                assert isinstance(attached, envport.Rollout)
                assert (attached.rollout_id, attached.task_id, attached.messages) == (rollout.rollout_id, None, [])
                assert [tool.name for tool in attached.tools] == ["count"]
                assert (await attached.run_tool("count")).text == "1"
                assert agent._connected.limiter.held == 0
                with pytest.raises(envport.ForbiddenError):
                    await attached.compute_reward("mine")
                with pytest.raises(envport.ForbiddenError):
                    await attached.end()
            with pytest.raises(envport.ForbiddenError):
                await agent.attach(other.rollout_id)
        assert served.ended == []
        assert (await rollout.run_tool("count")).text == "2"


async def test_who_may_end_an_attached_rollout_ends_it_when_it_says_so(url, served):
    async with envport.connect(url, token=TRAINER) as first, envport.connect(url, token=TRAINER) as second:
        rollout = await first.start_rollout(messages=MESSAGES)
        await (await second.attach(rollout.rollout_id)).end()
        assert served.ended == [rollout.rollout_id]
        assert second._connected.limiter.held == 0
        with pytest.raises(envport.RolloutEndedError):
            await second.attach(rollout.rollout_id)
        with pytest.raises(envport.UnknownRolloutError):
            await second.attach("never-started")


def test_the_blocking_client_attaches_too(url, served):
    with envport.connect_sync(url, token=TRAINER) as trainer:
        rollout = trainer.start_rollout(messages=MESSAGES)
        with envport.connect_sync(url, token=rollout.token) as agent, agent.attach(rollout.rollout_id) as attached:
            assert isinstance(attached, envport.SyncRollout)
            assert attached.run_tool("count").text == "1"
        assert served.ended == []
        rollout.end()
    assert served.ended == [rollout.rollout_id]
