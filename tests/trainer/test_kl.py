"""The KL term beside the exact KL of a tiny vocabulary, summed over every token that could have been sampled."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from envport_trainer.algorithm.kl import kl_loss
from envport_trainer.learning.learner import Learner, training_rows
from envport_trainer.learning.packing import pack
from envport_trainer.learning.policy import Policy
from envport_trainer.learning.reference import frozen_copy, initial_policy
from torch import Tensor

from .updates import nearby, settings, small_groups, small_model, update

KINDS = ["k1", "k2", "k3"]


def distributions() -> tuple[Tensor, Tensor, Tensor]:
    """Logits of the policy, logprobs of the reference and of the sampler, over 6 tokens."""
    torch.manual_seed(1)
    logits, reference, sampler = torch.randn(3, 6, dtype=torch.float64)
    return logits.requires_grad_(), reference.log_softmax(0), sampler.log_softmax(0)


def exact(logits: Tensor, reference: Tensor) -> Tensor:
    logprob = logits.log_softmax(0)
    return (logprob.exp() * (logprob - reference)).sum()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("off_policy", [True, False], ids=["off policy", "on policy"])
def test_the_mean_gradient_is_that_of_the_kl_divergence(kind, off_policy):
    logits, reference, sampler = distributions()
    logprob = logits.log_softmax(0)
    mu = sampler if off_policy else logprob.detach()
    expected = torch.autograd.grad(exact(logits, reference), logits)[0]
    estimate = (mu.exp() * kl_loss(kind, logprob, reference, logprob - mu)).sum()
    got = torch.autograd.grad(estimate, logits)[0]
    assert torch.allclose(got, expected, rtol=1e-12, atol=1e-14)
    assert expected.norm() > 0.1


@pytest.mark.parametrize("kind", ["k1", "k3"])
def test_the_mean_value_is_the_kl_divergence(kind):
    logits, reference, sampler = distributions()
    logprob = logits.log_softmax(0)
    estimate = (sampler.exp() * kl_loss(kind, logprob, reference, logprob - sampler)).sum()
    assert estimate.item() == pytest.approx(exact(logits, reference).item())


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_finite_where_logprobs_are_not_and_where_they_overflow(kind):
    logprob = torch.tensor([-1.0, -1e4, -1e-6, -1e4, -1.0]).requires_grad_()
    reference = torch.tensor([math.nan, -1.0, -1e4, -1e30, -math.inf])
    loss = kl_loss(kind, logprob, reference, (logprob + 40.0).clamp(-20, 20))
    loss.sum().backward()
    assert logprob.grad is not None
    assert torch.isfinite(loss).all()
    assert torch.isfinite(logprob.grad).all()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_frozen_copy_has_the_logprobs_of_the_start_whatever_the_policy_becomes(precision):
    model = small_model()
    groups = small_groups(model)
    batches = pack(training_rows(groups, [[0.0] * 4] * 2), 1000)
    policy = Policy.under_plan(model, precision)
    start = policy.logprobs(batches[0], 0.7)
    reference = frozen_copy(policy)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 1.5
    assert torch.equal(reference(batches[0], 0.7), start.detach())
    assert not reference(batches[0], 0.7).requires_grad
    assert float((policy.logprobs(batches[0], 0.7) - start).abs().max().detach()) > 0.01


def test_the_reference_of_adapters_is_the_same_model_with_them_off():
    peft = pytest.importorskip("peft")
    model = small_model()
    batch = pack(training_rows(small_groups(model), [[0.0] * 4] * 2), 1000)[0]
    start = Policy.under_plan(copy.deepcopy(model), "fp32").logprobs(batch, 1.0).detach()
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    policy = Policy.under_plan(adapted, "fp32")
    reference = initial_policy(policy)
    assert torch.allclose(reference(batch, 1.0), start, atol=1e-6)
    assert not torch.allclose(policy.logprobs(batch, 1.0).detach(), start, atol=1e-3)


def test_without_a_weight_there_is_no_reference_and_no_value_of_it():
    model = small_model()
    assert Learner(Policy.under_plan(copy.deepcopy(model), "fp32"), settings()).reference is None
    assert "kl" not in update(model, small_groups(model)).values


@pytest.mark.parametrize("kind", KINDS)
def test_an_update_from_the_start_has_no_kl_yet(kind):
    model = small_model()
    groups = small_groups(model)
    assert update(model, groups, kl=kind, kl_weight=0.1).values["kl"] == pytest.approx(0.0, abs=1e-6)


def test_the_kl_of_an_update_is_the_mean_of_its_estimates():
    model = small_model()
    groups, other = small_groups(model), nearby(model)
    first = update(model, groups, other, kl="k3", kl_weight=0.1)
    twice = update(model, groups, other, kl="k3", kl_weight=0.2)
    assert first.values["kl"] > 0.01
    assert twice.loss - first.loss == pytest.approx(0.1 * first.values["kl"], abs=1e-6)


def test_nothing_is_pulled_where_nothing_moved():
    model = small_model()
    groups = small_groups(model)
    without = update(model, groups).gradient
    with_k2 = update(model, groups, kl="k2", kl_weight=1.0).gradient
    assert all(torch.allclose(without[name], with_k2[name], atol=1e-7) for name in without)
