"""How late the event loop is, and which code kept it.

Code that blocks inside an `async def` stops every rollout of a server. A task measures how late it is woken, and while
it is not, a thread looks at what the loop's thread is doing.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
import threading
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from types import FrameType

log = logging.getLogger("envport.protocol")

TICK_S = 0.5
BLOCKED_S = 1.0
"""A loop that is later than this is worth a line in the log. What blocked it began up to TICK_S earlier."""

_LOOK_AFTER_S = 0.5
"""How late the loop must be for a look at its thread: less than BLOCKED_S, so that each line has its culprit."""


class LoopWatch:
    """Tells `told` every TICK_S by how many seconds the event loop was late, and the log when these were many."""

    def __init__(self, told: Callable[[float], None]) -> None:
        self._told = told
        self._due = time.monotonic()
        self._culprit = ""
        self._base_depth = 0
        """Frames of the loop itself: those above them are of the code that it runs."""

    @asynccontextmanager
    async def watching(self) -> AsyncGenerator[None]:
        """Watches the running loop until the block is left."""
        stopped = threading.Event()
        self._due = time.monotonic() + TICK_S
        thread = threading.Thread(
            target=self._look, args=(threading.get_ident(), stopped), name="envport-loop-watch", daemon=True
        )
        measuring = asyncio.create_task(self._measure())
        thread.start()
        try:
            yield
        finally:
            measuring.cancel()
            stopped.set()

    async def _measure(self) -> None:
        while True:
            self._culprit = ""
            self._due = time.monotonic() + TICK_S
            await asyncio.sleep(TICK_S)
            lag_s = max(0.0, time.monotonic() - self._due)
            self._base_depth = len(_frames(inspect.currentframe())) - 1
            self._told(lag_s)
            if lag_s > BLOCKED_S:
                culprit = self._culprit or "code that was not seen"
                log.warning(
                    "the event loop was blocked for at least %.2f s by %s; meanwhile nothing was answered. A method "
                    "that blocks must be `def`, not `async def`: then it runs in a thread",
                    lag_s,
                    culprit,
                    extra={"blocked_s": round(lag_s, 3), "code": culprit},
                )

    def _look(self, loop_thread: int, stopped: threading.Event) -> None:
        seen = 0.0
        while True:
            due = self._due
            late_s = time.monotonic() - due
            if late_s >= _LOOK_AFTER_S and due != seen:
                seen = due
                frame = sys._current_frames().get(loop_thread)  # pyright: ignore[reportPrivateUsage]
                self._culprit = _culprit(_frames(frame)[self._base_depth :])
            if stopped.wait(TICK_S if due == seen else _LOOK_AFTER_S - late_s):
                return


def _frames(innermost: FrameType | None) -> list[FrameType]:
    """The stack, from the outside to the inside."""
    frames: list[FrameType] = []
    while innermost is not None:
        frames.append(innermost)
        innermost = innermost.f_back
    return frames[::-1]


def _culprit(frames: list[FrameType]) -> str:
    """What the server called, and where that was."""
    if not frames:
        return ""
    ours = [index for index, frame in enumerate(frames) if _is_ours(frame)]
    called = frames[min(ours[-1] + 1, len(frames) - 1)] if ours else frames[0]
    return _place(called) if called is frames[-1] else f"{_place(called)}, then in {_place(frames[-1])}"


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).startswith("envport_protocol.")


def _place(frame: FrameType) -> str:
    return f"{frame.f_code.co_qualname} ({frame.f_code.co_filename}:{frame.f_lineno})"
