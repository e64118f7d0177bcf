"""The line between a supervisor and one worker: the clients' connections go there, news come back.

The supervisor accepts every connection and deals them out in turn. Were the workers to accept from one socket, the
first to wake would take nearly all that come together, and these stay with it for as long as their clients keep them.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import orjson

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_MOST_AT_ONCE = 64
_CONNECTION = b"c"
_HEARTBEAT = b"h"

STOP = b"s"
"""Told by the supervisor through the worker's standard input: finish what runs, and end."""


class What(StrEnum):
    """What a worker has to tell."""

    LISTENING = "listening"
    """It takes connections."""
    READY = "ready"
    """Its environment can be asked; with the environment's name."""
    TOOK = "took"
    """It has taken a connection over."""
    ALIVE = "alive"
    """Its event loop has come to a heartbeat."""
    LEAVING = "leaving"
    """It stops, and takes no connection any more."""
    FAILED = "failed"
    """It cannot serve; with the class of the error and its text."""


class News(NamedTuple):
    """One thing told by a worker."""

    what: What
    details: list[str]


class WorkerEnd:
    """The worker's end; `line` is its socket, blocking and for this process alone."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line

    def fileno(self) -> int:
        """Readable when connections have come, or the supervisor is gone."""
        return self._line.fileno()

    def tell(self, what: What, *details: str) -> None:
        """Tells the supervisor, if there still is one."""
        try:
            self._line.sendall(orjson.dumps([what, [*details]]) + b"\n")
        except OSError:
            return

    def take(self) -> list[socket.socket] | None:
        """The connections that have come; None once no more will."""
        taken: list[socket.socket] = []
        while True:
            try:
                said, descriptors, _, _ = socket.recv_fds(self._line, _MOST_AT_ONCE, _MOST_AT_ONCE, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return taken
            except OSError:
                said, descriptors = b"", []
            if not said:
                return taken or None
            if _HEARTBEAT in said:
                self.tell(What.ALIVE)
            for descriptor in descriptors:
                connection = socket.socket(fileno=descriptor)
                connection.set_inheritable(False)
                taken.append(connection)
                self.tell(What.TOOK)


class SupervisorEnd:
    """The supervisor's end; `line` is its socket, not blocking."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self.untaken = 0
        """Connections that the worker was sent and has not taken over yet: it is busy, or stuck."""
        self.unanswered = 0
        """Heartbeats since the worker has answered one."""

    def deal(self, connection: socket.socket) -> bool:
        """Hands a connection over; False where that cannot be done now. It is to be closed here in any case."""
        try:
            socket.send_fds(self._line, [_CONNECTION], [connection.fileno()])
        except OSError:
            return False
        self.untaken += 1
        return True

    def ask(self) -> None:
        """Sends a heartbeat. One that cannot be sent is not answered."""
        self.unanswered += 1
        with suppress(OSError):
            self._line.send(_HEARTBEAT)

    def end(self) -> None:
        """Ends the news after what has come, whoever else holds the worker's end."""
        with suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)

    async def news(self) -> AsyncIterator[News]:
        """All that the worker tells, until the line has ended."""
        loop = asyncio.get_running_loop()
        rest = b""
        while True:
            try:
                came = await loop.sock_recv(self._line, 65536)
            except ConnectionError:
                came = b""
            if not came:
                return
            *lines, rest = (rest + came).split(b"\n")
            for line in lines:
                what, details = orjson.loads(line)
                news = News(What(what), details)
                if news.what is What.TOOK:
                    self.untaken -= 1
                elif news.what is What.ALIVE:
                    self.unanswered = 0
                else:
                    yield news
