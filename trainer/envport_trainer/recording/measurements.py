"""What the rollouts of a step were like, as values for the metrics file."""

from __future__ import annotations

from statistics import fmean, stdev
from typing import TYPE_CHECKING

from envport_trainer.types import Finish

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envport_trainer.rollouts.playing import StepRollouts


def measure(rollouts: StepRollouts) -> dict[str, float]:
    """Means over all rollouts that were scored, of which there is at least one."""
    scored = rollouts.all
    reward = [t.reward for t in scored]
    sampled = [t.sampled_tokens for t in scored]
    values = {
        "reward": fmean(reward),
        "reward_se": stdev(reward) / len(reward) ** 0.5 if len(reward) > 1 else 0.0,
        "completion_tokens": fmean(sampled),
        "sampled_tokens": float(sum(sampled)),
        "prompt_tokens": fmean(t.prompt_length for t in scored),
        "truncated_share": fmean(t.finish == Finish.LENGTH for t in scored),
        "tool_calls": fmean(t.tool_calls for t in scored),
        "tool_errors": fmean(t.tool_errors for t in scored),
        "groups": float(len(rollouts.groups)),
        "groups_started": float(rollouts.started),
        "rollouts_dropped": float(rollouts.dropped),
    }
    if rollouts.groups:
        values["reward_std_in_group"] = fmean(stdev([t.reward for t in group]) for group in rollouts.groups)
    return values | _means("rewards/", [t.rewards for t in scored]) | _means("metrics/", [t.metrics for t in scored])


def _means(prefix: str, parts: Sequence[dict[str, float]]) -> dict[str, float]:
    names = sorted({name for part in parts for name in part})
    return {f"{prefix}{name}": fmean(part[name] for part in parts if name in part) for name in names}
