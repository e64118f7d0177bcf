"""Seeds, the order of tasks and the plans of groups."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from envport_protocol.errors import UnknownTaskError
from envport_trainer.rollouts.playing import RolloutSpec, derive_seed
from envport_trainer.rollouts.tasks import GroupPlan, TaskSource, TaskStream

from .splits import SplitEnv


def stream(seed: int = 0, *, split: str = "train") -> TaskStream:
    return TaskStream([TaskSource(SplitEnv(train=3, endless=None, empty=0), split, 1.0)], seed, group_size=2)


def order(of: TaskStream, steps: range, groups: int = 1) -> list[int]:
    return [of.next(step, number).index for step in steps for number in range(groups)]


def test_a_seed_depends_on_every_part_and_stays_the_same_for_ever():
    assert derive_seed(0, "rollout", 3, 1) == derive_seed(0, "rollout", 3, 1)
    parts = [(), (0,), (1,), ("1",), (0, 1), (1, 0), ((0, 1),), ("order", 0), ("source", 0)]
    seeds = [derive_seed(*part) for part in parts]
    assert len(set(seeds)) == len(parts)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive_seed(7, "order", 0, 1) == 1309577809406592197


def test_every_pass_over_a_split_takes_each_task_once_in_another_order():
    taken = order(stream(), range(60))
    passes = [tuple(taken[start : start + 3]) for start in range(0, 60, 3)]
    assert all(sorted(one) == [0, 1, 2] for one in passes)
    assert len(set(passes)) > 3


def test_the_order_depends_on_the_seed_alone():
    assert order(stream(1), range(30)) == order(stream(1), range(30))
    assert order(stream(1), range(30)) != order(stream(2), range(30))


def test_rewards_change_nothing_without_a_curriculum():
    told = stream(1)
    got = []
    for step in range(30):
        plan = told.next(step, 0)
        told.observe(plan, [0.0, 1.0])
        got.append(plan.index)
    assert got == order(stream(1), range(30))
    assert told.state() == {"taken": [30], "measures": []}


def test_a_seed_gives_the_same_tasks_and_seeds_for_ever():
    first, second = SplitEnv("http://a", train=5), SplitEnv("http://b", train=None)
    of = TaskStream([TaskSource(first, "train", 2.0), TaskSource(second, "train", 1.0)], 11, 2)
    plans = [of.next(step, number) for step in range(3) for number in range(4)]
    assert [plan.source for plan in plans] == [1, 0, 0, 1, 0, 1, 0, 0, 1, 0, 0, 0]
    assert [plan.index for plan in plans] == [0, 1, 0, 1, 3, 2, 2, 4, 3, 3, 2, 4]
    assert [(plan.step, plan.number) for plan in plans] == [(step, number) for step in range(3) for number in range(4)]
    env, specs = of.specs(plans[-1])
    assert env is first
    assert specs == [
        RolloutSpec("train", 4, seed, env_seed=3284925617846896474, group=2_000_003, policy_version=2)
        for seed in (2784509414819043786, 1710610758535418169)
    ]


def test_the_rollouts_of_a_group_share_their_task_and_the_environments_seed_and_sample_with_their_own():
    of = stream(4)
    _, specs = of.specs(of.next(7, 2))
    assert [(s.split, s.group, s.policy_version) for s in specs] == [("train", 7_000_002, 7)] * 2
    assert len({s.index for s in specs}) == 1
    assert [s.env_seed for s in specs] == [derive_seed(4, "env", 7, 2)] * 2
    assert [s.seed for s in specs] == [derive_seed(4, "rollout", 7, 2, member) for member in range(2)]
    plans = [of.next(step, number) for step in range(3) for number in range(3)]
    assert len({of.specs(plan)[1][0].env_seed for plan in plans}) == 9


def test_a_plan_comes_back_from_a_checkpoint_and_gives_the_same_rollouts():
    of = stream(4)
    plan = of.next(7, 2)
    again = GroupPlan.from_json(json.loads(json.dumps(plan.as_json())))
    assert again == plan
    order(of, range(8, 20))
    assert of.specs(again)[1] == stream(4).specs(plan)[1]


def test_a_pass_is_shuffled_once(monkeypatch):
    made: list[tuple[object, ...]] = []
    monkeypatch.setattr(
        "envport_trainer.rollouts.tasks.derive_seed", lambda *parts: made.append(parts) or derive_seed(*parts)
    )
    order(stream(), range(7))
    assert [parts[1:] for parts in made if parts[1] == "order"] == [("order", 0, n) for n in range(3)]


def test_a_stream_goes_on_where_another_stopped():
    whole, first, second = stream(5), stream(5), stream(5)
    expected = order(whole, range(6), groups=4)
    got = order(first, range(3), groups=4)
    second.load_state(json.loads(json.dumps(first.state())))
    got += order(second, range(3, 6), groups=4)
    assert got == expected
    assert second.state() == whole.state() == {"taken": [24], "measures": []}


def test_an_endless_split_is_taken_in_order():
    assert order(stream(split="endless"), range(5)) == [0, 1, 2, 3, 4]


def test_environments_are_chosen_by_their_weights():
    often, seldom = SplitEnv("http://often", train=3), SplitEnv("http://seldom", train=3)
    mixed = TaskStream([TaskSource(often, "train", 3.0), TaskSource(seldom, "train", 1.0)], 0, group_size=2)
    plans = [mixed.next(step, number) for step in range(100) for number in range(10)]
    chosen = Counter(mixed.specs(plan)[0].url for plan in plans)
    # Five standard deviations of a binomial count with p = 3/4.
    assert chosen["http://often"] == pytest.approx(750, abs=5 * (1000 * 0.75 * 0.25) ** 0.5)
    assert mixed.taken == [chosen["http://often"], chosen["http://seldom"]]


def test_an_unknown_or_empty_split_is_told_before_anything_starts():
    with pytest.raises(UnknownTaskError, match="http://env has no split 'test'; it has: train, endless, empty"):
        stream(split="test")
    with pytest.raises(UnknownTaskError, match="split 'empty' of http://env is empty"):
        stream(split="empty")
