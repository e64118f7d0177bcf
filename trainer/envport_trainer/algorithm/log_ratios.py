"""Log-ratios of two policies on the same tokens: kept finite, and their means by rollout."""

from __future__ import annotations

import torch
from torch import Tensor

MAX_LOG_RATIO = 20.0
"""exp(20) is finite in fp32 with room; a larger log-ratio is a fault, not a signal."""


def safe_log_ratio(logprob_N: Tensor, other_logprob_N: Tensor) -> Tensor:
    """log pi - log other (N,), held within +-20; 0 with the gradient of log pi where the other is not finite."""
    known_N = torch.isfinite(other_logprob_N)
    other_N = torch.where(known_N, other_logprob_N, logprob_N.detach())
    return (logprob_N - other_N).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)


def rollout_mean(values_N: Tensor, rollout_N: Tensor) -> Tensor:
    """At each token (N,) the mean of `values_N` over the tokens of its rollout; all of these must be in the batch."""
    rollouts, place_N = torch.unique(rollout_N, return_inverse=True)
    sums_R = torch.zeros(len(rollouts), dtype=values_N.dtype, device=values_N.device).index_add(0, place_N, values_N)
    counts_R = torch.bincount(place_N, minlength=len(rollouts))
    return (sums_R / counts_R)[place_N]
