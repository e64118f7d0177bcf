"""Running a command's coroutine so that SIGTERM ends it as cleanly as Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


def run_interruptible(work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns. Both signals cancel it, so it ends what it began.

    Raises:
        KeyboardInterrupt: it was cancelled.
    """

    async def main() -> T:
        task = asyncio.current_task()
        if task is not None:
            with suppress(NotImplementedError):  # not on Windows
                asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work

    try:
        return asyncio.run(main())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
