"""Bytes to a server's socket and the answer from it, for what no HTTP client would send."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from envport.check.definition import BrokenError
from envport.check.wire import Reply

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from envport.check.wire import Wire

_MAX_HEAD_BYTES = 2**16


def request_bytes(
    wire: Wire, method: str, path: str, body: Any = None, headers: Mapping[str, str | None] | None = None
) -> bytes:
    """A whole HTTP/1.1 request with `body`, bytes or a value to be written as JSON.

    It has the wire's token and the body's length; `headers` go over those, and one that is None is left out.
    """
    place = urlsplit(wire.url)
    content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
    token = f"Bearer {wire.token}" if wire.token else None
    given = {"Host": place.netloc, "Content-Length": str(len(content)), "Content-Type": "application/json"}
    named = {**given, "Authorization": token, **(headers or {})}
    lines = [
        f"{method} {place.path}{path} HTTP/1.1",
        *(f"{name}: {value}" for name, value in named.items() if value is not None),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + content


@asynccontextmanager
async def connection(wire: Wire) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to the server, closed at once at the end.

    Raises:
        BrokenError: there is none to be had.
    """
    place = urlsplit(wire.url)
    secure = ssl.create_default_context() if place.scheme == "https" else None
    port = place.port or (443 if secure else 80)
    try:
        async with asyncio.timeout(wire.timeout_s):
            reader, writer = await asyncio.open_connection(place.hostname, port, ssl=secure, limit=_MAX_HEAD_BYTES)
    except (OSError, TimeoutError) as error:
        raise BrokenError(f"no connection to {wire.url}: {error or type(error).__name__}") from error
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def send_and_leave(wire: Wire, content: bytes) -> None:
    """Sends these bytes and closes the connection without reading an answer.

    Raises:
        BrokenError: there is no connection to be had.
    """
    async with connection(wire) as (_, writer):
        writer.write(content)
        with suppress(OSError):
            await writer.drain()
            writer.close()
            await writer.wait_closed()


async def exchange(wire: Wire, what: str, content: bytes, *, timeout_s: float | None = None) -> Reply:
    """The answer to these bytes, sent over a connection of their own; `what` names them in messages.

    Raises:
        BrokenError: no whole HTTP answer came within `timeout_s`, by default that of the wire.
    """
    begun = time.monotonic()
    limit_s = timeout_s or wire.timeout_s
    async with connection(wire) as (reader, writer):
        try:
            async with asyncio.timeout(limit_s):
                writer.write(content)
                status, headers = await _head(reader)
                body = await _body(reader, headers)
        except TimeoutError as error:
            raise BrokenError(f"{what}: no whole answer within {limit_s:g} s") from error
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
            raise BrokenError(
                f"{what}: the connection ended without a whole HTTP answer ({type(error).__name__})"
            ) from error
    reply = Reply(what, status, headers, body, time.monotonic() - begun)
    wire.archive.keep(reply)
    return reply


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        if name:
            headers[name.strip().lower()] = value.strip()
    return int(lines[0].split()[1]), headers


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if "chunked" in headers.get("transfer-encoding", ""):
        chunks: list[bytes] = []
        while size := int((await reader.readline()).split(b";")[0], 16):
            chunks.append((await reader.readexactly(size + 2))[:-2])
        return b"".join(chunks)
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"]))
    return await reader.read()
