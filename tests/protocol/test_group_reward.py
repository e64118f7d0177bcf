"""Scores of a group's rollouts, each against the others."""

from __future__ import annotations

import orjson
import pytest
from envport_protocol import BaseEnv, EnvTask, RewardResult, reward
from envport_protocol.config import ServeConfig
from envport_protocol.errors import EnvFailedError, IdConflictError, InvalidRequestError, UnknownRolloutError
from envport_protocol.hosting.host import Host
from envport_protocol.messages import ComputeGroupRewardRequest, StartRolloutRequest


class Longest(BaseEnv):
    """benchmax's form of a group's reward: the share of the others that are shorter."""

    def __init__(self):
        self.asked = 0

    def tasks(self, split):
        return [EnvTask(prompt="Write.", ground_truth=n) for n in range(3)]

    @reward
    def length(self, completion):
        return len(completion) / 10

    def compute_group_reward(self, rollout_ids, completions, ground_truths):
        self.asked += 1
        self.truths = ground_truths
        return [
            {"length": sum(len(other) < len(mine) for other in completions) / len(completions)} for mine in completions
        ]


async def hosted(env, count=3):
    host = Host(env, ServeConfig())
    await host.prepare()
    for n in range(count):
        await host.start_rollout(StartRolloutRequest(rollout_id=f"g.{n}", split="train", index=n))
    return host


def group(*texts, group_id="g", **more):
    members = [{"rollout_id": f"g.{n}", "completion": text, **more} for n, text in enumerate(texts)]
    return ComputeGroupRewardRequest.model_validate({"group_id": group_id, "members": members})


async def scores(host, request):
    return [answer["reward"] for answer in orjson.loads(await host.compute_group_reward(request))["answers"]]


async def test_the_environment_compares_the_members_once_however_often_it_is_asked():
    env = Longest()
    host = await hosted(env)
    for _ in range(2):
        assert await scores(host, group("aaa", "a", "aa")) == [pytest.approx(2 / 3), 0.0, pytest.approx(1 / 3)]
    assert (env.asked, env.truths) == (1, [0, 1, 2])
    with pytest.raises(IdConflictError):
        await host.compute_group_reward(group("b", "a", "aa"))


async def test_each_member_has_its_own_reason():
    class Told(Longest):
        def compute_group_reward(self, completions):
            return [RewardResult(0.5, reason=f"{len(mine)} of {sum(map(len, completions))}") for mine in completions]

    host = await hosted(Told())
    answers = orjson.loads(await host.compute_group_reward(group("aaa", "a", "aa")))["answers"]
    assert [one["rewards"]["reward"]["reason"] for one in answers] == ["3 of 6", "1 of 6", "2 of 6"]


async def test_without_a_group_method_each_is_scored_alone():
    class Alone(BaseEnv):
        tasks = Longest.tasks
        length = Longest.length

    host = await hosted(Alone())
    assert await scores(host, group("aaa", "a", "")) == [0.3, 0.1, 0.0]


@pytest.mark.parametrize(("given", "told"), [([1.0], "gave 1; expected a list of 3"), (0.5, "gave float")])
async def test_another_number_of_scores_is_the_environments_failure(given, told):
    class Wrong(Longest):
        def compute_group_reward(self, completions):
            return given

    host = await hosted(Wrong())
    with pytest.raises(EnvFailedError, match=told):
        await host.compute_group_reward(group("a", "b", "c"))


async def test_a_member_that_is_unknown_or_twice_or_brings_a_truth_is_refused():
    host = await hosted(Longest(), count=2)
    with pytest.raises(UnknownRolloutError):
        await host.compute_group_reward(group("a", "b", "c"))
    twice = ComputeGroupRewardRequest.model_validate(
        {"group_id": "g", "members": [{"rollout_id": "g.0", "completion": "a"}] * 2}
    )
    with pytest.raises(InvalidRequestError, match="twice"):
        await host.compute_group_reward(twice)
    with pytest.raises(InvalidRequestError, match="leave it out"):
        await host.compute_group_reward(group("a", "b", group_id="h", ground_truth=1))


async def test_one_that_fails_alone_is_the_failure_of_its_rollout_only():
    class Alone(BaseEnv):
        tasks = Longest.tasks

        @reward
        def length(self, completion):
            if completion == "bad":
                raise RuntimeError("no score")
            return len(completion) / 10

    host = await hosted(Alone())
    answers = orjson.loads(await host.compute_group_reward(group("aaa", "bad", "a")))["answers"]
    assert [(one["reward"], one["outcome"], one["trainable"]) for one in answers] == [
        (0.3, "ok", True),
        (None, "env_error", False),
        (0.1, "ok", True),
    ]


async def test_a_group_that_was_refused_leaves_its_id_free():
    host = await hosted(Longest())
    with pytest.raises(InvalidRequestError):
        await host.compute_group_reward(group("aaa", "a", "aa", ground_truth=1))
    assert len(await scores(host, group("aaa", "a", "aa"))) == 3
