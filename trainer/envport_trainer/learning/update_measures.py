"""What an update saw of its loss tokens, summed over micro-batches and ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from envport_trainer.learning import ranks

if TYPE_CHECKING:
    from envport_trainer.algorithm.losses import TokenLoss
    from envport_trainer.algorithm.mismatch import Corrected


class UpdateMeasures:
    """Sums over the loss tokens of an update. How far trainer and sampler differ is read before any correction."""

    def __init__(self, device: torch.device, *, with_kl: bool) -> None:
        self._with_kl = with_kl
        self._sums = torch.zeros(9, dtype=torch.float64, device=device)
        self._apart_max = torch.zeros((), dtype=torch.float64, device=device)

    @torch.no_grad()
    def add(
        self,
        loss: Tensor,
        logprob_N: Tensor,
        log_rho_N: Tensor,
        term: TokenLoss,
        corrected: Corrected,
        kl_N: Tensor | None,
    ) -> None:
        """Count a micro-batch in."""
        apart_N, rho_N = log_rho_N.abs(), log_rho_N.double().exp()
        seen = [
            loss,
            term.bound_N.sum(),
            logprob_N.sum(),
            apart_N.sum(),
            (rho_N - 1 - log_rho_N).sum(),
            rho_N.sum(),
            rho_N.square().sum(),
            corrected.dropped_N.sum(),
            torch.zeros_like(loss) if kl_N is None else (corrected.weight_N * kl_N).sum(),
        ]
        self._sums += torch.stack([value.double() for value in seen])
        if len(apart_N):
            self._apart_max = torch.maximum(self._apart_max, apart_N.max().double())

    def summary(self, tokens: int) -> dict[str, float]:
        """Means over the `tokens` of all ranks; every rank calls it.

        `entropy` is estimated by the mean of -log pi of the sampled tokens; `mismatch_*` is |log pi - log mu|, and k3
        its KL estimate (joschu.net/blog/kl-approx.html). `ess` is the effective sample size of the tokens as a share of
        them, (sum rho)^2 / (N sum rho^2) with rho = pi / mu, 1 where the two agree. `kl`, where there is such a term,
        is the mean of its estimator.
        """
        sums = ranks.add_up(self._sums).tolist()
        loss, bound, logprob, apart, k3, rho, rho_square, dropped, kl = sums
        count = max(1, tokens)
        values = {
            "loss": loss,
            "clip_share": bound / count,
            "entropy": -logprob / count,
            "mismatch_mean": apart / count,
            "mismatch_max": float(ranks.highest(self._apart_max)),
            "mismatch_k3": k3 / count,
            "ess": rho * rho / (count * rho_square) if rho_square else 1.0,
            "correction_dropped_share": dropped / count,
        }
        return values | {"kl": kl / count} if self._with_kl else values
