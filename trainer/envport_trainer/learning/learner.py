"""One update of the weights from the groups of a step."""

from __future__ import annotations

import time
from itertools import count
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from envport_trainer.algorithm.advantages import group_advantages
from envport_trainer.algorithm.batch import TrainingRow
from envport_trainer.algorithm.losses import policy_loss, safe_log_ratio
from envport_trainer.errors import TrainerError
from envport_trainer.learning.packing import PackedBatch, pack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envport_trainer.config import TrainConfig
    from envport_trainer.learning.policy import Policy
    from envport_trainer.types import Trajectory


MAX_MISMATCH = 0.2
"""Mean |log pi - log mu| of the first update; bf16 on both sides gives 0.03 to 0.06, another temperature over 0.4."""
MAX_SKIPPED = 3


class Learner:
    """The policy with its optimizer. fp32 weights and AdamW; see `config.TrainConfig` for every number."""

    def __init__(self, policy: Policy, config: TrainConfig) -> None:
        self.policy, self.config = policy, config
        self.parameters = [p for p in policy.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=config.lr, betas=config.betas, weight_decay=config.weight_decay, fused=True
        )

        self.skipped = 0
        """Updates left out in a row because their gradient was not finite."""

    def update(self, groups: Sequence[Sequence[Trajectory]], step: int) -> dict[str, float]:
        """Advantages, packed micro-batches, gradient, one optimizer step; gives what is worth logging.

        The token count of the whole batch is known before the first backward pass, so micro-batches only add up.
        """
        began = time.perf_counter()
        rows = training_rows(groups, self.config.advantage)
        batches = pack(rows, self.config.micro_batch_tokens, self.policy.model.device)
        total = max(1, sum(len(batch.target_N) for batch in batches))
        seen = _Seen()
        for batch in batches:
            self._backward(batch, total, seen)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.config.max_grad_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = self._lr(step)
        finite = bool(torch.isfinite(norm))
        self._count_skipped(finite)
        if finite:
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        seconds = time.perf_counter() - began
        return seen.summary(total) | {
            "grad_norm": float(norm),
            "update_skipped": float(not finite),
            "lr": self._lr(step),
            "trained_tokens": float(total),
            "packed_tokens": float(sum(batch.input_ids.shape[1] for batch in batches)),
            "update_s": seconds,
            "trained_tokens_per_s": total / seconds,
            "advantage_abs": fmean(abs(row.advantages_T[0]) for row in rows) if rows else 0.0,
        }

    def _backward(self, batch: PackedBatch, total: int, seen: _Seen) -> None:
        config = self.config
        logprob_N = self.policy.logprobs(batch, config.temperature)
        token = policy_loss(
            config.loss,
            logprob_N,
            batch.loss.sampler_logprob_N,
            batch.loss.advantage_N,
            clip_low=config.clip_low,
            clip_high=config.clip_high,
        )
        loss = token.loss_N.sum() / total
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        seen.add(loss.detach(), logprob_N.detach(), batch, token.bound_N)

    def _count_skipped(self, finite: bool) -> None:
        """Raises TrainerError when a run has stopped learning for want of a finite gradient."""
        self.skipped = 0 if finite else self.skipped + 1
        if self.skipped == MAX_SKIPPED:
            raise TrainerError(
                f"the gradient was not finite in {MAX_SKIPPED} updates in a row; lower lr, or set precision to fp32"
            )

    def _lr(self, step: int) -> float:
        return self.config.lr * min(1.0, (step + 1) / (self.config.warmup_steps + 1))

    def state(self) -> dict[str, Any]:
        """The optimizer's state."""
        return self.optimizer.state_dict()

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over an optimizer's state."""
        self.optimizer.load_state_dict(state)


def training_rows(groups: Sequence[Sequence[Trajectory]], scale: Literal["mean", "std"]) -> list[TrainingRow]:
    """The rows of all rollouts, each token with the advantage of its rollout."""
    rows: list[TrainingRow] = []
    rollouts = count()
    for number, group in enumerate(groups):
        advantages = group_advantages([t.reward for t in group], scale)
        for trajectory, advantage in zip(group, advantages, strict=True):
            rollout = next(rollouts)
            rows += [
                TrainingRow(row, [advantage] * len(row.input_ids), number, rollout, trajectory.policy_version)
                for row in trajectory.rows
            ]
    return rows


def check_agreement(learned: dict[str, float]) -> None:
    """To be called with what a run's first update measured: one with fresh weights on both sides.

    Raises:
        TrainerError: trainer and sampler give the same tokens other logprobs than rounding explains.
    """
    apart = learned["mismatch_mean"]
    if not apart <= MAX_MISMATCH:
        raise TrainerError(
            f"trainer and sampler give the same tokens logprobs that are {apart:.2f} apart on average, and at most "
            f"{MAX_MISMATCH} is rounding: the sampler runs other weights or another temperature"
        )


class _Seen:
    """Sums over the loss tokens of an update. How far trainer and sampler differ is read before any correction."""

    def __init__(self) -> None:
        self.loss = self.bound = self.logprob = self.apart = self.k3 = self.apart_max = 0.0

    def add(self, loss: Tensor, logprob_N: Tensor, batch: PackedBatch, bound_N: Tensor) -> None:
        log_ratio_N = safe_log_ratio(logprob_N, batch.loss.sampler_logprob_N)
        self.loss += float(loss)
        self.bound += float(bound_N.sum())
        self.logprob += float(logprob_N.sum())
        self.apart += float(log_ratio_N.abs().sum())
        self.apart_max = max(self.apart_max, float(log_ratio_N.abs().max()) if len(log_ratio_N) else 0.0)
        self.k3 += float((log_ratio_N.exp() - 1 - log_ratio_N).sum())

    def summary(self, total: int) -> dict[str, float]:
        """`entropy` is estimated by the mean of -log pi of the sampled tokens; `mismatch_*` is |log pi - log mu|, and
        k3 its KL estimate (joschu.net/blog/kl-approx.html)."""
        return {
            "loss": self.loss,
            "clip_share": self.bound / total,
            "entropy": -self.logprob / total,
            "mismatch_mean": self.apart / total,
            "mismatch_max": self.apart_max,
            "mismatch_k3": self.k3 / total,
        }
