"""The line of starts that wait for room: bounded, first come first served, and not for ever."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from envport_protocol.errors import OverloadedError

if TYPE_CHECKING:
    from collections.abc import Callable


class Line:
    """`held` says how many places are taken now. Each place that gets free is told by `freed`."""

    def __init__(self, places: int, max_queued: int, timeout_s: float, held: Callable[[], int]) -> None:
        self._places = places
        self._max_queued = max_queued
        self._timeout_s = timeout_s
        self._held = held
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._called = 0
        """Those whose turn it is and who have not taken their place yet."""

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def is_open(self) -> bool:
        """There is room, and nobody waits for it."""
        return not self._waiting and self._held() + self._called < self._places

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

    def freed(self) -> None:
        """Calls those in front as far as there is room."""
        while self._waiting and self._held() + self._called < self._places:
            turn = self._waiting.popleft()
            if not turn.done():
                self._called += 1
                turn.set_result(None)

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
