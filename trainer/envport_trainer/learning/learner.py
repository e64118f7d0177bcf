"""One update of the weights from the groups of a step."""

from __future__ import annotations

import time
from itertools import chain, count
from typing import TYPE_CHECKING, Any, Literal

import torch

from envport_trainer.algorithm.advantages import Advantage, Score, step_advantages
from envport_trainer.algorithm.aggregation import token_weights
from envport_trainer.algorithm.batch import TrainingRow
from envport_trainer.algorithm.kl import kl_loss
from envport_trainer.algorithm.log_ratios import safe_log_ratio
from envport_trainer.algorithm.losses import policy_loss
from envport_trainer.algorithm.mismatch import correct
from envport_trainer.errors import TrainerError
from envport_trainer.learning import ranks
from envport_trainer.learning.optimizers import make_optimizer
from envport_trainer.learning.packing import PackedBatch, pack
from envport_trainer.learning.reference import Reference, initial_policy
from envport_trainer.learning.update_measures import UpdateMeasures
from envport_trainer.runs.memory import is_out_of_memory
from envport_trainer.types import Finish

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from envport_trainer.config import TrainConfig
    from envport_trainer.learning.policy import Policy
    from envport_trainer.types import Trajectory


MAX_MISMATCH = 0.2
"""Mean |log pi - log mu| of the first update; bf16 on both sides gives 0.03 to 0.06, another temperature over 0.4."""
MAX_SKIPPED = 3
MIN_MICRO_BATCH = 128
"""Tokens. Below it a rollout is mostly longer, and rollouts are not split."""


