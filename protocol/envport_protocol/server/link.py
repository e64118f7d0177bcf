"""Messages between two workers: many requests and their answers at a time over one stream.

A frame is the length of its content, the number of the request that it belongs to, what it is, and the content: a first
line, headers, an empty line and a body, as bytes. Beside HTTP this spares the parsers and the connections that wait for
one answer each.
"""

from __future__ import annotations

import asyncio
from enum import IntEnum
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple, cast

if TYPE_CHECKING:
    from envport_protocol.server.answers import Header

_HEAD = Struct(">IIB")
MAX_NUMBER = 2**32 - 1


class Kind(IntEnum):
    """What a frame is."""

    REQUEST = 1
    """Its first line is the path."""
    ANSWER = 2
    """Its first line is the status."""
    CANCEL = 3
    """Nobody waits for the answer any more. Without content."""


class Content(NamedTuple):
    """What a request or an answer holds."""

    first: bytes
    headers: list[Header]
    body: bytes

    def to_bytes(self) -> bytes:
        """As it stands in a frame."""
        lines = [self.first, *(b"%b:%b" % header for header in self.headers)]
        return b"%b\n\n%b" % (b"\n".join(lines), self.body)

    @classmethod
    def from_bytes(cls, content: bytes) -> Content:
        """What `to_bytes` wrote."""
        head, _, body = content.partition(b"\n\n")
        first, *lines = head.split(b"\n")
        return cls(first, [(name, value) for name, _, value in (line.partition(b":") for line in lines)], body)


class Link(asyncio.Protocol):
    """One end of a stream of frames. Subclasses say what to do with those that come."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._came = bytearray()
        self._room = asyncio.Event()
        self._room.set()

    @property
    def is_lost(self) -> bool:
        """Nothing more can be sent."""
        return self._transport is None

    def frame_received(self, kind: Kind, number: int, content: bytes) -> None:
        """Called with each frame, in their order."""
        raise NotImplementedError

    def lost(self) -> None:
        """Called once, when nothing more will come."""
        raise NotImplementedError

    async def send(self, kind: Kind, number: int, content: bytes = b"") -> None:
        """Sends a frame once the other end keeps up. Does nothing where the stream has ended."""
        if not self._room.is_set():
            await self._room.wait()
        self.send_soon(kind, number, content)

    def send_soon(self, kind: Kind, number: int, content: bytes = b"") -> None:
        """Sends a frame, which waits in memory where the other end does not keep up."""
        if self._transport is not None:
            self._transport.write(_HEAD.pack(len(content), number, kind) + content)

    def close(self) -> None:
        """Ends the stream, once what was sent has gone."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._transport = None
        self._room.set()
        self.lost()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._came += data
        begin, frames = 0, list[tuple[Kind, int, bytes]]()
        with memoryview(self._came) as came:
            while len(came) - begin >= _HEAD.size:
                size, number, kind = _HEAD.unpack_from(came, begin)
                end = begin + _HEAD.size + size
                if end > len(came):
                    break
                frames.append((Kind(kind), number, bytes(came[begin + _HEAD.size : end])))
                begin = end
        del self._came[:begin]
        for kind, number, content in frames:
            self.frame_received(kind, number, content)

    def pause_writing(self) -> None:
        """See asyncio.Protocol."""
        self._room.clear()

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self._room.set()
