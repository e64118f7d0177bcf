"""What a store may know of the rollouts that an earlier process held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from envport_protocol.errors import UnknownRolloutError

if TYPE_CHECKING:
    from envport_protocol.errors import WireError
    from envport_protocol.hosting.stored_call import StoredCall

S = TypeVar("S")


class Rebuilt(NamedTuple, Generic[S]):
    """A rollout of before a restart, as it was."""

    state: S
    start: StoredCall
    calls: dict[str, StoredCall]


class Before(Generic[S]):
    """What is known of the rollouts that an earlier process held; here: nothing. A journal knows more."""

    def holds(self, rollout_id: str) -> bool:
        """Whether the rollout was held, and can be asked of `rebuild` once."""
        return False

    def spent(self) -> list[str]:
        """The ids of rollouts that ended last."""
        return []

    async def rebuild(self, rollout_id: str) -> Rebuilt[S]:
        """The rollout as it was.

        Raises:
            WireError: it cannot be rebuilt; its id is spent then.
        """
        raise UnknownRolloutError(f"there was no rollout {rollout_id!r}")

    def started(self, rollout_id: str, request: bytes, answer: bytes) -> None:
        """Told of a start that worked, before its answer goes out."""

    def called(self, rollout_id: str, key: str, request: bytes, outcome: bytes | WireError) -> None:
        """Told of the outcome of a call, before its answer goes out."""

    def used(self, rollout_id: str) -> None:
        """Told that something was asked of a rollout that is not a call of it."""

    def ended(self, rollout_id: str) -> None:
        """Told of the end of a rollout."""
