"""An event loop in a thread of its own, for callers that block."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Future

T = TypeVar("T")

STOP_S = 10.0
"""How long `stop` waits for the thread."""


class StoppedError(RuntimeError):
    """The loop was stopped, or is being stopped."""


class LoopThread:
    """A running loop; `stop` ends it. The thread is a daemon: it never holds the process back."""

    def __init__(self, at_end: Callable[[], Coroutine[Any, Any, None]] | None = None) -> None:
        self._at_end = at_end
        """What the loop does last, when it was stopped."""
        self._loop = asyncio.new_event_loop()
        self._is_stopped = False
        self._lock = threading.RLock()  # the garbage collector may call `stop` in the middle of `run`
        self._thread = threading.Thread(target=self._serve, name="envport-client", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns, or its exception; Ctrl-C while waiting cancels it.

        Raises:
            StoppedError: the loop was stopped.
            RuntimeError: called in the loop's own thread, which would wait for itself.
        """
        job = _Job(work)
        try:
            return self._begun(job).result()
        except BaseException:
            with suppress(RuntimeError):  # the loop was closed meanwhile, and cancelled it
                self._loop.call_soon_threadsafe(job.drop)
            raise

    def stop(self) -> None:
        """Cancels what still runs and ends the thread. Again does nothing.

        In the loop's own thread, where the garbage collector may call it, it does not wait for the end.
        """
        with self._lock:
            if not self._is_stopped:
                self._is_stopped = True
                self._loop.call_soon_threadsafe(self._loop.stop)
        if threading.current_thread() is not self._thread:
            self._thread.join(STOP_S)

    def _begun(self, job: _Job[T]) -> Future[T]:
        with self._lock:
            if not self._is_stopped and threading.current_thread() is not self._thread:
                return asyncio.run_coroutine_threadsafe(job.run(), self._loop)
        job.close()
        if self._is_stopped:
            raise StoppedError("this client is closed: connect again")
        raise RuntimeError("this client cannot be used in its own thread: use it in the one that made it")

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            if self._at_end is not None:
                self._loop.run_until_complete(self._at_end())
            while left := asyncio.all_tasks(self._loop):
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

    def close(self) -> None:
        """Says that it will not be run."""
        self._work.close()

    def drop(self) -> None:
        self._is_dropped = True
        if self._task is not None:
            self._task.cancel()
