"""What is measured of a step's rollouts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from envport_trainer.recording.measurements import measure

from .made_run import trajectory


def step(*groups: int) -> Any:
    """Rollouts of rewards 0.25, 0.5, 0.75, ... in these groups, none of which is trained on."""
    played = [trajectory(k, reward=0.25 * (k + 1), group=group) for k, group in enumerate(groups)]
    return SimpleNamespace(all=played, groups=[], stale=[], stale_groups=0, started=2, dropped=0, policy_version=0)


def test_one_group_alone_has_no_standard_error():
    values = measure(step(7, 7))
    assert "reward_se" not in values
    assert (values["reward"], values["reward_groups"]) == (0.375, 1.0)


def test_the_standard_error_is_by_groups_and_their_number_stands_beside_it():
    values = measure(step(1, 1, 2, 2))
    # Sums of 0.625 less than the mean: -0.5 and 0.5; (2 / 1 x 0.5) ** 0.5 / 4 rollouts.
    assert (values["reward_se"], values["reward_groups"]) == (pytest.approx(0.25), 2.0)
