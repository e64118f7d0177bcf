"""How many rollouts this client holds open, so that it slows down before the server has to refuse it.

Additive increase, multiplicative decrease: the limit begins with what the server's manifest allows, is halved when a
start is answered `overloaded`, and grows by one for every `limit` starts that succeed. Starts wait for a slot first
come, first served. A slot is given back when its rollout has ended, is known to be lost, or was forgotten by its
caller. A refused start gives its slot back and waits in its old turn: until the server's `Retry-After` has passed, only
as many starts are sent as slots are given back.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from contextlib import suppress
from itertools import count

from envport_protocol.errors import OverloadedError

from envport.retry import Retries, Retryable

HALVE_EVERY_S = 1.0
"""Refusals in less than this count as one, and so do those of starts that were sent before it."""


class RolloutLimiter:
    """The slots of one client at one server, for one event loop."""

    def __init__(self, max_rollouts: int, patience_s: float) -> None:
        self.limit = max_rollouts
        self.held = 0
        """Slots that are taken, by open rollouts and by starts and forks under way."""
        self.moved_at = float("-inf")
        """When a slot was last given back, or a start last succeeded."""
        self._max_rollouts = max_rollouts
        self._patience_s = patience_s
        self._loop = asyncio.get_running_loop()
        self._tickets = count()
        self._line: list[tuple[int, asyncio.Future[None]]] = []
        self._starts = 0
        self._halved_at = float("-inf")
        self._paused_until = float("-inf")
        self._resuming: asyncio.TimerHandle | None = None
        """Runs while the server is left alone."""

    async def slot(self) -> Slot:
        """A slot for a start, in its turn.

        Raises:
            OverloadedError: none was given back for `patience_s` seconds.
            RuntimeError: the client was closed.
        """
        slot = Slot(self, next(self._tickets))
        await slot.take()
        return slot

    def slot_at_once(self) -> Slot:
        """A slot beyond the limit, if need be: who forks holds the slot that the fork would wait for."""
        slot = Slot(self, next(self._tickets))
        self.held += 1
        slot.is_held = True
        return slot

    def started(self) -> None:
        """Counts a start that succeeded."""
        self.moved_at = time.monotonic()
        self._starts += 1
        if self._starts >= self.limit:
            self._starts = 0
            self.limit = min(self.limit + 1, self._max_rollouts)
            self._admit()

    def refused(self, sent_at: float, pause_s: float) -> None:
        """Counts a start that was sent at `sent_at` and found no room; the server is left alone for `pause_s`."""
        now = time.monotonic()
        if sent_at > self._halved_at and now - self._halved_at >= HALVE_EVERY_S:
            self._halved_at = now
            self._starts = 0
            self.limit = max(1, self.limit // 2)
        if now + pause_s > self._paused_until:
            self._paused_until = now + pause_s
            if self._resuming is not None:
                self._resuming.cancel()
            self._resuming = self._loop.call_later(pause_s, self._resume)

    def give_back(self) -> None:
        """A slot is free again. While the server is left alone, one start is sent for each."""
        self.held -= 1
        self.moved_at = time.monotonic()
        self._admit(at_least=1)

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
        heapq.heappush(self._line, (ticket, turn))
        self._admit()
        since = time.monotonic()
        try:
            while not turn.done():
                left_s = max(since, self.moved_at, self._paused_until) + self._patience_s - time.monotonic()
                if left_s <= 0:
                    raise self._stuck()
                await asyncio.wait([turn], timeout=left_s)
        except BaseException:
            self._leave(turn)
            raise
        if turn.cancelled():
            raise RuntimeError("this client was closed while a rollout waited to be started")

    def close(self) -> None:
        """Sends those who wait away."""
        for _, turn in self._line:
            turn.cancel()

    def _resume(self) -> None:
        self._resuming = None
        self._admit()

    def _admit(self, at_least: int = 0) -> None:
        while self._line and self.held < self.limit and (at_least > 0 or self._resuming is None):
            turn = heapq.heappop(self._line)[1]
            if not turn.done():
                turn.set_result(None)
                self.held += 1
                at_least -= 1

    def _leave(self, turn: asyncio.Future[None]) -> None:
        if turn.done():
            self.give_back()
        else:
            turn.cancel()

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

    def fill(self) -> None:
        """Says that the rollout was started."""
        self._limiter.started()

    async def take_again(self, pause_s: float) -> None:
        """After a refusal: gives the slot back and waits for one in the old turn, not before `pause_s` have passed."""
        self._limiter.refused(self._sent_at, pause_s)
        self.is_held = False
        self._limiter.held -= 1
        await self.take()

    @property
    def moved_at(self) -> float:
        """When the client's rollouts last moved."""
        return self._limiter.moved_at

    def __del__(self) -> None:
        if self.is_held:
            self._limiter.give_back_from_anywhere()


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
        since = max(self._failed(), self._slot.moved_at)
        return await self._slot.take_again(self._delay_s(failure, budget_s, since))
