"""Advantages by hand, by TRL's formulas, and of groups that have nothing to teach."""

from __future__ import annotations

import random
from itertools import chain
from typing import get_args

import pytest
import torch
from envport_trainer.algorithm.advantages import (
    Advantage,
    GroupAdvantage,
    Score,
    group_advantages,
    has_spread,
    step_advantages,
)
from envport_trainer.errors import ConfigError

REWARDS = [0.1, 0.7, 0.4, 0.4, 0.9]


def test_the_mean_is_subtracted() -> None:
    assert group_advantages([1.0, 0.0, 0.5, 0.5]) == [0.5, -0.5, 0.0, 0.0]


def test_std_divides_as_trl_does() -> None:
    values = torch.tensor(REWARDS, dtype=torch.float64)
    expected = (values - values.mean()) / (values.std() + 1e-4)
    assert group_advantages(REWARDS, "std") == pytest.approx(expected.tolist())


def test_rloo_compares_with_the_mean_of_the_others() -> None:
    others = [sum(REWARDS[:i] + REWARDS[i + 1 :]) / 4 for i in range(5)]
    assert group_advantages(REWARDS, "rloo") == pytest.approx([r - o for r, o in zip(REWARDS, others, strict=True)])


def test_maxrl_divides_by_the_mean_so_that_a_rare_success_counts_more() -> None:
    assert group_advantages([1.0, 0.0, 0.0, 0.0], "maxrl") == pytest.approx([3.0, -1.0, -1.0, -1.0])
    assert group_advantages([1.0, 1.0, 1.0, 0.0], "maxrl") == pytest.approx([1 / 3, 1 / 3, 1 / 3, -1.0])


def test_maxrl_refuses_rewards_below_zero_by_name() -> None:
    with pytest.raises(ConfigError, match=r"maxrl .* one is -0\.5; choose another advantage"):
        group_advantages([-0.5, 1.0], "maxrl")


def test_batch_std_divides_by_the_spread_of_all_rewards_of_the_step() -> None:
    groups = torch.tensor([[0.0, 1.0, 0.5], [3.0, 3.2, 4.0]], dtype=torch.float64)
    expected = (groups - groups.mean(1, keepdim=True)) / (groups.std() + 1e-4)
    got = step_advantages([[Score(r) for r in group] for group in groups.tolist()], "batch_std")
    assert list(chain(*got)) == pytest.approx(expected.flatten().tolist())


def test_gdpo_is_what_trl_computes_of_several_weighted_rewards() -> None:
    choice = random.Random(2)
    values = torch.tensor([[[choice.random(), 10 * choice.random()] for _ in range(4)] for _ in range(3)]).double()
    weight = torch.tensor([0.3, 2.0], dtype=torch.float64)
    normal = (values - values.mean(1, keepdim=True)) / (values.std(1, keepdim=True) + 1e-4)
    sums = (normal * weight).sum(-1).flatten()
    expected = (sums - sums.mean()) / (sums.std() + 1e-4)
    weights = {"a": 0.3, "b": 2.0}
    groups = [[Score(0.3 * a + 2 * b, {"a": a, "b": b}, weights) for a, b in group] for group in values.tolist()]
    assert list(chain(*step_advantages(groups, "gdpo"))) == pytest.approx(expected.tolist())


def test_gdpo_gives_a_component_of_small_spread_its_weight() -> None:
    scores = [Score(r, {"big": b, "small": s}) for r, b, s in [(10.0, 10, 0), (0.1, 0, 0.1), (0.0, 0, 0)]]
    first, second, third = step_advantages([scores], "gdpo")[0]
    assert first == pytest.approx(second, rel=1e-2)
    assert third < 0


def test_gdpo_compares_a_component_among_the_rollouts_that_have_it() -> None:
    scores = [Score(2, {"a": 1, "b": 1}), Score(0, {"a": 0, "b": 0}), Score(0, {"a": 0.5})]
    first, second, third = step_advantages([scores], "gdpo")[0]
    assert third == 0.0
    assert first == pytest.approx(-second)
    assert first > 0


def test_gdpo_without_components_takes_the_reward_itself() -> None:
    bare = step_advantages([[Score(r) for r in REWARDS]], "gdpo")
    assert bare == step_advantages([[Score(r, {"only": r}) for r in REWARDS]], "gdpo")
    assert bare[0][4] > bare[0][1] > 0 > bare[0][0]


@pytest.mark.parametrize("kind", get_args(Advantage))
@pytest.mark.parametrize("rewards", [[0.3, 0.3, 0.3], [0.3, 0.3 + 1e-9], [7.0], [0.0, 0.0]])
def test_a_group_of_equal_rewards_teaches_nothing_whatever_the_others_are(
    rewards: list[float], kind: Advantage
) -> None:
    assert not has_spread(rewards)
    equal = [Score(r, {"a": r, "b": 1.0}) for r in rewards]
    others = [Score(0.0, {"a": 0.0, "b": 1.0}), Score(1.0, {"a": 1.0, "b": 1.0})]
    got = step_advantages([equal, others], kind)
    assert got[0] == [0.0] * len(rewards)
    assert got[1][1] == -got[1][0] > 0


@pytest.mark.parametrize("kind", get_args(GroupAdvantage))
def test_kinds_of_one_group_do_not_look_at_the_others(kind: GroupAdvantage) -> None:
    one, other = [Score(r) for r in REWARDS], [Score(r) for r in (0.0, 5.0)]
    assert step_advantages([one, other], kind)[0] == group_advantages(REWARDS, kind)
