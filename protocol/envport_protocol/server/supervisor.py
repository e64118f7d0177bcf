"""The process over several workers: it starts them, deals the connections out, and starts again the one that crashed.

It runs no code of the environment and sees no request, so whatever brings a worker down leaves it and the other
workers alone.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from envport_protocol.errors import EnvportError, ServeError
from envport_protocol.server.worker_process import HEARTBEAT_S, MOST_UNANSWERED, WorkerProcess

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from envport_protocol.server.assignment import Assignment

log = logging.getLogger("envport.protocol")

_MOST_FAILED_STARTS = 5
"""One after the other, before all have been ready: then the whole server ends. Later the others go on."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_LONG_LIFE_S = 30.0
"""After so long a crash counts as the first one."""
_ACCEPT_PAUSE_S = 1.0
"""After a failure to accept: too many files are open, mostly."""


class Supervisor:
    """Keeps a worker running for each assignment, with the clients of `listener`.

    Prints `ready_line` of the environment's name when all are ready for the first time. `ended` is called with the
    number of each worker whose process has ended.
    """

    def __init__(
        self,
        listener: socket.socket,
        assignments: Sequence[Assignment],
        ready_line: Callable[[str], str],
        ended: Callable[[int], None],
    ) -> None:
        self._listener = listener
        self._assignments = assignments
        self._ready_line = ready_line
        self._ended = ended
        self._processes: dict[int, WorkerProcess] = {}
        self._taking = deque[WorkerProcess]()
        """The workers that take connections; the last one got the latest."""
        self._all_took = asyncio.Event()
        self._some_take = asyncio.Event()
        self._stopping = asyncio.Event()
        self._was_ready = False
        self.stopped_by: list[int] = []
        self.failure: EnvportError | None = None
        """Why it ended by itself."""

    async def run(self, stop_timeout_s: float) -> None:
        """Serves until it is told to stop, or cannot. Workers that take longer to stop are killed."""
        self._listener.setblocking(False)
        keeping = [asyncio.create_task(self._keep(assignment)) for assignment in self._assignments]
        dealing = asyncio.create_task(self._deal())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({stopping, dealing, *keeping}, return_when=asyncio.FIRST_COMPLETED)
        self._stopping.set()
        dealing.cancel()
        await asyncio.wait({dealing})
        self._listener.close()
        for process in self._processes.values():
            process.stop()
        _, late = await asyncio.wait(keeping, timeout=stop_timeout_s)
        if late:
            log.warning("%d workers did not stop within %g s and are killed", len(late), stop_timeout_s)
            self._kill()
        await asyncio.gather(*keeping)
        await stopping
        if not dealing.cancelled():
            dealing.result()

    def stop(self, number: int) -> None:
        """Stops by a signal; a second one kills."""
        if self._stopping.is_set():
            self._kill()
        self.stopped_by.append(number)
        self._stopping.set()

    def _fail(self, error: EnvportError) -> None:
        self.failure = self.failure or error
        self._stopping.set()

    def _kill(self) -> None:
        for process in self._processes.values():
            process.kill()

    async def _keep(self, assignment: Assignment) -> None:
        failed_starts = crashes = 0
        while not self._stopping.is_set():
            begun = time.monotonic()
            process = self._processes[assignment.number] = WorkerProcess(assignment)
            status = await self._run(process)
            self._ended(assignment.number)
            if self._stopping.is_set():
                break
            failed_starts = 0 if process.is_ready else failed_starts + 1
            if not self._was_ready and (process.failure or failed_starts == _MOST_FAILED_STARTS):
                self._fail(process.failure or _cannot_start(process, failed_starts, status))
                break
            crashes = 1 if time.monotonic() - begun > _LONG_LIFE_S else crashes + 1
            pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** (crashes - 1))
            log.error("%s %s; it is started again in %g s", process.name, _why(process, status), pause_s)
            await self._pause(pause_s)
            assignment = replace(assignment, restarts=assignment.restarts + 1)

    async def _run(self, process: WorkerProcess) -> int:
        try:
            async for _ in process.run():
                self._note(process)
                if self._stopping.is_set():
                    process.stop()
        finally:
            if process in self._taking:
                self._taking.remove(process)
        return await process.ended()

    def _note(self, process: WorkerProcess) -> None:
        if process.takes_connections and process not in self._taking:
            self._taking.append(process)
            self._some_take.set()
            if len(self._taking) == len(self._assignments):
                self._all_took.set()
        elif not process.takes_connections and process in self._taking:
            self._taking.remove(process)
        are_ready = [one.is_ready for one in self._processes.values()]
        if not self._was_ready and len(are_ready) == len(self._assignments) and all(are_ready):
            self._was_ready = True
            print(self._ready_line(process.env_name), flush=True)

    async def _deal(self) -> None:
        loop = asyncio.get_running_loop()
        await self._all_took.wait()  # else the first one would get all that came meanwhile
        while True:
            if not self._taking:
                self._some_take.clear()
                await self._some_take.wait()
            try:
                connection, _ = await loop.sock_accept(self._listener)
            except ConnectionAbortedError:
                continue
            except OSError as error:
                log.error("no connection can be accepted: %s", error)
                await asyncio.sleep(_ACCEPT_PAUSE_S)
                continue
            with connection:
                self._deal_one(connection)

    def _deal_one(self, connection: socket.socket) -> None:
        self._taking.rotate(-1)
        for process in sorted(self._taking, key=lambda one: one.line.untaken):
            if process.line.deal(connection):
                return

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return


def _cannot_start(process: WorkerProcess, times: int, status: int) -> EnvportError:
    return ServeError(f"{process.name} ended {times} times before it was ready; the last time it {_how(status)}")


def _why(process: WorkerProcess, status: int) -> str:
    if process.failure is not None:
        return f"could not start: {process.failure}"
    if process.is_stuck:
        return f"did not come to its heartbeats for {HEARTBEAT_S * MOST_UNANSWERED:g} s, and was killed"
    return _how(status)


def _how(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
