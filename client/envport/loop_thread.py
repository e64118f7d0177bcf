"""An event loop in a thread of its own, for callers that block."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")

STOP_S = 10.0
"""How long `stop` waits for the thread."""


class LoopThread:
    """A running loop; `stop` ends it. The thread is a daemon: it never holds the process back."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="envport-client", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns, or its exception; Ctrl-C while waiting cancels it.

        Raises:
            RuntimeError: the loop was stopped.
        """
        if self._loop.is_closed():
            work.close()
            raise RuntimeError("this client is closed: connect again")
        job = _Job(work)
        try:
            return asyncio.run_coroutine_threadsafe(job.run(), self._loop).result()
        except BaseException:
            with suppress(RuntimeError):  # the loop was closed meanwhile, and cancelled it
                self._loop.call_soon_threadsafe(job.drop)
            raise

    def stop(self) -> None:
        """Cancels what still runs and ends the thread. Again does nothing."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(STOP_S)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()


class _Job(Generic[T]):
    """Work that can be dropped at any moment after it was handed over, even before its task exists."""

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self._work = work
        self._task: asyncio.Task[Any] | None = None
        self._is_dropped = False

    async def run(self) -> T:
        self._task = asyncio.current_task()
        if self._is_dropped:
            self._work.close()
            raise asyncio.CancelledError
        return await self._work

    def drop(self) -> None:
        self._is_dropped = True
        if self._task is not None:
            self._task.cancel()
