"""A worker as its supervisor sees it."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from envport_protocol import errors
from envport_protocol.server.channel import STOP, SupervisorEnd, What

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from envport_protocol.server.assignment import Assignment

_MODULE = "envport_protocol.server.worker"


class WorkerProcess:
    """One process; a worker that is started again is another one."""

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

    async def run(self) -> AsyncGenerator[None]:
        """Starts it; gives something each time that something has changed here, and ends with the process."""
        try:
            process = self._process = await asyncio.to_thread(self._start)
        except OSError as error:
            self.failure = errors.ServeError(f"a worker cannot be started: {error}")
            return
        self.name = f"worker {self._assignment.number} (process {process.pid})"
        yield
        async for what, details in self.line.news():
            if what is What.LISTENING:
                self.takes_connections = True
            elif what is What.READY:
                self.is_ready, self.env_name = True, details[0]
            elif what is What.LEAVING:
                self.takes_connections = False
            else:
                self.failure = _error(*details)
            yield

    async def ended(self) -> int:
        """Its status, negative for a signal; call it once, after `run` has ended."""
        status = 1 if self._process is None else await asyncio.to_thread(self._process.wait)
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
        if self._process is not None:
            self._process.kill()

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


def _flags() -> list[str]:
    # -P: what lies in the current folder is not imported.
    return ["-P", *(["-B"] if sys.dont_write_bytecode else []), *(f"-W{option}" for option in sys.warnoptions)]


def _error(kind: str, text: str) -> errors.EnvportError:
    known = {cls.__name__: cls for cls in (errors.ProjectError, errors.EnvDefinitionError)}
    return known.get(kind, errors.ServeError)(text)
