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


LENGTHS = [3, 1, 4]
WORDS = 5


def sampled_rollouts(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits (8, 5) of a policy at each token of three rollouts, the tokens, the logprobs that they were sampled with,
    and the number of each token's rollout."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(sum(LENGTHS), WORDS, generator=generator, dtype=torch.float64)
    tokens = torch.randint(WORDS, (sum(LENGTHS),), generator=generator)
    off = 0.4 * torch.randn(sum(LENGTHS), generator=generator, dtype=torch.float64)
    sampler = logits.log_softmax(-1).gather(1, tokens[:, None])[:, 0] + off
    return logits, tokens, sampler, torch.repeat_interleave(torch.tensor([5, 0, 2]), torch.tensor(LENGTHS))


def gradient_of_gspo(rollouts: tuple[Tensor, Tensor, Tensor, Tensor], advantage: Tensor) -> Tensor:
    """Of our loss by the logits (8, 5), each rollout weighing its tokens by 1 / |y|."""
    logits, tokens, sampler, rollout = rollouts
    leaf = logits.clone().requires_grad_()
    logprob = leaf.log_softmax(-1).gather(1, tokens[:, None])[:, 0]
    token = gspo(safe_log_ratio(logprob, sampler), advantage, rollout, 0.1, 0.15)
    each = torch.repeat_interleave(tensor(*(1 / length for length in LENGTHS)), torch.tensor(LENGTHS))
    (token.loss_N * each).sum().backward()
    assert leaf.grad is not None
    return leaf.grad


@pytest.mark.parametrize("seed", range(8))
def test_gspo_weighs_each_tokens_own_advantage_by_the_ratio_of_its_sequence(seed: int) -> None:
    # GSPO-token, 2507.18071 section 4.3: the gradient of the objective by the policy's logprob of token t of rollout i
    # is s_i A_t / |y_i| where that is not cut off, with s_i = (pi(y_i) / mu(y_i)) ** (1 / |y_i|). Those of a softmax
    # by its logits are worked out by hand: [k is the token] - p_k.
    rollouts = sampled_rollouts(seed)
    logits, tokens, sampler, _ = (column.tolist() for column in rollouts)
    advantage = torch.randn(sum(LENGTHS), generator=torch.Generator().manual_seed(seed + 100), dtype=torch.float64)
    expected: list[list[float]] = []
    for length in LENGTHS:
        here = range(len(expected), len(expected) + length)
        chances = {t: [math.exp(x) / sum(map(math.exp, logits[t])) for x in logits[t]] for t in here}
        share = math.prod(chances[t][tokens[t]] / math.exp(sampler[t]) for t in here) ** (1 / length)
        for t in here:
            own = float(advantage[t])
            cut = share > 1.15 if own > 0 else share < 0.9
            slope = 0.0 if cut else -share * own / length
            expected.append([slope * ((word == tokens[t]) - chance) for word, chance in enumerate(chances[t])])
    torch.testing.assert_close(gradient_of_gspo(rollouts, advantage), torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("seed", range(8))
def test_with_one_advantage_for_a_rollout_gspo_is_the_objective_of_whole_sequences(seed: int) -> None:
    # 2507.18071, eq. 5: min(s_i A_i, clip(s_i) A_i), differentiated through s_i itself.
    rollouts = sampled_rollouts(seed)
    advantages = torch.randn(len(LENGTHS), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    logits, tokens, sampler, _ = rollouts
    leaf = logits.clone().requires_grad_()
    chance = leaf.softmax(-1).gather(1, tokens[:, None])[:, 0]
    objective, first = tensor(0.0).sum(), 0
    for length, advantage in zip(LENGTHS, advantages, strict=True):
        here = slice(first, first + length)
        share = (chance[here].prod() / sampler[here].exp().prod()) ** (1 / length)
        objective = objective + torch.minimum(share * advantage, share.clamp(0.9, 1.15) * advantage)
        first += length
    (-objective).backward()
    each = torch.repeat_interleave(advantages, torch.tensor(LENGTHS))
    torch.testing.assert_close(gradient_of_gspo(rollouts, each), leaf.grad)


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