class Learner:
    """The policy with its optimizer. fp32 weights and AdamW; see `config.TrainConfig` for every number.

    Under torch.distributed each rank has a learner with the same weights, and passes `update` whole groups of its own;
    all ranks then have the same gradient, that of one process with all groups.
    """

    def __init__(self, policy: Policy, config: TrainConfig, reference: Reference | None = None) -> None:
        """`policy` still has the weights that the run began with: a checkpoint is loaded into it later. With a KL term
        and no other `reference`, the pull is back to them."""
        self.policy, self.config = policy, config
        self.reference = (reference or initial_policy(policy)) if config.kl_weight else None
        self.parameters = [p for p in policy.model.parameters() if p.requires_grad]
        self.optimizer = make_optimizer(self.parameters, config)
        self.micro_batch_tokens = config.micro_batch_tokens
        self.skipped = 0
        """Updates left out in a row because their gradient was not finite."""
        self._began_alike = False
        """Whether all ranks were seen to have the same weights, those that are not trained among them."""

    def update(
        self,
        groups: Sequence[Sequence[Trajectory]],
        step: int,
        check: Callable[[dict[str, float]], None] = lambda _: None,
    ) -> dict[str, float]:
        """Advantages, packed micro-batches, gradient, one optimizer step; gives what is worth logging.

        What each token weighs is known before the first backward pass, so micro-batches and ranks only add up. `check`
        is called with what all ranks measured, before this rank's weights change: where it raises, they do not, though
        those of other ranks may. Where memory does not suffice in one rank, this raises in all of them, and no weight
        has changed.

        Raises:
            TrainerError: another rank ended, failed or has other weights; or the gradient is never finite.
        """
        began = time.perf_counter()
        device = self.policy.model.device
        self.check_same_weights()
        advantages = shared_advantages(groups, self.config.advantage)
        rows = training_rows(groups, advantages, self.config.truncated)
        weight_R, total = self._token_weights(rows, rollouts=sum(map(len, groups)))
        seen = UpdateMeasures(device, with_kl=self.reference is not None)
        with ranks.all_or_none():
            batches = pack(rows, self.micro_batch_tokens, device)
            for batch in batches:
                self._backward(batch, weight_R, seen)
        ranks.add_gradients(self.parameters)
        measured, sizes = seen.summary(total), self._sizes(batches, advantages)
        check(measured)
        values = measured | self._apply(step) | sizes  # no rank waits for another from where weights may have changed
        seconds = time.perf_counter() - began
        return values | {
            "trained_tokens": float(total),
            "update_s": seconds,
            "trained_tokens_per_s": total / seconds,
        }

    def _sizes(self, batches: Sequence[PackedBatch], advantages: Sequence[Sequence[float]]) -> dict[str, float]:
        """Of all ranks: the tokens computed, and the mean |advantage| of their rollouts."""
        packed = sum(batch.input_ids.shape[1] for batch in batches)
        sizes = [abs(advantage) for advantage in chain.from_iterable(advantages)]
        sums = torch.tensor([packed, sum(sizes), len(sizes)], dtype=torch.float64, device=self.policy.model.device)
        packed_tokens, size, rollouts = ranks.add_up(sums).tolist()
        return {"packed_tokens": packed_tokens, "advantage_abs": size / max(1.0, rollouts)}

    def _token_weights(self, rows: Sequence[TrainingRow], rollouts: int) -> tuple[Tensor, int]:
        """The weight (R,) of each token of each rollout of this rank, and the loss tokens of all ranks."""
        tokens_R = [0] * rollouts
        for row in rows:
            tokens_R[row.rollout] += sum(row.tokens.loss_mask)
        device = self.policy.model.device
        total, everyone = ranks.add_up(torch.tensor([sum(tokens_R), rollouts], device=device)).tolist()
        weight_R = token_weights(
            self.config.aggregation,
            tokens_R,
            batch_tokens=total,
            batch_rollouts=everyone,
            max_new_tokens=self.config.max_new_tokens,
        )
        return torch.tensor(weight_R, device=device), total

    def _backward(self, batch: PackedBatch, weight_R: Tensor, seen: UpdateMeasures) -> None:
        config, tokens = self.config, batch.loss
        logprob_N = self.policy.logprobs(batch, config.temperature)
        log_rho_N = safe_log_ratio(logprob_N, tokens.sampler_logprob_N)
        corrected = correct(
            config.correction, log_rho_N, tokens.rollout_N, config.correction_low, config.correction_high
        )
        term = policy_loss(
            config.loss,
            logprob_N,
            corrected.log_ratio_N,
            tokens.advantage_N,
            tokens.rollout_N,
            clip_low=config.clip_low,
            clip_high=config.clip_high,
        )
        loss_N, kl_N = term.loss_N, None
        if self.reference is not None:
            reference_N = self.reference(batch, config.temperature)
            kl_N = kl_loss(config.kl, logprob_N, reference_N, corrected.log_ratio_N)
            loss_N = loss_N + config.kl_weight * kl_N
        loss = (weight_R[tokens.rollout_N] * corrected.weight_N * loss_N).sum()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        seen.add(loss, logprob_N, log_rho_N, term, corrected, kl_N)

    def _apply(self, step: int) -> dict[str, float]:
        """Clip the gradient and take the optimizer's step, unless the gradient is not finite."""
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.config.max_grad_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = self._lr(step)
        finite = bool(torch.isfinite(norm))
        self._count_skipped(finite)
        if finite:
            self._take_step()
        self.optimizer.zero_grad(set_to_none=True)
        return {"grad_norm": float(norm), "update_skipped": float(not finite), "lr": self._lr(step)}

    def _take_step(self) -> None:
        """The optimizer's step; the first one makes its state.

        Raises:
            TrainerError: memory did not suffice in this rank, where others may have taken the step.
        """
        try:
            self.optimizer.step()
        except (MemoryError, RuntimeError) as error:
            if ranks.count() == 1 or not is_out_of_memory(error):
                raise
            raise TrainerError(
                f"memory does not suffice for the optimizer in process {ranks.own_rank()} ({error}); lower "
                "micro_batch_tokens, or use lora_rank or optimizer = adamw8bit; then go on with --resume"
            ) from error

    def _count_skipped(self, finite: bool) -> None:
        """Raises TrainerError when a run has stopped learning for want of a finite gradient."""
        self.skipped = 0 if finite else self.skipped + 1
        if self.skipped == MAX_SKIPPED:
            raise TrainerError(
                f"the gradient was not finite in {MAX_SKIPPED} updates in a row; lower lr, or set precision to fp32"
            )

    def _lr(self, step: int) -> float:
        return self.config.lr * min(1.0, (step + 1) / (self.config.warmup_steps + 1))

    def halve_micro_batch(self) -> bool:
        """Forget a half-made gradient, and have the next update compute half as many tokens at a time. False where that
        would be too few to matter."""
        self.optimizer.zero_grad(set_to_none=True)
        for parameter, state in list(self.optimizer.state.items()):
            if not {"exp_avg_sq", "state1"} & set(state):  # memory ended while it was made
                del self.optimizer.state[parameter]
        self.micro_batch_tokens //= 2
        return self.micro_batch_tokens >= MIN_MICRO_BATCH

    def check_same_weights(self) -> None:
        """Returns where every rank has the same bits as weights; it looks at the sums of each parameter's words. The
        first time these are all of the model's, later those that are trained.

        Raises:
            TrainerError: the ranks have come apart, or began with other weights.
        """
        if ranks.count() == 1:
            return
        tensors = self.parameters if self._began_alike else self.policy.model.state_dict().values()
        words = [tensor.detach().float().contiguous().view(torch.int32).sum() for tensor in tensors]
        remedy = "give all of them the same model, torch and kind of device, then go on with --resume"
        ranks.check_same("state of the weights than process 0", torch.stack(words).tolist(), remedy=remedy)
        self._began_alike = True

    def state(self) -> dict[str, Any]:
        """The optimizer's state."""
        return self.optimizer.state_dict()

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over an optimizer's state."""
        self.optimizer.load_state_dict(state)


