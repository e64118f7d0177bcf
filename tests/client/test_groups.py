"""Rollouts of one task begun, scored and copied together, against a script and against a real server."""

from __future__ import annotations

import asyncio
from collections import Counter

import envport
import httpx
import pytest
from envport_protocol import BaseEnv, EnvTask, reward, tool

URL = "http://env.test:8000"
SCORE = {"reward": 0.5, "rewards": {"match": {"score": 0.5, "weight": 1.0}}}


def started(rollout_id: str, **more: str) -> dict:
    return {"rollout_id": rollout_id, "task_id": "t", "messages": [], "tools": [], "idle_timeout_s": 600.0} | more


@pytest.fixture
async def env(script, scripted_http):
    script.can("group_reward", "fork", "cancel")
    script.say("/v1/start_rollout", started("g.0"), started("g.1"), started("g.2"))
    script.say("/v1/end_rollout", {"rollout_id": "g.0"})
    async with envport.connect(URL, http=scripted_http, retry_for_s=5.0) as env:
        yield env


async def test_a_group_is_one_task_under_numbered_ids(env, script):
    group = await env.start_group(3, split="train", index=4, seed=7, group_id="g")
    assert [rollout.rollout_id for rollout in group] == ["g.0", "g.1", "g.2"]
    assert script.bodies("/v1/start_rollout") == [
        {"rollout_id": f"g.{number}", "split": "train", "index": 4, "seed": 7} for number in range(3)
    ]


async def test_a_group_without_an_id_gets_one_that_nobody_else_has(env, script):
    await env.start_group(2, task_id="t")
    ids = [body["rollout_id"] for body in script.bodies("/v1/start_rollout")]
    assert [len(rollout_id) for rollout_id in ids] == [34, 34]
    assert ids[0][:-2] == ids[1][:-2]


async def test_a_group_that_cannot_be_started_whole_is_ended_and_the_first_error_told(env, script, wire_error):
    script.say("/v1/start_rollout", started("g.0"), wire_error(500, "env_error", "broken", "env_error"), started("g.2"))
    with pytest.raises(envport.EnvFailedError, match="broken"):
        await env.start_group(3, task_id="t", group_id="g")
    assert [body["rollout_id"] for body in script.bodies("/v1/end_rollout")] == ["g.0", "g.2"]
    assert env._connected.limiter.held == 0


async def test_a_group_that_is_cancelled_ends_what_was_started(env, script):
    async def third_hangs(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/start_rollout" and script.count("/v1/start_rollout") == 2:
            script.requests.append(request)
            await asyncio.Event().wait()
        return await script.answer(request)

    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(third_hangs)) as http,
        envport.connect(URL, http=http) as env,
    ):
        starting = asyncio.create_task(env.start_group(3, task_id="t", group_id="g"))
        while script.count("/v1/start_rollout") < 3:
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
    assert sorted(body["rollout_id"] for body in script.bodies("/v1/end_rollout")) == ["g.0", "g.1", "g.2"]


async def test_a_group_is_scored_in_one_call(env, script):
    script.say("/v1/compute_group_reward", {"answers": [SCORE | {"reward": 1.0}, SCORE | {"reward": None}]})
    first, second = await env.start_group(2, task_id="t", group_id="g")
    answers = await env.compute_group_reward([(first, "yes"), (second, [{"role": "assistant", "content": "no"}])])
    assert [answer.reward for answer in answers] == [1.0, None]
    (body,) = script.bodies("/v1/compute_group_reward")
    assert body["group_id"].startswith("g.")
    assert body["members"] == [
        {"rollout_id": "g.0", "completion": "yes"},
        {"rollout_id": "g.1", "completion": [{"role": "assistant", "content": "no"}]},
    ]


async def test_a_group_call_may_be_named_so_that_another_process_hears_the_same(env, script):
    script.say("/v1/compute_group_reward", {"answers": [SCORE]})
    (one,) = await env.start_group(1, task_id="t", group_id="g")
    await env.compute_group_reward([(one, "yes")], group_id="g.score")
    assert script.bodies("/v1/compute_group_reward")[0]["group_id"] == "g.score"


async def test_a_group_answer_of_another_length_is_refused(env, script):
    script.say("/v1/compute_group_reward", {"answers": [SCORE]})
    first, second = await env.start_group(2, task_id="t", group_id="g")
    with pytest.raises(envport.ProtocolError, match="answered 1 rewards for 2 rollouts"):
        await env.compute_group_reward([(first, "a"), (second, "b")])


async def test_a_group_of_none_is_told_before_it_is_sent(env):
    with pytest.raises(envport.InvalidRequestError, match=r"compute_group_reward was not sent: members: List should"):
        await env.compute_group_reward([])


async def test_where_the_environment_scores_no_groups_each_is_scored_by_itself(script, scripted_http):
    script.can("tools")
    script.say("/v1/start_rollout", started("g.0"), started("g.1"))
    script.say("/v1/compute_reward", SCORE | {"reward": 0.25}, SCORE | {"reward": 0.75})
    async with envport.connect(URL, http=scripted_http) as env:
        first, second = await env.start_group(2, task_id="t", group_id="g")
        answers = await env.compute_group_reward([(first, "a"), (second, "b")])
    assert [answer.reward for answer in answers] == [0.25, 0.75]
    assert script.bodies("/v1/compute_reward") == [
        {"rollout_id": "g.0", "completion": "a"},
        {"rollout_id": "g.1", "completion": "b"},
    ]
    assert script.count("/v1/compute_group_reward") == 0


