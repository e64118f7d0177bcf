"""The typed batch that the algorithm sees: rows of tokens before packing, and columns over the loss tokens after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from envport_trainer.types import TokenRow


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """A row of tokens with what the update needs to know of each."""

    tokens: TokenRow
    advantages_T: Sequence[float]
    """One for each token of the row; only those of sampled tokens count."""
    group: int
    """Number of its group within the update."""
    rollout: int
    """Number of its rollout within the update; rows of one rollout stand together."""
    policy_version: int = 0


@dataclass(frozen=True, slots=True)
class LossTokens:
    """Columns of shape (N,) over the loss tokens of a micro-batch, in the order of its rows."""

    sampler_logprob_N: Tensor
    """fp32; may be NaN or infinite where the sampler failed to say."""
    advantage_N: Tensor
    """fp32"""
    rollout_N: Tensor
    """int64; `TrainingRow.rollout`"""
    group_N: Tensor
    """int64; `TrainingRow.group`"""
    policy_version_N: Tensor
    """int64; `TrainingRow.policy_version`"""

    def __len__(self) -> int:
        return len(self.advantage_N)
