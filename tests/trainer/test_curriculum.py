"""Tasks by measured difficulty: what is measured, how often each is drawn, and that a resumed run draws the same."""

from __future__ import annotations

import json
import random
from collections import Counter
from statistics import fmean, pvariance

import pytest
from envport_trainer.errors import CheckpointError
from envport_trainer.rollouts.curriculum import EXPLORE, FLOOR, HALF_LIFE_STEPS, Difficulty, Measure
from envport_trainer.rollouts.tasks import GroupPlan, TaskSource, TaskStream

from .splits import SplitEnv

NEVER, ALWAYS, HALF, SELDOM = [0.0] * 8, [1.0] * 8, [0.0, 1.0] * 4, [1.0] + [0.0] * 7


def stream(seed: int = 0, *, size: int | None = 40) -> TaskStream:
    return TaskStream([TaskSource(SplitEnv(train=size), "train", 1.0)], seed, 2, "difficulty")


def rewards_of(index: int) -> list[float]:
    """A quarter of the tasks is never solved, one always, one half the time, and one seldom."""
    return [NEVER, ALWAYS, HALF, SELDOM][index % 4]


def played(of: TaskStream, steps: range, groups: int = 8) -> list[GroupPlan]:
    """The plans of some steps, each observed when its step is over."""
    plans: list[GroupPlan] = []
    for step in steps:
        now = [of.next(step, number) for number in range(groups)]
        for plan in now:
            of.observe(plan, rewards_of(plan.index))
        plans += now
    return plans


# What is measured


def test_a_measure_is_the_mean_and_the_variance_of_a_groups_rewards():
    known = Difficulty()
    for index, rewards in enumerate([NEVER, ALWAYS, HALF, SELDOM, [0.3] * 7, [0.1, 0.5, 0.7]]):
        known.observe(index, 3, rewards)
    assert known.measure(0) == Measure(3, 0.0, 0.0)
    assert known.measure(1) == Measure(3, 1.0, 0.0)
    assert known.measure(2) == Measure(3, 0.5, 0.25)
    assert known.measure(3) == Measure(3, 1 / 8, 1 / 8 * 7 / 8)
    assert known.measure(4) == Measure(3, pytest.approx(0.3), 0.0)
    assert known.measure(5) == Measure(3, pytest.approx(13 / 30), pytest.approx(pvariance([0.1, 0.5, 0.7])))


def test_two_groups_of_one_step_count_one_to_one_and_have_the_variance_of_both_together():
    known = Difficulty()
    known.observe(0, 5, HALF)
    known.observe(0, 5, ALWAYS)
    assert known.measure(0) == Measure(5, fmean(HALF + ALWAYS), pytest.approx(pvariance(HALF + ALWAYS)))


def test_an_older_group_counts_less_by_its_age():
    """After a half-life the earlier group weighs a quarter: p = 0.25 x 0 + 0.75 x 1."""
    known = Difficulty()
    known.observe(0, 0, NEVER)
    known.observe(0, int(HALF_LIFE_STEPS), ALWAYS)
    assert known.measure(0) == Measure(int(HALF_LIFE_STEPS), 0.75, pytest.approx(0.75 * 0.25))


@pytest.mark.parametrize("rewards", [[], [0.7]])
def test_fewer_than_two_rewards_tell_nothing(rewards):
    known = Difficulty()
    known.observe(0, 0, rewards)
    assert known.state() == []


def test_the_weight_is_the_spread_and_a_floor_of_the_mean_spread():
    known = Difficulty()
    for index, rewards in enumerate([NEVER, ALWAYS, HALF, SELDOM]):
        known.observe(index, 10, rewards)
    usual = (0 + 0 + 0.25 + 7 / 64) / 4
    floor = FLOOR * usual
    assert known.weights(10) == pytest.approx({0: floor, 1: floor, 2: 0.25 + floor, 3: 7 / 64 + floor})


def test_a_weight_goes_to_the_mean_spread_as_its_measure_ages():
    known = Difficulty()
    known.observe(0, 0, NEVER)
    known.observe(1, int(HALF_LIFE_STEPS), HALF)
    usual = 0.25 / 2
    assert known.weights(int(HALF_LIFE_STEPS)) == pytest.approx({0: usual / 2 + FLOOR * usual, 1: 0.25 + FLOOR * usual})
    old = known.weights(10_000)
    assert old == pytest.approx({0: usual * (1 + FLOOR), 1: usual * (1 + FLOOR)})


def test_the_tasks_measured_first_are_forgotten_first():
    known = Difficulty(max_tasks=3)
    for step, index in enumerate([7, 8, 9, 7, 5]):
        known.observe(index, step, HALF)
    assert [row[0] for row in known.state()] == [9, 7, 5]
    assert known.measure(8) is None


# How often each is drawn


def test_draws_follow_the_weights():
    known = Difficulty()
    for index, rewards in enumerate([NEVER, ALWAYS, HALF, SELDOM]):
        known.observe(index, 0, rewards)
    chance, count = random.Random(1), 20_000
    drawn = Counter(known.draw(0, chance) for _ in range(count))
    weights = known.weights(0)
    for index, weight in weights.items():
        share = weight / sum(weights.values())
        # Five standard deviations of a binomial count.
        assert drawn[index] == pytest.approx(count * share, abs=5 * (count * share * (1 - share)) ** 0.5)
        assert drawn[index] > 0


