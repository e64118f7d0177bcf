"""Clients that went away while their request was worked on: the handler is cancelled.

To listen for the end of a connection takes a task. Most requests are over in a millisecond, so only those that are
older than a second get one, from a look once a second over all that are under way.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from starlette.types import Receive

T = TypeVar("T")

PERIOD_S = 1.0


class ClientGoneError(Exception):
    """The connection ended before the request did: there is nobody to answer."""


@dataclass(slots=True)
class _Waiting:
    receive: Receive
    begun: float
    listener: asyncio.Task[None] | None = None
    is_gone: bool = False


class Disconnects:
    """The handlers under way, each with the connection of its client."""

    def __init__(
        self,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._waiting: dict[asyncio.Task[object], _Waiting] = {}

    async def guarded(self, work: Coroutine[object, object, T], receive: Receive, begun: float) -> T:
        """What `work` gives, run by the handler that is the current task and has read its body.

        `begun`: by the clock.

        Raises:
            ClientGoneError: the client went away, and `work` was cancelled for it.
        """
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a handler runs in a task")
        waiting = self._waiting[task] = _Waiting(receive, begun)
        try:
            return await work
        except asyncio.CancelledError:
            if not waiting.is_gone:
                raise
            task.uncancel()
            raise ClientGoneError from None
        finally:
            del self._waiting[task]
            if waiting.listener is not None:
                waiting.listener.cancel()

    async def listen(self) -> None:
        """Looks for handlers that take long, for ever."""
        while True:
            await self._sleep(PERIOD_S)
            latest = self._clock() - PERIOD_S
            for task, waiting in self._waiting.items():  # in the order in which they came here, nearly that of `begun`
                if waiting.begun > latest:
                    break
                if waiting.listener is None:
                    waiting.listener = asyncio.create_task(self._until_gone(task, waiting))

    async def _until_gone(self, task: asyncio.Task[object], waiting: _Waiting) -> None:
        while (await waiting.receive())["type"] != "http.disconnect":
            pass
        if self._waiting.get(task) is waiting:
            waiting.is_gone = True
            task.cancel()
