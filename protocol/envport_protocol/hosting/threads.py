"""A bounded pool of daemon threads for methods that block."""

from __future__ import annotations

import threading
from concurrent.futures import Executor, Future
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from envport_protocol.errors import NoThreadError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_REPLACED = 3
"""So many times as many threads as the pool has are begun in place of those that hang."""


class ThreadPool(Executor):
    """`max_threads` threads, all begun with the first work; what is more waits in line.

    Beginning one waits until it runs, and so for every thread that is busy in Python: later the event loop would stand
    still for that. Unlike the standard library's pool, its threads are daemons: a method that never returns does not
    keep the process from exiting. One whose caller has given up is replaced by another, up to a bound.
    """

    def __init__(self, max_threads: int) -> None:
        self._max_threads = max_threads
        self._jobs: SimpleQueue[tuple[_Job, Callable[[], Any]] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._closed = False
        self.busy = 0
        """Threads that work now."""
        self.hanging = 0
        """Threads that work for a caller who has given up."""

    @property
    def is_exhausted(self) -> bool:
        """Every thread hangs, and no more are begun in their place."""
        return self.hanging >= (1 + _REPLACED) * self._max_threads

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """The future of `fn(*args, **kwargs)`.

        Raises:
            NoThreadError: the pool was shut down, or the machine gives no thread.
        """
        job = _Job(self)
        with self._lock:
            if self._closed:
                raise NoThreadError("the server stops, and begins nothing more; try again when it runs again")
            self._begin_threads()
            # Last: where no thread could be begun, the caller is told so, and the work must not run later.
            self._jobs.put((job, partial(fn, *args, **kwargs)))
        return job

    def give_up(self, job: _Job) -> None:
        """Nobody waits for this job, which runs: its thread is replaced, for it may never come back."""
        with self._lock:
            if not job.is_given_up and not job.done() and not self._closed:
                job.is_given_up = True
                self.hanging += 1
                if self.hanging <= _REPLACED * self._max_threads:
                    job.is_replaced = True
                    self._threads -= 1
                    self._begin_threads()

    def shutdown(self, wait: bool = False, *, cancel_futures: bool = False) -> None:
        """Idle threads end; busy ones end after their work. Never waits, whatever `wait` says."""
        with self._lock:
            self._closed = True
            for _ in range(self._threads):
                self._jobs.put(None)

    def _begin_threads(self) -> None:
        while self._threads < self._max_threads:
            try:
                threading.Thread(target=self._work, name=f"envport-{self._threads + 1}", daemon=True).start()
            except RuntimeError as error:
                if not self._threads:
                    raise NoThreadError(f"the machine gives no thread for a blocking method: {error}") from error
                return
            self._threads += 1

    def _work(self) -> None:
        while (entry := self._jobs.get()) is not None:
            job, function = entry
            if job.set_running_or_notify_cancel():
                with self._lock:
                    self.busy += 1
                _carry_out(job, function)
                if self._is_superfluous(job):
                    return
            del entry, job, function

    def _is_superfluous(self, job: _Job) -> bool:
        """Counts a job that ended; whether its thread is one too many now."""
        with self._lock:
            self.busy -= 1
            self.hanging -= job.is_given_up
            if job.is_replaced and self._threads < self._max_threads:
                self._threads += 1
                return False
            return job.is_replaced


class _Job(Future[Any]):
    """A future that tells its pool when nobody waits for it any more."""

    def __init__(self, pool: ThreadPool) -> None:
        super().__init__()
        self._pool = pool
        self.is_given_up = False
        self.is_replaced = False
        """Another thread was begun for the one that it holds."""

    def cancel(self) -> bool:
        """Takes it out of the line; a running one is only given up."""
        is_cancelled = super().cancel()
        if not is_cancelled:
            self._pool.give_up(self)
        return is_cancelled


def _carry_out(job: _Job, function: Callable[[], Any]) -> None:
    try:
        result = function()
    except BaseException as error:  # noqa: BLE001 - a pool hands every failure to the one who waits
        job.set_exception(error)
    else:
        job.set_result(result)
