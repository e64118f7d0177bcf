"""A worker as its supervisor sees it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from envport_protocol import errors
from envport_protocol.server.channel import STOP, SupervisorEnd, What

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from envport_protocol.server.assignment import Assignment

_MODULE = "envport_protocol.server.worker"

HEARTBEAT_S = 5.0
MOST_UNANSWERED = 6
"""A ready worker whose event loop does not come to so many heartbeats is stuck, and is killed."""


class WorkerProcess:
    """One process; a worker that is started again is another one.

    It leads a process group, to which belongs what it starts, and which ends with it: a process that its environment
    has forked would keep the clients' connections and the journal.
    """

    def __init__(self, assignment: Assignment) -> None:
        ours, self._theirs = socket.socketpair()
        ours.setblocking(False)
        self._ours = ours
        self._assignment = assignment
        self._process: subprocess.Popen[bytes] | None = None
        self.line = SupervisorEnd(ours)
        self.name = f"worker {assignment.number}"
        self.env_name = ""
        """That of the environment, once it is ready."""
        self.takes_connections = False
        self.is_ready = False
        self.failure: errors.EnvportError | None = None
        """What it said of why it cannot serve."""
        self.is_stuck = False
        """It was killed because it did not answer."""
        self._status: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def run(self) -> AsyncGenerator[None]:
        """Starts it; gives something each time that something has changed here, and ends with the process."""
        try:
            process = self._process = await asyncio.to_thread(self._start)
        except OSError as error:
            self.failure = errors.ServeError(f"a worker cannot be started: {error}")
            self._status.set_result(1)
            return
        waiting = threading.Thread(
            target=self._wait, args=(process, asyncio.get_running_loop()), name=f"envport-{process.pid}", daemon=True
        )
        waiting.start()
        self._beating = asyncio.create_task(self._beat())
        self.name = f"worker {self._assignment.number} (process {process.pid})"
        yield
        async for what, details in self.line.news():
            if what is What.LISTENING:
                self.takes_connections = True
            elif what is What.READY:
                self.is_ready, self.env_name = True, details[0]
            elif what is What.LEAVING:
                self.takes_connections = False
                self.stop()  # by itself it might take for ever
            else:
                self.failure = _error(*details)
            yield

    async def ended(self) -> int:
        """Its status, negative for a signal; call it once, after `run` has ended."""
        status = await self._status
        self.stop()
        self._ours.close()
        return status

    def stop(self) -> None:
        """Tells it to finish what runs, and to end."""
        if self._process is not None and self._process.stdin is not None and not self._process.stdin.closed:
            with suppress(OSError):
                self._process.stdin.write(STOP)
            self._process.stdin.close()

    def kill(self) -> None:
        """Ends it at once."""
        if self._process is not None and self._process.returncode is None:
            _kill_group(self._process.pid)

    def _wait(self, process: subprocess.Popen[bytes], loop: asyncio.AbstractEventLoop) -> None:
        # The end of the line would not do: what the environment has forked holds it too.
        status = process.wait()
        _kill_group(process.pid)
        with suppress(RuntimeError):  # the supervisor was broken off
            loop.call_soon_threadsafe(self._gone, status)

    def _gone(self, status: int) -> None:
        self._beating.cancel()
        self._status.set_result(status)
        self.line.end()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            if self.is_ready and self.takes_connections:
                if self.line.unanswered >= MOST_UNANSWERED:
                    self.is_stuck = True
                    self.kill()
                    return
                self.line.ask()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._theirs:
            process = subprocess.Popen(  # noqa: S603 - this Python, and a module of this package
                [sys.executable, *_flags(), "-m", _MODULE, str(self._theirs.fileno())],
                stdin=subprocess.PIPE,
                bufsize=0,
                pass_fds=[self._theirs.fileno()],
                process_group=0,  # Ctrl-C in a terminal is for the supervisor alone
            )
        if process.stdin is not None:
            try:
                self._assignment.write_to(process.stdin)
            except OSError:  # it ended already: its status tells why
                process.stdin.close()
        return process


def _kill_group(number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # nobody is left; the latter is how macOS says so
        os.killpg(number, signal.SIGKILL)


def _flags() -> list[str]:
    # -P: what lies in the current folder is not imported.
    return ["-P", *(["-B"] if sys.dont_write_bytecode else []), *(f"-W{option}" for option in sys.warnoptions)]


def _error(kind: str, text: str) -> errors.EnvportError:
    known = {cls.__name__: cls for cls in (errors.ProjectError, errors.EnvDefinitionError)}
    return known.get(kind, errors.ServeError)(text)