@pytest.mark.parametrize("rewards", [NEVER, ALWAYS, [0.3] * 7, [0.3, 0.1 + 0.2] * 4])
def test_there_is_no_draw_while_no_task_has_a_spread(rewards):
    known = Difficulty()
    assert known.draw(0, random.Random(0)) is None
    for index in range(20):
        known.observe(index, 0, rewards)
    assert known.draw(0, random.Random(0)) is None


def test_what_is_observed_counts_from_the_next_draw_on():
    known = Difficulty()
    known.observe(0, 0, HALF)
    assert {known.draw(0, random.Random(n)) for n in range(50)} == {0}
    known.observe(1, 0, HALF)
    assert {known.draw(0, random.Random(n)) for n in range(50)} == {0, 1}


def test_draws_follow_the_age_of_what_was_measured():
    """The never solved task has 0.05 / 1.1 of the weight when it is new, and half of it in the end."""
    known = Difficulty()
    known.observe(0, 0, NEVER)
    known.observe(1, 0, HALF)
    for step, share in [(0, 0.05 / 1.1), (10_000, 0.5)]:
        drawn = sum(known.draw(step, random.Random(n)) == 0 for n in range(4000))
        assert drawn == pytest.approx(4000 * share, abs=5 * (4000 * share * (1 - share)) ** 0.5)


def test_a_stream_explores_half_of_the_time_and_else_takes_what_teaches():
    """Of 40 tasks 10 are solved half the time and 10 seldom; all are known after some steps, and none is old."""
    of, counted = stream(), Counter[int]()
    played(of, range(30))
    explored = of.taken[0]
    plans = played(of, range(30, 330))
    counted.update(plan.index % 4 for plan in plans)
    total = len(plans)
    assert of.taken[0] - explored == pytest.approx(total * EXPLORE, abs=5 * (total * 0.25) ** 0.5)
    spreads = [0, 0, 0.25, 7 / 64]
    usual = fmean(spreads)
    by_difficulty = [(spread + FLOOR * usual) / (1 + FLOOR) / usual / 4 for spread in spreads]
    for kind, share in enumerate(by_difficulty):
        # Measures are some steps old, so that weights are a little nearer to each other than when new.
        assert counted[kind] / total == pytest.approx(EXPLORE / 4 + (1 - EXPLORE) * share, abs=0.04)
    never = [plan for plan in plans if plan.index % 4 in (0, 1)]
    assert 0.2 * total < len(never) < 0.4 * total


def test_no_task_dies_out():
    of = stream()
    played(of, range(30))
    assert {plan.index for plan in played(of, range(30, 60))} == set(range(40))


def test_tasks_are_tried_in_shuffled_order_before_any_is_known():
    difficult, plain = stream(3), TaskStream(stream().sources, 3, 2)
    assert [difficult.next(0, number) for number in range(40)] == [plain.next(0, number) for number in range(40)]


def test_an_endless_split_gives_fresh_tasks_and_tried_ones_alone():
    of, known = stream(size=None), set[int]()
    for step in range(40):
        fresh = of.taken[0]
        plans = [of.next(step, number) for number in range(8)]
        new = [plan.index for plan in plans if plan.index not in known]
        assert new == list(range(fresh, of.taken[0]))
        for plan in plans:
            of.observe(plan, rewards_of(plan.index))
        known |= {plan.index for plan in plans}
    assert of.taken[0] == pytest.approx(320 * EXPLORE, abs=5 * (320 * 0.25) ** 0.5)


def test_each_environment_has_a_curriculum_of_its_own():
    sources = [TaskSource(SplitEnv(name, train=4), "train", 1.0) for name in ("http://a", "http://b")]
    of = TaskStream(sources, 0, 2, "difficulty")
    of.observe(GroupPlan(source=1, index=2, step=0, number=0), HALF)
    assert of.state() == {"taken": [0, 0], "measures": [[], [(2, 0, 0.5, 0.25)]]}


# Determinism and resuming


def test_equal_seeds_and_observations_give_equal_plans():
    assert played(stream(1), range(20)) == played(stream(1), range(20))
    assert played(stream(1), range(20)) != played(stream(2), range(20))


@pytest.mark.parametrize("size", [40, None])
def test_a_stream_goes_on_from_a_checkpoint_with_the_same_plans(size):
    whole, first, second = stream(5, size=size), stream(5, size=size), stream(5, size=size)
    expected = played(whole, range(30))
    got = played(first, range(15))
    second.load_state(json.loads(json.dumps(first.state())))
    assert got + played(second, range(15, 30)) == expected
    assert json.dumps(second.state()) == json.dumps(whole.state())


def test_a_state_is_no_view_of_the_stream():
    of = stream()
    before = json.dumps(kept := of.state())
    played(of, range(3))
    assert json.dumps(kept) == before


def test_a_state_of_another_curriculum_is_refused():
    plain = TaskStream(stream().sources, 0, 2)
    with pytest.raises(CheckpointError, match="measures of 1, and this run needs 1 and 0; resume with the same"):
        plain.load_state(stream().state())
    with pytest.raises(CheckpointError, match="measures of 0, and this run needs 1 and 1"):
        stream().load_state(plain.state())


def test_a_hundred_thousand_measures_come_back_from_a_checkpoint():
    known, again = Difficulty(), Difficulty()
    for index in range(100_050):
        known.observe(index, index // 8, rewards_of(index))
    again.load_state(json.loads(json.dumps(known.state())))
    assert len(again.state()) == 100_000
    assert again.measure(50) == known.measure(50) == Measure(6, 0.5, 0.25)
    assert again.measure(49) is None
    assert [again.draw(12_500, random.Random(n)) for n in range(3)] == [
        known.draw(12_500, random.Random(n)) for n in range(3)
    ]