def shared_advantages(groups: Sequence[Sequence[Trajectory]], kind: Advantage) -> list[list[float]]:
    """The advantages of this rank's groups, for which some kinds look at the groups of all ranks."""
    mine = _scores(groups)
    everyone = ranks.gather(mine)
    before = sum(len(share) for share in everyone[: ranks.own_rank()])
    return step_advantages([*chain.from_iterable(everyone)], kind)[before : before + len(mine)]


def _scores(groups: Sequence[Sequence[Trajectory]]) -> list[list[Score]]:
    return [[Score(t.reward, t.rewards, t.weights) for t in group] for group in groups]


def advantages_by_id(groups: Sequence[Sequence[Trajectory]], kind: Advantage) -> dict[str, float]:
    """The advantage of each rollout by its id; `groups` are those of all ranks."""
    pairs = zip(groups, step_advantages(_scores(groups), kind), strict=True)
    return {t.rollout_id: advantage for group, own in pairs for t, advantage in zip(group, own, strict=True)}


def training_rows(
    groups: Sequence[Sequence[Trajectory]],
    advantages: Sequence[Sequence[float]],
    truncated: Literal["train", "mask", "drop"] = "train",
) -> list[TrainingRow]:
    """The rows of all rollouts, each token with the advantage of its rollout.

    Under `mask` a truncated rollout has no rows: it counted in its group's baseline, and no token of it is trained on.
    """
    rows: list[TrainingRow] = []
    rollouts = count()
    for number, (group, advantages_G) in enumerate(zip(groups, advantages, strict=True)):
        for trajectory, advantage in zip(group, advantages_G, strict=True):
            rollout = next(rollouts)
            if truncated == "mask" and trajectory.finish == Finish.LENGTH:
                continue
            rows += [
                TrainingRow(row, [advantage] * len(row.input_ids), number, rollout, trajectory.policy_version)
                for row in trajectory.rows
            ]
    return rows


def check_agreement(measured: dict[str, float]) -> None:
    """To be called with what a run's first update measured: trainer and sampler have the same weights.

    Raises:
        TrainerError: trainer and sampler give the same tokens other logprobs than rounding explains.
    """
    apart = measured["mismatch_mean"]
    if not apart <= MAX_MISMATCH:
        raise TrainerError(
            f"trainer and sampler give the same tokens logprobs that are {apart:.2f} apart on average, and at most "
            f"{MAX_MISMATCH} is rounding: the sampler runs other weights or another temperature"
        )
