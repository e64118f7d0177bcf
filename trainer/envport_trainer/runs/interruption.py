"""Ctrl-C and SIGTERM: the first ends a run cleanly, a second one at once."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Whether the user asked for the end. Made within the event loop that it watches over."""

    def __init__(self, on_first: Callable[[], None]) -> None:
        """`on_first` is called when the first signal comes."""
        self._asked = asyncio.Event()
        self._on_first = on_first
        self._loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            self._loop.add_signal_handler(number, self._ask)

    def __bool__(self) -> bool:
        return self._asked.is_set()

    async def unless(self, work: Coroutine[Any, Any, T]) -> T | None:
        """The result of `work`; None where the signal came first, once `work` has come to its end."""
        task = asyncio.create_task(work)
        stop = asyncio.create_task(self._asked.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return None

    def _ask(self) -> None:
        for number in _SIGNALS:
            self._loop.remove_signal_handler(number)
        self._asked.set()
        self._on_first()
