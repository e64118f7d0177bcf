"""How many rollouts this client holds open, so that it slows down before the server has to refuse it.

Additive increase, multiplicative decrease: the limit begins with what the server's manifest allows, is halved when a
start is answered `overloaded`, and grows by one for every `limit` starts that succeed. It also grows by one with each
second that passes without a refusal, since rollouts that wait for each other, as those of a group do, would else wait
for starts that nobody makes; for the same reason it never falls below the largest group that was asked for.

Starts wait for a slot first come, first served. A slot is given back when its rollout was ended, whatever came of it,
is known to be lost, or was forgotten by its caller: where the server still holds more, it refuses, and the limit falls.
A refused start gives its slot back and waits in its old turn: until the server's `Retry-After` has passed, only as many
starts are sent as slots are given back.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left, insort
from contextlib import suppress
from itertools import count

from envport_protocol.errors import OverloadedError

from envport.retry import Retries, Retryable

HALVE_EVERY_S = 1.0
"""Refusals in less than this count as one, and so do those of starts that were sent before it."""

GROW_EVERY_S = 1.0
"""As long without a refusal, and the limit grows by one."""


class RolloutLimiter:
    """The slots of one client at one server, for one event loop."""

    def __init__(self, max_rollouts: int, patience_s: float) -> None:
        self.limit = max_rollouts
        self.held = 0
        """Slots that are taken, by open rollouts and by starts and forks under way."""
        self.moved_at = float("-inf")
        """When a slot was last given back, or a start last succeeded."""
        self._max_rollouts = max_rollouts
        self._least = 1
        self._patience_s = patience_s
        self._loop = asyncio.get_running_loop()
        self._tickets = count()
        self._line: list[tuple[int, asyncio.Future[None]]] = []
        self._starts = 0
        self._halved_at = float("-inf")
        self._paused_until = float("-inf")
        self._is_paused = False
        """True while the server is left alone."""
        self._timer: asyncio.TimerHandle | None = None
        """To the end of the pause, and then from one growth to the next."""

    async def slot(self) -> Slot:
        """A slot for a start, in its turn.

        Raises:
            OverloadedError: none was given back for `patience_s` seconds.
            RuntimeError: the client was closed.
        """
        slot = self.no_slot()
        await slot.take()
        return slot

    def slot_at_once(self) -> Slot:
        """A slot beyond the limit, if need be: who forks holds the slot that the fork would wait for."""
        slot = self.no_slot()
        self.held += 1
        slot.is_held = True
        return slot

    def no_slot(self) -> Slot:
        """A slot that is not taken: for a rollout that another client holds open."""
        return Slot(self, next(self._tickets))

    def make_room(self, rollouts: int) -> None:
        """Lets so many be open at once from now on, as far as the server ever allows it, whatever it refuses."""
        self._least = max(self._least, min(rollouts, self._max_rollouts))
        self._set_limit(self.limit)

    def started(self) -> None:
        """Counts a start that succeeded."""
        self.moved_at = time.monotonic()
        self._starts += 1
        if self._starts >= self.limit:
            self._starts = 0
            self._set_limit(self.limit + 1)

    def refused(self, sent_at: float, pause_s: float) -> None:
        """Counts a start that was sent at `sent_at` and found no room; the server is left alone for `pause_s`."""
        now = time.monotonic()
        if sent_at > self._halved_at and now - self._halved_at >= HALVE_EVERY_S:
            self._halved_at = now
            self._starts = 0
            self._set_limit(self.limit // 2)
        if now + pause_s > self._paused_until:
            self._paused_until = now + pause_s
            self._is_paused = True
            self._stop_timer()
            self._timer = self._loop.call_later(pause_s, self._resume)

    def give_back(self) -> None:
        """A slot is free again. While the server is left alone, one start is sent for each."""
        self.moved_at = time.monotonic()
        self.drop()
        self._admit(at_least=1)

    def drop(self) -> None:
        """A slot is free again, that of a start which was refused: there is no room for another in its place."""
        self.held -= 1

    def give_back_from_anywhere(self) -> None:
        """The same, from any thread and after the event loop's end."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.give_back)

    async def enter(self, ticket: int) -> None:
        """Returns with a slot taken, before those of later tickets.

        Raises:
            OverloadedError: none was given back for `patience_s` seconds.
            RuntimeError: the client was closed.
        """
        turn = self._loop.create_future()
        insort(self._line, (ticket, turn))
        self._admit()
        since = time.monotonic()
        try:
            while not turn.done():
                left_s = max(since, self.moved_at, self._paused_until) + self._patience_s - time.monotonic()
                if left_s <= 0:
                    raise self._stuck()
                await asyncio.wait([turn], timeout=left_s)
        except BaseException:
            self._leave(ticket, turn)
            raise
        if turn.cancelled():
            raise RuntimeError("this client was closed while a rollout waited to be started")

    def close(self) -> None:
        """Sends those who wait away."""
        self._stop_timer()
        for _, turn in self._line:
            turn.cancel()
        self._line.clear()

    def _resume(self) -> None:
        self._is_paused = False
        self._admit()
        self._timer = self._loop.call_later(GROW_EVERY_S, self._grow)

    def _grow(self) -> None:
        self._set_limit(self.limit + 1)
        self._timer = self._loop.call_later(GROW_EVERY_S, self._grow) if self.limit < self._max_rollouts else None

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _set_limit(self, limit: int) -> None:
        self.limit = min(max(limit, self._least), self._max_rollouts)
        self._admit()

    def _admit(self, at_least: int = 0) -> None:
        while self._line and self.held < self.limit and (at_least > 0 or not self._is_paused):
            self._line.pop(0)[1].set_result(None)
            self.held += 1
            at_least -= 1

    def _leave(self, ticket: int, turn: asyncio.Future[None]) -> None:
        if not turn.done():
            del self._line[bisect_left(self._line, ticket, key=_ticket)]
        elif not turn.cancelled():
            self.give_back()

    def _stuck(self) -> OverloadedError:
        return OverloadedError(
            f"no rollout was started: this client holds {self.held} open, its limit is {self.limit}, and none was "
            f"ended for {self._patience_s:g} s. End rollouts as soon as they are scored, start fewer at once, or let "
            "retry_for_s of connect be longer than a rollout takes",
            details={"held": self.held, "limit": self.limit},
        )


