"""What the rollouts of a step were like, as values for the metrics file."""

from __future__ import annotations

from math import fsum, sqrt
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from envport_trainer.alarms.repetition import repeated_share
from envport_trainer.types import Finish

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envport_trainer.rollouts.pipeline import StepRollouts
    from envport_trainer.types import Trajectory


def measure(rollouts: StepRollouts) -> dict[str, float]:
    """Means over all rollouts that were scored, of which there is at least one."""
    scored = rollouts.all
    reward = [t.reward for t in scored]
    sampled = [t.sampled_tokens for t in scored]
    values = {
        "reward": fmean(reward),
        "reward_groups": float(len({t.group for t in scored})),
        "completion_tokens": fmean(sampled),
        "sampled_tokens": float(sum(sampled)),
        "prompt_tokens": fmean(t.prompt_length for t in scored),
        "truncated_share": fmean(t.finish == Finish.LENGTH for t in scored),
        "tool_calls": fmean(t.tool_calls for t in scored),
        "tool_errors": fmean(t.tool_errors for t in scored),
        "groups": float(len(rollouts.groups)),
        "groups_started": float(rollouts.started),
        "rollouts_dropped": float(rollouts.dropped),
        "rollouts_stale": float(len(rollouts.stale)),
        "groups_stale": float(rollouts.stale_groups),
        "untrainable_share": _untrainable(rollouts),
        "forked_share": fmean(len(t.rows) > 1 for t in scored),
        "repetition": fmean(_repetition(t) for t in scored),
    }
    if values["reward_groups"] > 1:
        values["reward_se"] = _standard_error(scored)
    if rollouts.groups:
        values["reward_std_in_group"] = fmean(stdev([t.reward for t in group]) for group in rollouts.groups)
        trained = [t for group in rollouts.groups for t in group]
        values["staleness"] = fmean(rollouts.policy_version - t.policy_version for t in trained)
    return values | _means("rewards/", [t.rewards for t in scored]) | _means("metrics/", [t.metrics for t in scored])


def _means(prefix: str, parts: Sequence[dict[str, float]]) -> dict[str, float]:
    names = sorted({name for part in parts for name in part})
    return {f"{prefix}{name}": fmean(part[name] for part in parts if name in part) for name in names}


def _standard_error(scored: Sequence[Trajectory]) -> float:
    """Of the mean reward, by groups: members of one share their task, so they are not independent (cluster-robust,
    Liang and Zeger 1986). There are two groups or more."""
    mean = fmean(t.reward for t in scored)
    sums: dict[int, float] = {}
    for t in scored:
        sums[t.group] = sums.get(t.group, 0.0) + t.reward - mean
    count = len(sums)
    return sqrt(count / (count - 1) * fsum(part**2 for part in sums.values())) / len(scored)


def _untrainable(rollouts: StepRollouts) -> float:
    """Share of the rollouts that were played and not trained on: without a score, of equal rewards, or too old."""
    trained = sum(len(group) for group in rollouts.groups)
    played = len(rollouts.all) + rollouts.dropped
    return 1 - trained / played


def _repetition(trajectory: Trajectory) -> float:
    sampled = [
        token for row in trajectory.rows for token, mine in zip(row.input_ids, row.loss_mask, strict=True) if mine
    ]
    return repeated_share(sampled)
