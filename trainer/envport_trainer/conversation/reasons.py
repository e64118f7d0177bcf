"""The reasons in an environment's answer: the protocol bounds them, and a server need not be honest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envport_protocol.messages import MAX_REASON_CHARS
from envport_protocol.reasons import cut_middle

if TYPE_CHECKING:
    from envport_protocol.messages import ComputeRewardAnswer


def reasons_of(answer: ComputeRewardAnswer) -> dict[str, str]:
    """The reason of each component that has one, of at most `MAX_REASON_CHARS`."""
    return {name: cut_middle(part.reason, MAX_REASON_CHARS) for name, part in answer.rewards.items() if part.reason}
