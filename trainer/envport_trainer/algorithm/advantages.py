"""How much better than its group each rollout was.

The standard deviations are those of a sample (divided by G - 1), plus 1e-4. A group of equal rewards, or of one, has
advantages of exactly 0 under every kind.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Literal

from envport_trainer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

EQUAL_WITHIN = 1e-6
"""Rewards of a group that differ by less are equal: a judge's floats never are to the bit."""
_STD_EPSILON = 1e-4
"""Keeps the division finite; the value of TRL 1.16 and of the GRPO paper's code."""

GroupAdvantage = Literal["mean", "std", "rloo", "maxrl"]
Advantage = Literal["mean", "std", "rloo", "batch_std", "maxrl", "gdpo"]


@dataclass(frozen=True, slots=True)
class Score:
    """What one rollout was scored."""

    reward: float
    rewards: Mapping[str, float] = field(default_factory=dict[str, float])
    """Each scored component."""
    weights: Mapping[str, float] = field(default_factory=dict[str, float])
    """The weight of each scored component."""


def step_advantages(groups: Sequence[Sequence[Score]], kind: Advantage) -> list[list[float]]:
    """The advantage of each rollout of all groups of a step, those of other ranks among them.

    `batch_std`: (R - the group's mean) over the standard deviation of all rewards of the step (Lite PPO, 2508.08221).
    `gdpo`: see `gdpo_advantages`. The other kinds: see `group_advantages`.

    Raises:
        ConfigError: `maxrl` with a reward below 0.
    """
    rewards = [[score.reward for score in group] for group in groups]
    if kind == "gdpo":
        return gdpo_advantages(groups)
    if kind == "batch_std":
        divisor = _std(chain.from_iterable(rewards)) + _STD_EPSILON
        return [[a / divisor for a in group_advantages(group, "mean")] for group in rewards]
    return [group_advantages(group, kind) for group in rewards]


def group_advantages(rewards_G: Sequence[float], kind: GroupAdvantage = "mean") -> list[float]:
    """The advantage of each rollout of one group.

    `mean`: A = R - mean(R), no division, so that easy and hard tasks weigh what their spread is worth (Dr. GRPO,
    2503.20783, section 3). `std`: the same over the group's standard deviation (GRPO, 2402.03300, 4.1.2). `rloo`: R
    minus the mean of the others, which is G / (G - 1) (R - mean(R)) (RLOO, 2402.14740). `maxrl`:
    (R - mean(R)) / mean(R) (MaxRL, 2602.02710), of rewards that are not negative.

    Raises:
        ConfigError: `maxrl` with a reward below 0: over a mean below 0 better rollouts would count as worse.
    """
    if kind == "maxrl" and min(rewards_G) < 0:
        raise ConfigError(
            f"advantage = maxrl divides by the mean of rewards that are not negative, and one is {min(rewards_G)}; "
            "choose another advantage, or an environment that scores from 0 up"
        )
    if not has_spread(rewards_G):
        return [0.0] * len(rewards_G)
    mean = fmean(rewards_G)
    scale = {"mean": 1.0, "rloo": len(rewards_G) / (len(rewards_G) - 1)}.get(kind)
    if scale is None:
        scale = 1 / (stdev(rewards_G) + _STD_EPSILON) if kind == "std" else 1 / mean
    return [(reward - mean) * scale for reward in rewards_G]


def gdpo_advantages(groups: Sequence[Sequence[Score]]) -> list[list[float]]:
    """Each component over its own standard deviation in the group, weighed and added, and the sums over their standard
    deviation in the step (GDPO, 2601.05242), so that a component with a small spread still counts.

    A component counts among the rollouts that have it; rollouts without components have their reward as the only one.
    The sums need no mean subtracted: that of every group is 0.
    """
    sums = [_normalized_sums([_components(score) for score in group]) for group in groups]
    divisor = _std(chain.from_iterable(sums)) + _STD_EPSILON
    return [[value / divisor for value in group] for group in sums]


def has_spread(rewards_G: Sequence[float]) -> bool:
    """False where all rewards are equal: such a group has nothing to teach."""
    return max(rewards_G) - min(rewards_G) > EQUAL_WITHIN


def _components(score: Score) -> dict[str, tuple[float, float]]:
    """Value and weight of each component."""
    if not score.rewards:
        return {"reward": (score.reward, 1.0)}
    return {name: (value, score.weights.get(name, 1.0)) for name, value in score.rewards.items()}


def _normalized_sums(components_G: Sequence[Mapping[str, tuple[float, float]]]) -> list[float]:
    sums_G = [0.0] * len(components_G)
    for name in sorted(set(chain.from_iterable(components_G))):
        having = [place for place, components in enumerate(components_G) if name in components]
        normal = group_advantages([components_G[place][name][0] for place in having], "std")
        for place, value in zip(having, normal, strict=True):
            sums_G[place] += components_G[place][name][1] * value
    return sums_G


def _std(values: Iterable[float]) -> float:
    listed = list(values)
    return stdev(listed) if len(listed) > 1 else 0.0
