"""The policy terms against hand-worked values, TRL's own loss, and inputs that must not break them."""

from __future__ import annotations

import math

import pytest
import torch
from envport_trainer.algorithm.losses import cispo, clipped, dppo, policy_loss, safe_log_ratio
from torch import Tensor


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(
    ("advantage", "ratio", "gradient_of_loss_by_ratio"),
    [
        # PPO's sign table: the gradient is cut only where the ratio has already moved the way A pushes.
        (1.0, 0.5, -1.0),
        (1.0, 1.0, -1.0),
        (1.0, 1.27, -1.0),
        (1.0, 1.5, 0.0),
        (-1.0, 0.5, 0.0),
        (-1.0, 0.81, 1.0),
        (-1.0, 1.0, 1.0),
        (-1.0, 2.0, 1.0),
    ],
)
def test_the_clip_cuts_the_gradient_on_one_side_only(
    advantage: float, ratio: float, gradient_of_loss_by_ratio: float
) -> None:
    log_ratio = tensor(math.log(ratio)).requires_grad_()
    token = clipped(log_ratio, tensor(advantage), 0.2, 0.28)
    token.loss_N.sum().backward()
    assert log_ratio.grad is not None
    assert log_ratio.grad.item() / ratio == pytest.approx(gradient_of_loss_by_ratio)
    assert token.bound_N.tolist() == [gradient_of_loss_by_ratio == 0.0]


def test_clipped_loss_by_hand() -> None:
    token = clipped(tensor(1.5, 0.5, 0.9).log(), tensor(2.0, -1.0, 1.0), 0.2, 0.28)
    assert token.loss_N.tolist() == pytest.approx([-2.56, 0.8, -0.9])


def test_cispo_weighs_the_logprob_gradient_by_the_capped_ratio() -> None:
    logprob = tensor(-1.0, -2.0).requires_grad_()
    token = cispo(logprob, tensor(math.log(3.0), math.log(0.5)), tensor(1.0, -2.0), 0.28)
    assert token.loss_N.tolist() == pytest.approx([1.28, -2.0])
    token.loss_N.sum().backward()
    assert logprob.grad is not None
    assert logprob.grad.tolist() == pytest.approx([-1.28, 1.0])


def test_dppo_drops_tokens_whose_probability_moved_too_far_the_way_the_advantage_pushes() -> None:
    policy, sampler = tensor(0.9, 0.9, 0.5, 0.1), tensor(0.5, 0.5, 0.45, 0.5)
    token = dppo(policy.log(), (policy / sampler).log(), tensor(1.0, -1.0, 1.0, -1.0))
    assert token.bound_N.tolist() == [True, False, False, True]
    pull = [1e-3 * math.log(p / s) ** 2 for p, s in zip(policy.tolist(), sampler.tolist(), strict=True)]
    assert token.loss_N.tolist() == pytest.approx([pull[0], 1.8 + pull[1], -0.5 / 0.45 + pull[2], pull[3]])


@pytest.mark.parametrize("kind", ["clip", "cispo", "dppo"])
def test_nan_and_overflow_stay_finite_in_value_and_gradient(kind: str) -> None:
    logprob = tensor(-1.0, -1.0, -1e4, -1.0).requires_grad_()
    sampler = tensor(math.nan, -math.inf, -1.0, -1e4)
    token = policy_loss(kind, logprob, sampler, tensor(1.0, 1.0, -1.0, 1.0))  # type: ignore[arg-type]  # each of the three
    token.loss_N.sum().backward()
    assert logprob.grad is not None
    assert torch.isfinite(token.loss_N).all()
    assert torch.isfinite(logprob.grad).all()


def test_an_unknown_sampler_logprob_means_a_ratio_of_one() -> None:
    assert safe_log_ratio(tensor(-1.5, -1.5), tensor(math.nan, -1.0)).tolist() == [0.0, -0.5]
