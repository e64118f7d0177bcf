"""A run that cannot learn is ended with the number that says why."""

from __future__ import annotations

import copy
import math
from statistics import fmean

import pytest
import torch
from envport_trainer.errors import TrainerError
from envport_trainer.learning.learner import MAX_SKIPPED, Learner, check_agreement
from envport_trainer.learning.policy import Policy

from .updates import plain_logprobs, settings, small_groups, small_model


def test_rounding_passes_and_more_than_that_is_named() -> None:
    check_agreement({"mismatch_mean": 0.06})
    with pytest.raises(TrainerError, match=r"0\.43 apart on average, and at most 0\.2 is rounding"):
        check_agreement({"mismatch_mean": 0.43})
    with pytest.raises(TrainerError, match="nan apart"):
        check_agreement({"mismatch_mean": math.nan})


def test_an_update_that_is_refused_leaves_the_weights_and_the_optimizer_as_they_were() -> None:
    model = small_model()
    groups = small_groups(model)
    apart = fmean(
        abs(mine - told)
        for group in groups
        for trajectory in group
        for row in trajectory.rows
        for mine, told, counts in zip(plain_logprobs(model, row), row.logprobs, row.loss_mask, strict=True)
        if counts
    )
    assert apart > 0.2
    before = copy.deepcopy(model.state_dict())
    learner = Learner(Policy.under_plan(model, "fp32"), settings())
    with pytest.raises(TrainerError, match=rf"logprobs that are {apart:.2f} apart".replace(".", r"\.")):
        learner.update(groups, 0, check_agreement)
    assert all(torch.equal(model.state_dict()[name], weight) for name, weight in before.items())
    assert not learner.optimizer.state
    learner.update(groups, 0)
    assert not all(torch.equal(model.state_dict()[name], weight) for name, weight in before.items())


def test_only_updates_skipped_in_a_row_end_a_run() -> None:
    learner = Learner.__new__(Learner)
    learner.skipped = 0
    for finite in (False, False, True, False, False):
        learner._count_skipped(finite)
    assert MAX_SKIPPED == 3
    with pytest.raises(TrainerError, match="not finite in 3 updates in a row"):
        learner._count_skipped(False)
