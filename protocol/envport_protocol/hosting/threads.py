"""A bounded pool of daemon threads for methods that block."""

from __future__ import annotations

import threading
from concurrent.futures import Executor, Future
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class ThreadPool(Executor):
    """`max_threads` threads, all begun with the first work; what is more waits in line.

    Beginning one waits until it runs, and so for every thread that is busy in Python: later the event loop would stand
    still for that.

    Unlike the standard library's pool, its threads are daemons: a method that never returns does not keep the
    process from exiting.
    """

    def __init__(self, max_threads: int) -> None:
        self._max_threads = max_threads
        self._jobs: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._closed = False
        self.busy = 0
        """Threads that work now."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """The future of `fn(*args, **kwargs)`.

        Raises:
            RuntimeError: the pool was shut down, or the machine gives no further thread.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("the thread pool is shut down")
            self._begin_threads()
            # Last: where no thread could be begun, the caller is told so, and the work must not run later.
            self._jobs.put((future, partial(fn, *args, **kwargs)))
        return future

    def _begin_threads(self) -> None:
        while self._threads < self._max_threads:
            try:
                threading.Thread(target=self._work, name=f"envport-{self._threads + 1}", daemon=True).start()
            except RuntimeError:
                if not self._threads:
                    raise
                return
            self._threads += 1

    def shutdown(self, wait: bool = False, *, cancel_futures: bool = False) -> None:
        """Idle threads end; busy ones end after their work. Never waits, whatever `wait` says."""
        with self._lock:
            self._closed = True
            for _ in range(self._threads):
                self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, function = job
            if future.set_running_or_notify_cancel():
                with self._lock:
                    self.busy += 1
                try:
                    result = function()
                except BaseException as error:  # noqa: BLE001 - a pool hands every failure to the one who waits
                    future.set_exception(error)
                else:
                    future.set_result(result)
                    del result
                finally:
                    with self._lock:
                        self.busy -= 1
            del job, future, function
