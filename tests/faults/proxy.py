"""A proxy between a client and a real server that hits requests and answers on purpose, by a seed.

It reads HTTP/1.1 only as far as it must to know where a request or an answer ends, and forwards the bytes as they came.
At most one fault for each request; `faults` counts them by their point and `verbs` by point and path.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections import Counter
from contextlib import asynccontextmanager, suppress
from enum import StrEnum
from random import Random
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

_HEAD_END = b"\r\n\r\n"
_LIMIT = 2**20
_RESET_NOT_CLOSE = struct.pack("ii", 1, 0)


class Fault(StrEnum):
    """What is done to a request or to its answer."""

    BEFORE_REQUEST = "cut before the request was sent"
    IN_REQUEST = "cut in the request"
    UNHEARD = "cut once the request was sent"
    ANSWER_LOST = "cut when the answer began"
    IN_ANSWER = "cut in the answer, at any byte"
    BETWEEN_LINES = "cut between two parts of a streamed answer"
    HELD = "cut, and the request sent later all the same"
    DOUBLED = "sent on two connections at once"
    REPEATED = "sent again later, out of order"
    OVERTAKEN = "held back until others went by"
    DELAYED = "late on the way in or out"


class _Cut(Exception):
    """The client's connection ends here."""


class _Upstream(NamedTuple):
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class FaultProxy:
    """Forwards to the server at `port` of 127.0.0.1. Each request is hit with the probability `fault_rate`.

    Several threads of requests share one random generator, so a seed fixes the mix of faults, not their exact order.
    """

    def __init__(self, port: int, *, fault_rate: float, seed: int, faults: tuple[Fault, ...] = tuple(Fault)) -> None:
        self.faults: Counter[Fault] = Counter()
        self.verbs: Counter[tuple[Fault, str]] = Counter()
        self.requests = 0
        self.late_statuses: Counter[int] = Counter()
        """What requests were answered whose client heard nothing of it: those held, doubled or repeated."""
        self.url = ""
        self._port = port
        self._fault_rate = fault_rate
        self._kinds = faults
        self._random = Random(seed)
        self._late: list[tuple[int, bytes]] = []
        self._late_tasks: set[asyncio.Task[None]] = set()
        self._passed = asyncio.Condition()
        self._connections: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[FaultProxy]:
        """The proxy, listening at `url`."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=_LIMIT, backlog=2048)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for task in [*self._connections, *self._late_tasks]:
                task.cancel()
            await asyncio.gather(*self._connections, *self._late_tasks, return_exceptions=True)

    async def send_what_is_late(self) -> None:
        """Sends every request that is still held or to be repeated, and returns when all were answered."""
        late, self._late = self._late, []
        self._random.shuffle(late)
        for _, request in late:
            self._send_apart(request)
        while self._late_tasks:
            await asyncio.gather(*self._late_tasks)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        upstream: _Upstream | None = None
        try:
            while (request := await _request(reader)) is not None:
                upstream = upstream or await self._open()
                await self._forward(request, writer, upstream)
        except (_Cut, OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            for one in (writer, upstream.writer if upstream else None):
                if one is not None:
                    self._hang_up(one)

    async def _forward(self, request: bytes, writer: asyncio.StreamWriter, upstream: _Upstream) -> None:
        self.requests += 1
        self._release_late()
        fault = self._draw(request)
        await self._before(fault, request, upstream)
        upstream.writer.write(request)
        await upstream.writer.drain()
        await self._went_by()
        if fault is Fault.UNHEARD:
            raise _Cut
        pieces = _answer(upstream.reader)
        if fault is Fault.DELAYED:
            await self._dawdle()
        async for piece in self._spoilt(pieces, fault):
            writer.write(piece)
            await writer.drain()
        if fault in (Fault.IN_ANSWER, Fault.BETWEEN_LINES):
            raise _Cut

    def _draw(self, request: bytes) -> Fault | None:
        if self._random.random() >= self._fault_rate:
            return None
        fault = self._random.choice(self._kinds)
        self.faults[fault] += 1
        self.verbs[fault, request.split(b" ", 2)[1].decode()] += 1
        return fault

    async def _before(self, fault: Fault | None, request: bytes, upstream: _Upstream) -> None:
        match fault:
            case Fault.BEFORE_REQUEST:
                raise _Cut
            case Fault.IN_REQUEST:
                upstream.writer.write(request[: self._random.randrange(1, len(request))])
                await upstream.writer.drain()
                raise _Cut
            case Fault.HELD:
                self._late.append((self.requests + self._random.randrange(1, 200), request))
                raise _Cut
            case Fault.DOUBLED:
                self._send_apart(request)
            case Fault.REPEATED:
                self._late.append((self.requests + self._random.randrange(1, 400), request))
            case Fault.OVERTAKEN:
                await self._let_others_by()
            case Fault.DELAYED:
                await self._dawdle()
            case _:
                pass

    async def _spoilt(self, pieces: AsyncGenerator[bytes], fault: Fault | None) -> AsyncGenerator[bytes]:
        if fault is Fault.ANSWER_LOST:
            await anext(pieces)
            raise _Cut
        if fault not in (Fault.IN_ANSWER, Fault.BETWEEN_LINES):
            async for piece in pieces:
                yield piece
            return
        # The last byte never goes through: an answer that is whole was not cut.
        held, whole = b"", self._random.randrange(8)
        async for piece in pieces:
            if held:
                yield held
            held = piece
            if not whole:
                break
            whole -= 1
        if fault is Fault.IN_ANSWER:
            yield held[: self._random.randrange(len(held))]

    async def _dawdle(self) -> None:
        await asyncio.sleep(self._random.uniform(0.0, 0.05))

    async def _let_others_by(self) -> None:
        until = self.requests + self._random.randrange(1, 5)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.1), self._passed:
                await self._passed.wait_for(lambda: self.requests >= until)

    async def _went_by(self) -> None:
        async with self._passed:
            self._passed.notify_all()

    def _release_late(self) -> None:
        if self._late:
            due = [request for at, request in self._late if at <= self.requests]
            self._late = [one for one in self._late if one[0] > self.requests]
            for request in due:
                self._send_apart(request)

    def _send_apart(self, request: bytes) -> None:
        task = asyncio.create_task(self._unheard(request))
        self._late_tasks.add(task)
        task.add_done_callback(self._late_tasks.discard)

    async def _unheard(self, request: bytes) -> None:
        upstream = await self._open()
        try:
            upstream.writer.write(request)
            pieces = [piece async for piece in _answer(upstream.reader)]
            self.late_statuses[int(pieces[0].split(b" ", 2)[1])] += 1
        finally:
            upstream.writer.close()

    async def _open(self) -> _Upstream:
        return _Upstream(*await asyncio.open_connection("127.0.0.1", self._port, limit=_LIMIT))

    def _hang_up(self, writer: asyncio.StreamWriter) -> None:
        """Half of the connections end by a FIN, half by a reset, which may overtake what was sent before."""
        if self._random.random() < 0.5:
            sock = writer.get_extra_info("socket")
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_NOT_CLOSE)
            writer.transport.abort()
        else:
            writer.close()


async def _request(reader: asyncio.StreamReader) -> bytes | None:
    """One whole request; None where the connection ended before another."""
    try:
        head = await reader.readuntil(_HEAD_END)
    except asyncio.IncompleteReadError:
        return None
    return head + await reader.readexactly(_length(head) or 0)


async def _answer(reader: asyncio.StreamReader) -> AsyncGenerator[bytes]:
    """One whole answer: its head, then its body as one piece, or each chunk of it with its framing."""
    head = await reader.readuntil(_HEAD_END)
    yield head
    length = _length(head)
    if length is not None:
        if length:
            yield await reader.readexactly(length)
        return
    size = -1
    while size:
        line = await reader.readuntil(b"\r\n")
        size = int(line, 16)
        yield line + await reader.readexactly(size + 2)


def _length(head: bytes) -> int | None:
    found = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return None if found is None else int(found[1])