async def test_a_fork_has_an_id_beside_its_rollouts(env, script):
    script.say("/v1/fork_rollout", started("g.f", token="t-fork"))
    (one,) = await env.start_group(1, task_id="t", group_id="g")
    fork = await one.fork()
    assert isinstance(fork, envport.Rollout)
    assert (fork.rollout_id, fork.token) == ("g.f", "t-fork")
    (body,) = script.bodies("/v1/fork_rollout")
    assert body["rollout_id"] == "g.0"
    assert body["new_rollout_id"].startswith("g.")
    assert len(body["new_rollout_id"]) == 34


async def test_a_fork_may_be_given_its_id(env, script):
    script.say("/v1/fork_rollout", started("g.mine"))
    (one,) = await env.start_group(1, task_id="t", group_id="g")
    await one.fork("g.mine")
    assert script.bodies("/v1/fork_rollout") == [{"rollout_id": "g.0", "new_rollout_id": "g.mine"}]


@pytest.mark.parametrize("cancelled", [True, False])
async def test_a_call_is_cancelled_by_its_id(env, script, cancelled):
    script.say("/v1/cancel", {"rollout_id": "g.0", "call_id": "c1", "cancelled": cancelled})
    (one,) = await env.start_group(1, task_id="t", group_id="g")
    assert await one.cancel("c1") is cancelled
    assert script.bodies("/v1/cancel") == [{"rollout_id": "g.0", "call_id": "c1"}]


class RankingEnv(BaseEnv):
    """Counts, waits on demand, and scores the longest completion of a group best."""

    deterministic = True

    def __init__(self) -> None:
        self.ran: Counter[str] = Counter()
        self.counts: dict[str, int] = {}

    def tasks(self, split):
        return [EnvTask(task_id="t-0", prompt="Count.", ground_truth="done")]

    @tool
    async def count(self, rollout_id: str, by: int) -> str:
        """Adds to the rollout's counter."""
        self.ran["count"] += 1
        self.counts[rollout_id] = self.counts.get(rollout_id, 0) + by
        return f"now {self.counts[rollout_id]}"

    @tool
    async def wait(self) -> str:
        """Never returns by itself."""
        self.ran["wait"] += 1
        await asyncio.Event().wait()
        return "never"

    @reward()
    def match(self, completion, ground_truth):
        return float(completion == ground_truth)

    def compute_group_reward(self, completions):
        self.ran["group"] += 1
        longest = max(map(len, completions))
        return [{"match": float(len(completion) == longest)} for completion in completions]


async def test_a_real_server_plays_a_group_from_its_start_to_its_reward(serve_env):
    env = RankingEnv()
    async with envport.connect(serve_env(env)) as client:
        group = await client.start_group(4, split="train", index=0, group_id="g")
        assert [rollout.rollout_id for rollout in group] == ["g.0", "g.1", "g.2", "g.3"]
        turns = await asyncio.gather(
            *(rollout.run_tools([("count", {"by": 1}), ("count", {"by": 2})]) for rollout in group)
        )
        assert [turn[1].text for turn in turns] == ["now 3"] * 4
        answers = await client.compute_group_reward(
            [(rollout, "x" * number) for number, rollout in enumerate(group)], group_id="g.score"
        )
        assert [answer.reward for answer in answers] == [0.0, 0.0, 0.0, 1.0]
        await asyncio.gather(*(rollout.end() for rollout in group))
    assert env.ran == {"count": 8, "group": 1}


async def test_a_real_fork_goes_its_own_way(serve_env):
    async with envport.connect(serve_env(RankingEnv())) as client:
        rollout = await client.start_rollout(task_id="t-0")
        await rollout.run_tool("count", {"by": 5})
        fork = await rollout.fork()
        assert fork.rollout_id.partition(".")[0] == rollout.rollout_id
        assert [(await one.run_tool("count", {"by": 1})).text for one in (rollout, fork, fork)] == [
            "now 6",
            "now 6",
            "now 7",
        ]
        assert (await fork.compute_reward("done")).reward == 1.0
        await fork.end()
        assert (await rollout.run_tool("count", {"by": 1})).text == "now 7"


async def test_a_real_call_is_cancelled_while_it_runs_and_stays_so(serve_env):
    env = RankingEnv()
    async with envport.connect(serve_env(env)) as client:
        rollout = await client.start_rollout(task_id="t-0")
        calls = [asyncio.create_task(rollout.run_tool("wait", call_id=f"w{number}")) for number in range(2)]
        while env.ran["wait"] < 2:
            await asyncio.sleep(0.005)
        for number, call in enumerate(calls):
            assert await rollout.cancel(f"w{number}") is True
            with pytest.raises(envport.CallCancelledError) as caught:
                await call
            assert caught.value.outcome == "cancelled"
        done = await rollout.run_tool("count", {"by": 1}, call_id="c1")
        assert await rollout.cancel("c1") is False
        assert (await rollout.run_tool("count", {"by": 1}, call_id="c1")) == done
    assert env.ran == {"wait": 2, "count": 1}


def test_the_blocking_client_plays_a_group_too(serve_env):
    env = RankingEnv()
    with envport.connect_sync(serve_env(env)) as client:
        group = client.start_group(2, split="train", index=0)
        assert [type(rollout) for rollout in group] == [envport.SyncRollout] * 2
        assert [answer.text for answer in group[0].run_tools([("count", {"by": 1})] * 2)] == ["now 1", "now 2"]
        with group[0].fork() as fork:
            assert isinstance(fork, envport.SyncRollout)
            assert fork.run_tool("count", {"by": 1}).text == "now 3"
        assert group[0].cancel("never-sent") is True
        answers = client.compute_group_reward([(group[0], "longer"), (group[1], "long")])
        assert [answer.reward for answer in answers] == [1.0, 0.0]
        for rollout in group:
            rollout.end()
