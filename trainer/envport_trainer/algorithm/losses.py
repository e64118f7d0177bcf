"""The policy-gradient terms: pure functions from logprobs to a loss per token, to be minimized.

All shapes are (N,), over the loss tokens of a batch. `log_ratio_N` is log r = log pi - log mu, of the policy under
training to the sampler: with one update a batch there is no third policy between them. Where a correction for the
sampler is on (`mismatch.py`), it is the ratio of the policy to its own detached logprobs, 1 with a gradient. What a
token weighs in the batch is the business of `aggregation.py`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from envport_trainer.algorithm.log_ratios import rollout_mean

DPPO_THRESHOLD = 0.2
"""Difference in probability beyond which DPPO drops a token (2602.04879; prime-rl's default)."""
DPPO_PULL = 1e-3
"""Weight of DPPO's squared log-ratio."""

Loss = Literal["clip", "gspo", "cispo", "dppo"]


class TokenLoss(NamedTuple):
    """The loss of each token and how often the trust region bound it."""

    loss_N: Tensor
    bound_N: Tensor
    """True where the token's policy gradient is cut off, or its weight capped."""


def policy_loss(
    kind: Loss,
    logprob_N: Tensor,
    log_ratio_N: Tensor,
    advantage_N: Tensor,
    rollout_N: Tensor,
    *,
    clip_low: float,
    clip_high: float,
) -> TokenLoss:
    """The token losses of `kind`; finite, in value and gradient, for finite logprobs and log-ratios within +-20."""
    if kind == "clip":
        return clipped(log_ratio_N, advantage_N, clip_low, clip_high)
    if kind == "gspo":
        return gspo(log_ratio_N, advantage_N, rollout_N, clip_low, clip_high)
    if kind == "cispo":
        return cispo(logprob_N, log_ratio_N, advantage_N, clip_high)
    return dppo(logprob_N, log_ratio_N, advantage_N)


def clipped(log_ratio_N: Tensor, advantage_N: Tensor, clip_low: float, clip_high: float) -> TokenLoss:
    """-min(r A, clip(r, 1 - low, 1 + high) A), PPO's objective (1707.06347, eq. 7) with DAPO's separate bounds
    (2503.14476, eq. 8)."""
    ratio_N = log_ratio_N.exp()
    free_N = ratio_N * advantage_N
    held_N = ratio_N.clamp(1 - clip_low, 1 + clip_high) * advantage_N
    return TokenLoss(-torch.minimum(free_N, held_N), held_N < free_N)


def gspo(log_ratio_N: Tensor, advantage_N: Tensor, rollout_N: Tensor, clip_low: float, clip_high: float) -> TokenLoss:
    """The clipped objective with one ratio for a rollout, s = exp(mean over its tokens of log r), which each of its
    tokens carries: the gradient of token t is s A_t that of its own log pi (GSPO-token, 2507.18071, section 4.3). Where
    a rollout has one advantage, that is GSPO (eq. 5)."""
    own_N = log_ratio_N - log_ratio_N.detach()  # 0, with the gradient
    return clipped(rollout_mean(log_ratio_N.detach(), rollout_N) + own_N, advantage_N, clip_low, clip_high)


def cispo(logprob_N: Tensor, log_ratio_N: Tensor, advantage_N: Tensor, clip_high: float) -> TokenLoss:
    """-sg[min(r, 1 + high)] A log pi: every token keeps a gradient (MiniMax-M1, 2506.13585, eq. 4)."""
    ratio_N = log_ratio_N.detach().exp()
    return TokenLoss(-ratio_N.clamp(max=1 + clip_high) * advantage_N * logprob_N, ratio_N > 1 + clip_high)


def dppo(logprob_N: Tensor, log_ratio_N: Tensor, advantage_N: Tensor) -> TokenLoss:
    """-keep A r + 1e-3 (log r)^2, dropping tokens whose probability has moved 0.2 the way A pushes (2602.04879)."""
    probability_N = logprob_N.detach().exp()
    moved_N = probability_N - (logprob_N - log_ratio_N).detach().exp()
    dropped_N = torch.where(advantage_N > 0, moved_N > DPPO_THRESHOLD, moved_N < -DPPO_THRESHOLD) & (advantage_N != 0)
    kept_N = torch.where(dropped_N, torch.zeros_like(log_ratio_N), log_ratio_N.exp() * advantage_N)
    return TokenLoss(-kept_N + DPPO_PULL * log_ratio_N.square(), dropped_N)
