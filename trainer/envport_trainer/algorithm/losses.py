"""The policy-gradient terms: pure functions from logprobs to a loss per token.

All shapes are (N,), over the loss tokens of a batch. The ratio is that of the policy under training to the sampler, r =
exp(log pi - log mu): with one update a batch there is no third policy between them. A batch's loss is the sum of its
token losses divided by the number of loss tokens of the WHOLE optimizer batch, so that the gradient does not depend on
the split in micro-batches (DAPO, 2503.14476, equation 8).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

MAX_LOG_RATIO = 20.0
"""exp(20) is finite in fp32 with room; a larger log-ratio is a fault, not a signal."""
DPPO_THRESHOLD = 0.2
"""Difference in probability beyond which DPPO drops a token (2602.04879; prime-rl's default)."""
DPPO_PULL = 1e-3
"""Weight of DPPO's squared log-ratio."""


class TokenLoss(NamedTuple):
    """The loss of each token and how often the trust region bound it."""

    loss_N: Tensor
    bound_N: Tensor
    """True where the token's policy gradient is cut off."""


def policy_loss(
    kind: Literal["clip", "cispo", "dppo"],
    logprob_N: Tensor,
    sampler_logprob_N: Tensor,
    advantage_N: Tensor,
    clip_low: float = 0.2,
    clip_high: float = 0.28,
) -> TokenLoss:
    """The token losses of `kind`; finite for every input, NaN sampler logprobs among them."""
    log_ratio_N = safe_log_ratio(logprob_N, sampler_logprob_N)
    if kind == "clip":
        return clipped(log_ratio_N, advantage_N, clip_low, clip_high)
    if kind == "cispo":
        return cispo(logprob_N, log_ratio_N, advantage_N, clip_high)
    return dppo(logprob_N, log_ratio_N, advantage_N)


def safe_log_ratio(logprob_N: Tensor, sampler_logprob_N: Tensor) -> Tensor:
    """log pi - log mu, held within +-20; 0 with the gradient of log pi where the sampler's logprob is not finite."""
    known_N = torch.isfinite(sampler_logprob_N)
    reference_N = torch.where(known_N, sampler_logprob_N, logprob_N.detach())
    return (logprob_N - reference_N).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)


def clipped(log_ratio_N: Tensor, advantage_N: Tensor, clip_low: float, clip_high: float) -> TokenLoss:
    """-min(r A, clip(r, 1 - low, 1 + high) A), PPO's objective (1707.06347, eq. 7) with DAPO's separate bounds."""
    ratio_N = log_ratio_N.exp()
    free_N = ratio_N * advantage_N
    held_N = ratio_N.clamp(1 - clip_low, 1 + clip_high) * advantage_N
    return TokenLoss(-torch.minimum(free_N, held_N), held_N < free_N)


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
