"""Whether the environment can be asked anything yet."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from envport_protocol.errors import NotReadyError

if TYPE_CHECKING:
    from envport_protocol.hosting.host import Host

_WAIT_FOR_READY_S = 1.0
STOP_TIMEOUT_S = 5.0
"""How long a cancelled background task may take: the author's code in it may not listen."""


class Readiness:
    """Whether the environment has been prepared. The preparation begins with the first question about it."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._preparation: asyncio.Task[None] | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self.is_reached = False
        """`check` has passed once, and always will."""

    def begin(self) -> asyncio.Task[None]:
        """The preparation, now under way."""
        if self._preparation is None:
            self._preparation = asyncio.create_task(self._host.prepare())
            self._sweeper = asyncio.create_task(self._host.sweep())
        return self._preparation

    def check(self) -> None:
        """Passes when the environment can serve.

        Raises:
            NotReadyError: it is still starting, its start failed, or its blocking methods hang.
        """
        preparation = self.begin()
        if not preparation.done():
            raise NotReadyError("the environment is still starting; try again in a moment")
        if preparation.cancelled():
            raise NotReadyError("the server is stopping; try again when it runs again")
        error = preparation.exception()
        if error is not None:
            raise NotReadyError(f"the environment could not start: {error}") from error
        self._host.check_threads()
        self.is_reached = True

    async def wait(self) -> None:
        """Like `check`, but gives a start under way a second to finish."""
        preparation = self.begin()
        if not preparation.done():
            await asyncio.wait({preparation}, timeout=_WAIT_FOR_READY_S)
        self.check()

    async def stop(self) -> None:
        """Ends the background tasks."""
        for task in (self._preparation, self._sweeper):
            if task is not None:
                task.cancel()
                await asyncio.wait({task}, timeout=STOP_TIMEOUT_S)