class Slot:
    """The right to hold one rollout open. Forgotten, it is given back."""

    __slots__ = ("_limiter", "_sent_at", "_ticket", "is_held")

    def __init__(self, limiter: RolloutLimiter, ticket: int) -> None:
        self.is_held = False
        self._limiter = limiter
        self._ticket = ticket
        self._sent_at = 0.0

    async def take(self) -> None:
        """Waits for the slot in its turn.

        Raises:
            OverloadedError: the wait was too long.
        """
        await self._limiter.enter(self._ticket)
        self.is_held = True
        self._sent_at = time.monotonic()

    def give_back(self) -> None:
        """Lets another start have it. Again does nothing."""
        if self.is_held:
            self.is_held = False
            self._limiter.give_back()

    def another(self) -> Slot:
        """One more at once, for a fork."""
        return self._limiter.slot_at_once()

    async def take_again(self, pause_s: float) -> None:
        """After a refusal: gives the slot back and waits for one in the old turn, not before `pause_s` have passed."""
        self._limiter.refused(self._sent_at, pause_s)
        self.is_held = False
        self._limiter.drop()
        await self.take()

    @property
    def moved_at(self) -> float:
        """When the client's rollouts last moved."""
        return self._limiter.moved_at

    def __del__(self) -> None:
        if self.is_held:
            self._limiter.give_back_from_anywhere()


def _ticket(waiting: tuple[int, asyncio.Future[None]]) -> int:
    return waiting[0]


class SlotRetries(Retries):
    """The retries of a start. Refusals count against its budget only from when the client's rollouts last moved."""

    def __init__(self, slot: Slot) -> None:
        super().__init__()
        self._slot = slot

    async def pause(self, failure: Retryable, budget_s: float) -> None:
        """As `Retries.pause` says; for want of room, another slot is waited for.

        Raises:
            EnvportError: that of `failure`, or OverloadedError.
        """
        if not isinstance(failure.error, OverloadedError):
            return await super().pause(failure, budget_s)
        self._count()
        since = max(self._failing_since, self._slot.moved_at)
        return await self._slot.take_again(self._delay_s(failure, budget_s, since))
