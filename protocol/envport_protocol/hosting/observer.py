"""What a server tells about its work, for metrics and logs. Knows nothing of either."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from envport_protocol.messages import Outcome


class Observer(Protocol):
    """Told of each event once, on the event loop; must not block or raise."""

    def executed(self, verb: str, tool: str | None, outcome: Outcome, seconds: float) -> None:
        """The environment's code ran for a call, or its deadline passed. `tool` is what the model named."""
        ...

    def answered(self, verb: str, status: int, seconds: float) -> None:
        """A request, or one call of a batch, was answered: a repeat that found its answer stored, too."""
        ...

    def expired(self, rollouts: int) -> None:
        """Rollouts that were idle for too long were ended."""
        ...

    def replayed(self, is_rebuilt: bool) -> None:
        """A rollout of before a restart was asked for and rebuilt from the journal, or lost."""
        ...


class NullObserver:
    """Hears nothing."""

    def executed(self, verb: str, tool: str | None, outcome: Outcome, seconds: float) -> None:
        """Nothing."""

    def answered(self, verb: str, status: int, seconds: float) -> None:
        """Nothing."""

    def expired(self, rollouts: int) -> None:
        """Nothing."""

    def replayed(self, is_rebuilt: bool) -> None:
        """Nothing."""


class Observers:
    """Tells several observers, each in turn."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def executed(self, verb: str, tool: str | None, outcome: Outcome, seconds: float) -> None:
        """To all."""
        for observer in self._observers:
            observer.executed(verb, tool, outcome, seconds)

    def answered(self, verb: str, status: int, seconds: float) -> None:
        """To all."""
        for observer in self._observers:
            observer.answered(verb, status, seconds)

    def expired(self, rollouts: int) -> None:
        """To all."""
        for observer in self._observers:
            observer.expired(rollouts)

    def replayed(self, is_rebuilt: bool) -> None:
        """To all."""
        for observer in self._observers:
            observer.replayed(is_rebuilt)
