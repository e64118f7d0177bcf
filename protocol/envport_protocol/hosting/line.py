"""The line of starts that wait for room: bounded, first come first served, and not for ever."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol

from envport_protocol.errors import OverloadedError

if TYPE_CHECKING:
    from collections.abc import Callable


_LOOK_AGAIN_S = 0.05
"""Nobody tells of a place that gets free elsewhere, so those who wait look again after this."""


class Elsewhere(Protocol):
    """Others that take from the same places."""

    def held(self) -> int:
        """How many places they have taken."""
        ...

    def tell(self, held: int) -> None:
        """Lets them know how many are taken here."""
        ...


class Line:
    """`held_here` says how many places are taken here. Each that is taken is told by `taken`, each that gets free by
    `freed`. Where others take from the same places, each waits in a line of its own, and who looks first is first.
    """

    def __init__(
        self,
        places: int,
        max_queued: int,
        timeout_s: float,
        held_here: Callable[[], int],
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self._places = places
        self._max_queued = max_queued
        self._timeout_s = timeout_s
        self._held_here = held_here
        self._elsewhere = elsewhere
        self._looking: asyncio.TimerHandle | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._called = 0
        """Those whose turn it is and who have not taken their place yet."""

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def is_open(self) -> bool:
        """There is room, and nobody waits for it."""
        return not self._waiting and self._has_room()

    async def wait(self) -> None:
        """Returns when it is the caller's turn; it must take its place before it awaits anything.

        Raises:
            OverloadedError: the line is full, or there was no room in time.
        """
        if self.is_open:
            return
        if len(self._waiting) >= self._max_queued:
            raise self._overloaded("wait already, the most that may")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._look_later()
        timer = asyncio.get_running_loop().call_later(self._timeout_s, self._give_up, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn in self._waiting:
                self._waiting.remove(turn)
            if not turn.cancelled() and turn.exception() is None:
                self._called -= 1
                self.freed()
            raise
        finally:
            timer.cancel()
        self._called -= 1

    def taken(self) -> None:
        """Lets others know how many places are taken here."""
        if self._elsewhere is not None:
            self._elsewhere.tell(self._held_here() + self._called)

    def freed(self) -> None:
        """Calls those in front as far as there is room."""
        self.taken()
        while self._waiting and self._has_room():
            turn = self._waiting.popleft()
            if not turn.done():
                self._called += 1
                self.taken()
                turn.set_result(None)

    def _held(self) -> int:
        return self._held_here() + (0 if self._elsewhere is None else self._elsewhere.held())

    def _has_room(self) -> bool:
        return self._held() + self._called < self._places

    def _look_later(self) -> None:
        if self._elsewhere is not None and self._looking is None:
            self._looking = asyncio.get_running_loop().call_later(_LOOK_AGAIN_S, self._look)

    def _look(self) -> None:
        self._looking = None
        self.freed()
        if self._waiting:
            self._look_later()

    def _give_up(self, turn: asyncio.Future[None]) -> None:
        if not turn.done():
            self._waiting.remove(turn)
            turn.set_exception(self._overloaded(f"more wait, and {self._timeout_s:g} s brought no room"))

    def _overloaded(self, told: str) -> OverloadedError:
        held, queued = self._held(), len(self._waiting)
        return OverloadedError(
            f"the server holds {held} rollouts, the most it may, and {queued} {told}; end some, or try again later",
            details={
                "rollouts": held,
                "max_rollouts": self._places,
                "queued": queued,
                "max_queued": self._max_queued,
            },
        )
