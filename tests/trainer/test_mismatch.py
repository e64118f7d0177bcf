"""What tokens weigh where the sampler computes other logprobs than the trainer."""

from __future__ import annotations

import math

import pytest
import torch
from envport_trainer.algorithm.mismatch import Corrected, correct
from torch import Tensor

from .updates import small_groups, small_model, update, with_row

ROLLOUT = torch.tensor([5, 5, 5, 8, 8, 8])
RHO = [1.0, 4.0, 0.25, 3.0, 3.0, 0.9]


def log_rho() -> Tensor:
    return torch.tensor(RHO, dtype=torch.float64).log().requires_grad_()


def corrected(kind: str, rho: Tensor) -> Corrected:
    return correct(kind, rho, ROLLOUT, low=0.5, high=2.0)  # type: ignore[arg-type]  # each of the four


def test_without_a_correction_the_ratio_is_to_the_sampler_and_all_weigh_one():
    rho = log_rho()
    got = corrected("none", rho)
    assert got.log_ratio_N is rho
    assert got.weight_N.tolist() == [1.0] * 6
    assert not got.dropped_N.any()


@pytest.mark.parametrize(
    ("kind", "weights", "dropped"),
    [
        ("truncate", [1.0, 2.0, 0.25, 2.0, 2.0, 0.9], []),
        ("mask", [1.0, 0.0, 0.0, 0.0, 0.0, 0.9], [1, 2, 3, 4]),
        # the geometric means are 1 and (3 * 3 * 0.9) ** (1 / 3) = 2.008
        ("geometric", [1.0, 1.0, 1.0, 0.0, 0.0, 0.0], [3, 4, 5]),
    ],
)
def test_weights_by_hand(kind, weights, dropped):
    got = corrected(kind, log_rho())
    assert got.weight_N.tolist() == pytest.approx(weights)
    assert got.dropped_N.nonzero().flatten().tolist() == dropped


@pytest.mark.parametrize("kind", ["truncate", "mask", "geometric"])
def test_with_a_correction_the_ratio_is_one_and_the_weight_has_no_gradient(kind):
    rho = log_rho()
    got = corrected(kind, rho)
    assert got.log_ratio_N.tolist() == [0.0] * 6
    assert not got.weight_N.requires_grad
    got.log_ratio_N.exp().sum().backward()
    assert rho.grad is not None
    assert rho.grad.tolist() == [1.0] * 6


@pytest.mark.parametrize("kind", ["mask", "geometric"])
def test_a_weight_on_its_bounds_is_kept(kind):
    rho = torch.tensor([0.5, 2.0], dtype=torch.float64).log()
    got = correct(kind, rho, torch.tensor([0, 1]), low=math.exp(float(rho[0])), high=math.exp(float(rho[1])))
    assert got.weight_N.tolist() == pytest.approx([0.5, 2.0])


@pytest.mark.parametrize("kind", ["truncate", "mask", "geometric"])
def test_mismatch_and_sample_size_are_measured_before_any_correction(kind):
    model = small_model()
    groups = small_groups(model)
    plain = update(model, groups).values
    values = update(model, groups, correction=kind, correction_low=0.9, correction_high=1.1).values
    for name in ("mismatch_mean", "mismatch_max", "mismatch_k3", "ess"):
        assert values[name] == pytest.approx(plain[name])
    assert 0.5 < plain["ess"] < 0.99
    assert plain["correction_dropped_share"] == 0.0


def test_the_effective_sample_size_is_one_where_sampler_and_trainer_agree():
    model = small_model()
    groups = [
        [with_row(t, logprobs=[math.nan] * len(t.rows[0].logprobs)) for t in group] for group in small_groups(model)
    ]
    values = update(model, groups).values
    assert values["ess"] == pytest.approx(1.0)
    assert values["mismatch_max"] == 0.0
