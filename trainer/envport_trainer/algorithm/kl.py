"""Estimates of KL(pi || ref) from tokens that another policy mu sampled, each with the gradient of the KL itself.

With d = log pi - log ref, the gradient of KL(pi || ref) = E_pi[d] is E_pi[d grad log pi]: the term E_pi[grad log pi]
is 0. The estimators of joschu.net/blog/kl-approx.html are unbiased in value, but a loss differentiates them, and then
grad k1 = grad log pi has mean 0, and grad k3 = (1 - 1/exp(d)) grad log pi is the gradient of another divergence. So:

    k1: r d                    E_mu[r d] = KL for every pi, hence so are their gradients
    k2: sg[r] d^2 / 2          its gradient is r d grad log pi at each token
    k3: r (exp(-d) - 1 + d)    E_mu[...] = KL for every pi; never negative (DeepSeek-V3.2, 2512.02556)

where r = pi / mu carries its gradient, and sg[.] does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from envport_trainer.algorithm.log_ratios import safe_log_ratio

if TYPE_CHECKING:
    from torch import Tensor


def kl_loss(
    kind: Literal["k1", "k2", "k3"], logprob_N: Tensor, reference_logprob_N: Tensor, log_ratio_N: Tensor
) -> Tensor:
    """The loss of each token (N,), whose mean over samples of mu has the gradient of KL(pi || ref).

    `log_ratio_N` is log pi - log mu; finite for every input.
    """
    d_N = safe_log_ratio(logprob_N, reference_logprob_N)
    ratio_N = log_ratio_N.exp()
    if kind == "k1":
        return ratio_N * d_N
    if kind == "k2":
        return ratio_N.detach() * d_N.square() / 2
    return ratio_N * ((-d_N).exp() - 1 + d_N)
