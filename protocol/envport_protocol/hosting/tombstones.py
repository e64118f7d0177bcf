"""The ids of rollouts that are no more: spent, with what they answer to those who ask again."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envport_protocol.errors import IdConflictError, RolloutEndedError, UnknownRolloutError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from envport_protocol.errors import WireError

_REASONS = {"ended": "was ended", "idle for too long": "was idle for too long and expired", "closed": "was ended"}


@dataclass(frozen=True, slots=True)
class Tombstone:
    """Why a rollout is no more."""

    reason: str
    start_fingerprint: bytes | None = None
    """With `start_error`: the start that failed, to be answered again."""
    start_error: WireError | None = None
    end_error: WireError | None = None
    """What its end was answered."""
    lost: WireError | None = None
    """Why it could not be rebuilt after a restart."""


class Tombstones:
    """Tombstones by rollout id; of more than `most`, the oldest are forgotten. `ended` were buried before."""

    def __init__(self, most: int, ended: Iterable[str]) -> None:
        self._most = most
        self._stones = OrderedDict((rollout_id, Tombstone("ended")) for rollout_id in ended)

    def __contains__(self, rollout_id: str) -> bool:
        return rollout_id in self._stones

    def get(self, rollout_id: str) -> Tombstone | None:
        """That of this rollout, if there is one."""
        return self._stones.get(rollout_id)

    def bury(self, rollout_id: str, tombstone: Tombstone) -> None:
        """Spends an id."""
        self._stones[rollout_id] = tombstone
        while len(self._stones) > self._most:
            self._stones.popitem(last=False)

    def check_unspent(self, rollout_id: str, fingerprint: bytes) -> None:
        """Passes where a start may take this id.

        Raises:
            RolloutEndedError, RolloutLostError: it is spent.
            IdConflictError: another start with it failed.
            WireError: this start failed, for that reason.
        """
        gone = self._stones.get(rollout_id)
        if gone is None:
            return
        if gone.start_error is None:
            raise self.absent(rollout_id)
        if gone.start_fingerprint != fingerprint:
            raise started_otherwise(rollout_id)
        raise gone.start_error.afresh()

    def absent(self, rollout_id: str) -> WireError:
        """The error of a call of a rollout that is not held."""
        gone = self._stones.get(rollout_id)
        if gone is None:
            return UnknownRolloutError(
                f"this server does not hold the rollout {rollout_id!r}: it was never started here, or a restart lost "
                "it; start a new one"
            )
        return ended(rollout_id, gone.reason) if gone.lost is None else gone.lost.afresh()


def ended(rollout_id: str, reason: str) -> RolloutEndedError:
    """The error of a call of a rollout that ended for this reason."""
    return RolloutEndedError(f"the rollout {rollout_id!r} {_REASONS.get(reason, reason)}; start a new one")


def started_otherwise(rollout_id: str) -> IdConflictError:
    """The error of a start with an id that another one took."""
    return IdConflictError(f"the rollout {rollout_id!r} was started with other arguments; a new rollout needs a new id")
