"""The policy terms against hand-worked values, TRL's own loss, and inputs that must not break them."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from envport_trainer.algorithm.aggregation import token_weights
from envport_trainer.algorithm.log_ratios import rollout_mean, safe_log_ratio
from envport_trainer.algorithm.losses import TokenLoss, cispo, clipped, dppo, gspo, policy_loss
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


def plain_dppo(logprob: float, sampler: float, advantage: float) -> tuple[float, float]:
    """Loss and its gradient by log pi of one token, in plain numbers (2602.04879 as prime-rl has it)."""
    pi, mu = math.exp(logprob), math.exp(sampler)
    dropped = (advantage > 0 and pi - mu > 0.2) or (advantage < 0 and mu - pi > 0.2)
    policy = 0.0 if dropped else -advantage * pi / mu
    apart = logprob - sampler
    return policy + 1e-3 * apart**2, policy + 2e-3 * apart


def test_dppo_is_its_formula_token_by_token() -> None:
    cases = list(product([0.9, 0.5, 0.35, 0.1, 0.01], [0.6, 0.3, 0.12, 0.01], [1.5, 0.0, -0.7]))
    logprob, sampler, advantage = (tensor(*column) for column in zip(*cases, strict=True))
    logprob, sampler = logprob.log().requires_grad_(), sampler.log()
    token = dppo(logprob, logprob - sampler, advantage)
    token.loss_N.sum().backward()
    assert logprob.grad is not None
    columns = zip(logprob.tolist(), sampler.tolist(), advantage.tolist(), strict=True)
    expected_loss, expected_gradient = zip(*(plain_dppo(*column) for column in columns), strict=True)
    assert token.loss_N.tolist() == pytest.approx(expected_loss)
    assert logprob.grad.tolist() == pytest.approx(expected_gradient)


def test_dppo_drops_tokens_whose_probability_moved_too_far_the_way_the_advantage_pushes() -> None:
    policy, sampler = tensor(0.9, 0.9, 0.5, 0.1), tensor(0.5, 0.5, 0.45, 0.5)
    token = dppo(policy.log(), (policy / sampler).log(), tensor(1.0, -1.0, 1.0, -1.0))
    assert token.bound_N.tolist() == [True, False, False, True]


def test_gspo_gives_all_tokens_of_a_rollout_the_geometric_mean_of_their_ratios() -> None:
    log_ratio = tensor(0.3, 0.1, -0.1, 0.2).requires_grad_()
    rollout = torch.tensor([4, 7, 4, 7])
    token = gspo(log_ratio, tensor(1.0, 2.0, 1.0, 2.0), rollout, 0.2, 0.12)
    assert token.loss_N.tolist() == pytest.approx([-math.exp(0.1), -2.24, -math.exp(0.1), -2.24])
    assert token.bound_N.tolist() == [False, True, False, True]
    token.loss_N.sum().backward()
    assert log_ratio.grad is not None
    assert log_ratio.grad.tolist() == pytest.approx([-math.exp(0.1), 0.0, -math.exp(0.1), 0.0])


def test_the_mean_of_a_rollout_does_not_depend_on_where_its_tokens_stand() -> None:
    mean = rollout_mean(tensor(1.0, 2.0, 3.0, 10.0), torch.tensor([9, 0, 9, 3]))
    assert mean.tolist() == [2.0, 2.0, 2.0, 10.0]
    assert rollout_mean(tensor(), torch.tensor([], dtype=torch.long)).tolist() == []


def loss_of(kind: str, logprob: Tensor, sampler: Tensor, advantage: Tensor) -> TokenLoss:
    log_ratio, rollout = safe_log_ratio(logprob, sampler), torch.arange(len(logprob)) // 2
    return policy_loss(
        kind,  # type: ignore[arg-type]  # each of the four
        logprob,
        log_ratio,
        advantage,
        rollout,
        clip_low=0.2,
        clip_high=0.28,
    )


@pytest.mark.parametrize("kind", ["clip", "gspo", "cispo", "dppo"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nan_and_overflow_stay_finite_in_value_and_gradient(kind: str, dtype: torch.dtype) -> None:
    logprob = tensor(-1.0, -1.0, -1e4, -1.0, -1e-9, -3.0).to(dtype).requires_grad_()
    sampler = tensor(math.nan, -math.inf, -1.0, -1e4, -1e30, math.inf).to(dtype)
    token = loss_of(kind, logprob, sampler, tensor(1.0, 1.0, -1.0, 1.0, -1.0, -1.0).to(dtype))
    token.loss_N.sum().backward()
    assert logprob.grad is not None
    assert torch.isfinite(token.loss_N).all()
    assert torch.isfinite(logprob.grad).all()


@pytest.mark.parametrize("kind", ["clip", "gspo", "cispo", "dppo"])
def test_no_tokens_have_no_loss(kind: str) -> None:
    nothing = tensor()
    assert loss_of(kind, nothing, nothing, nothing).loss_N.tolist() == []


def test_an_unknown_sampler_logprob_means_a_ratio_of_one() -> None:
    assert safe_log_ratio(tensor(-1.5, -1.5), tensor(math.nan, -1.0)).tolist() == [0.0, -0.5]


def test_tokens_weigh_the_same_in_the_batch_or_in_their_rollout_or_always() -> None:
    sizes = {"batch_tokens": 20, "batch_rollouts": 5, "max_new_tokens": 8}
    assert token_weights("token", [4, 0, 6], **sizes) == [0.05] * 3
    assert token_weights("sequence", [4, 0, 6], **sizes) == pytest.approx([1 / 20, 1 / 5, 1 / 30])
    assert token_weights("constant", [4, 0, 6], **sizes) == [0.025] * 3


@pytest.mark.parametrize("kind", ["token", "sequence", "constant"])
def test_a_batch_without_tokens_has_weights_that_are_numbers(kind: str) -> None:
    weights = token_weights(kind, [0], batch_tokens=0, batch_rollouts=0, max_new_tokens=8)  # type: ignore[arg-type]  # each of the three
    assert all(map(math.isfinite, weights))
