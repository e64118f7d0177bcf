"""The policy under training on tasks that it is never trained on."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from envport import ProtocolError, TransportError
from envport_protocol.errors import WireError

from envport_trainer.errors import TrainerError
from envport_trainer.evaluation.evaluate import evaluate
from envport_trainer.evaluation.result import Estimate, EvalResult, estimate_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envport.client import EnvClient

    from envport_trainer.evaluation.evaluate import EvalModel
    from envport_trainer.rollouts.playing import RolloutLimits

logger = logging.getLogger(__name__)


class HeldOut(NamedTuple):
    """An evaluation over all environments of a run."""

    values: dict[str, float]
    """`eval/reward`, `eval/reward_ci95`, `eval/reward_n` (the number of scored tasks) and `eval/rewards/NAME`, over all
    their tasks."""
    results: list[EvalResult]
    """One for each environment."""


async def evaluate_held_out(
    envs: Sequence[EnvClient], model: EvalModel, limits: RolloutLimits, *, step: int, split: str, n: int, seed: int
) -> HeldOut | None:
    """`model`, as it is after `step` updates, on `n` tasks of each environment's `split`; None where that fails.

    It is told then, and no more: the run does not depend on it.
    """
    try:
        results = [await evaluate(env, model, limits, split=split, n=n, seed=seed) for env in envs]
    except (TrainerError, TransportError, WireError, ProtocolError) as error:
        logger.warning("the evaluation after step %d failed, the training goes on: %s", step, error)
        return None
    rows = [row for result in results for row in result.rows if row.reward is not None]
    reward = Estimate.of([row.reward for row in rows if row.reward is not None])
    parts = estimate_columns([row.rewards for row in rows])
    values = {"eval/reward": reward.mean, "eval/reward_ci95": reward.ci95, "eval/reward_n": float(reward.n)}
    return HeldOut(values | {f"eval/rewards/{name}": part.mean for name, part in parts.items()}, results)
