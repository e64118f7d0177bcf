"""A run that cannot learn is ended with the number that says why."""

from __future__ import annotations

import math

import pytest
from envport_trainer.errors import TrainerError
from envport_trainer.learning.learner import MAX_SKIPPED, Learner, check_agreement


def test_rounding_passes_and_more_than_that_is_named() -> None:
    check_agreement({"mismatch_mean": 0.06})
    with pytest.raises(TrainerError, match=r"0\.43 apart on average, and at most 0\.2 is rounding"):
        check_agreement({"mismatch_mean": 0.43})
    with pytest.raises(TrainerError, match="nan apart"):
        check_agreement({"mismatch_mean": math.nan})


def test_only_updates_skipped_in_a_row_end_a_run() -> None:
    learner = Learner.__new__(Learner)
    learner.skipped = 0
    for finite in (False, False, True, False, False):
        learner._count_skipped(finite)
    assert MAX_SKIPPED == 3
    with pytest.raises(TrainerError, match="not finite in 3 updates in a row"):
        learner._count_skipped(False)
