"""How much better than its group each rollout was."""

from __future__ import annotations

from statistics import fmean, stdev
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

EQUAL_WITHIN = 1e-6
"""Rewards of a group that differ by less are equal: a judge's floats never are to the bit."""
_STD_EPSILON = 1e-4
"""Keeps the division finite; the value of TRL 1.16 and of the GRPO paper's code."""


def group_advantages(rewards_G: Sequence[float], scale: Literal["mean", "std"] = "mean") -> list[float]:
    """The advantage of each rollout of one group.

    `mean`: A = R - mean(R), no division, so that easy and hard tasks weigh what their spread is worth (Dr. GRPO,
    2503.20783, section 3). `std`: the same over the group's sample standard deviation + 1e-4 (GRPO, 2402.03300, 4.1.2).
    A group of equal rewards, or of one, has advantages of exactly 0.
    """
    if not has_spread(rewards_G):
        return [0.0] * len(rewards_G)
    mean = fmean(rewards_G)
    divisor = stdev(rewards_G) + _STD_EPSILON if scale == "std" else 1.0
    return [(reward - mean) / divisor for reward in rewards_G]


def has_spread(rewards_G: Sequence[float]) -> bool:
    """False where all rewards are equal: such a group has nothing to teach."""
    return max(rewards_G) - min(rewards_G) > EQUAL_WITHIN
