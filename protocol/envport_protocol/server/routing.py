"""Which of a server's workers holds a rollout: told by the rollout's id alone, so that nobody has to be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

from envport_protocol.errors import InvalidRequestError
from envport_protocol.messages import ComputeGroupRewardRequest, ForkRolloutRequest

if TYPE_CHECKING:
    from pydantic import BaseModel


def routing_key(rollout_id: str) -> str:
    """The part of an id before its first ".". Rollouts in which it is equal are held by one worker."""
    return rollout_id.partition(".")[0]


def owner(rollout_id: str, workers: int) -> int:
    """The number of the worker that holds the rollout: the CRC-32 of the routing key, modulo `workers`."""
    return crc32(routing_key(rollout_id).encode()) % workers


def check_together(message: BaseModel) -> None:
    """Passes where all rollouts that a message names are held by one worker, however many there are.

    Raises:
        InvalidRequestError: the two of a fork, or the members of a group, differ in their routing key.
    """
    if isinstance(message, ForkRolloutRequest):
        _check_keys(
            [message.rollout_id, message.new_rollout_id],
            f"name the new rollout {routing_key(message.rollout_id)}.SOMETHING",
        )
    elif isinstance(message, ComputeGroupRewardRequest):
        _check_keys(
            [member.rollout_id for member in message.members],
            "start the rollouts of a group as GROUP.0, GROUP.1 and so on",
        )


def _check_keys(rollout_ids: list[str], remedy: str) -> None:
    first = rollout_ids[0]
    key = routing_key(first)
    for other in rollout_ids:
        if routing_key(other) != key:
            raise InvalidRequestError(
                f"{first!r} and {other!r} differ before their first '.', so they may be held by different workers of "
                f"this server; {remedy}"
            )
