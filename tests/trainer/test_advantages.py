"""Advantages by hand and by TRL's formula."""

from __future__ import annotations

import pytest
import torch
from envport_trainer.algorithm.advantages import group_advantages, has_spread


def test_the_mean_is_subtracted() -> None:
    assert group_advantages([1.0, 0.0, 0.5, 0.5]) == [0.5, -0.5, 0.0, 0.0]


def test_std_divides_as_trl_does() -> None:
    rewards = [0.1, 0.7, 0.4, 0.4, 0.9]
    values = torch.tensor(rewards, dtype=torch.float64)
    expected = (values - values.mean()) / (values.std() + 1e-4)
    assert group_advantages(rewards, "std") == pytest.approx(expected.tolist())


@pytest.mark.parametrize("scale", ["mean", "std"])
@pytest.mark.parametrize("rewards", [[0.3, 0.3, 0.3], [0.3, 0.3 + 1e-9], [7.0]])
def test_a_group_of_equal_rewards_teaches_nothing(rewards: list[float], scale: str) -> None:
    assert not has_spread(rewards)
    assert group_advantages(rewards, scale) == [0.0] * len(rewards)  # type: ignore[arg-type]  # both scales
