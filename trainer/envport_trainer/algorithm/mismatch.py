"""What the sampler's tokens weigh where its logprobs are not the trainer's own: detached weights from pi / mu.

Without a correction the policy term's ratio is pi / mu and its trust region bounds both what the update moved and what
the two programs compute differently. With one, the ratio is taken to the trainer's own logprobs, which with one update
a batch are the current ones, detached; rho = pi / mu then is a weight without gradient, of policy term and KL alike.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from envport_trainer.algorithm.log_ratios import rollout_mean

Correction = Literal["none", "truncate", "mask", "geometric"]


class Corrected(NamedTuple):
    """What the policy term gets."""

    log_ratio_N: Tensor
    """Of the policy to what its ratio is taken to; with gradient."""
    weight_N: Tensor
    """Of each token's loss; detached."""
    dropped_N: Tensor
    """True where the weight is 0."""


def correct(kind: Correction, log_rho_N: Tensor, rollout_N: Tensor, low: float, high: float) -> Corrected:
    """The ratio and weight of each token from log rho = log pi - log mu, which carries log pi's gradient.

    `none`: ratio rho, weight 1.
    `truncate`: min(rho, high), truncated importance sampling (TIS, fengyao.notion.site/off-policy-rl).
    `mask`: rho where it is within [low, high], else 0 (IcePop of Ring-1T, 2510.18855).
    `geometric`: exp(mean over the rollout of log rho) where that is within [low, high], else 0; it neither grows nor
    shrinks with the length, as the product of the ratios does (richardli.xyz/rl-collapse).
    """
    detached_N = log_rho_N.detach()
    if kind == "none":
        return Corrected(log_rho_N, torch.ones_like(detached_N), torch.zeros_like(detached_N, dtype=torch.bool))
    own_N = log_rho_N - detached_N
    if kind == "truncate":
        return Corrected(own_N, detached_N.exp().clamp(max=high), torch.zeros_like(detached_N, dtype=torch.bool))
    rho_N = (rollout_mean(detached_N, rollout_N) if kind == "geometric" else detached_N).exp()
    dropped_N = (rho_N < low) | (rho_N > high)
    return Corrected(own_N, torch.where(dropped_N, torch.zeros_like(rho_N), rho_N), dropped_N)
