"""Raw bytes to a server, and the answers that come back: for what no HTTP client would send."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from envport_protocol.errors import WireError, error_from_body
from envport_protocol.messages import ErrorBody

if TYPE_CHECKING:
    from io import BufferedReader

DEADLINE_S = 10.0
"""A server that says nothing for so long hangs."""


@dataclass(frozen=True)
class Reply:
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read."""
        return orjson.loads(self.body)

    @property
    def error(self) -> tuple[int, str]:
        """Status and code, after checking that the body is the one error body and nothing else."""
        assert self.headers["content-type"] == "application/json", self
        body = self.json
        assert list(body) == ["error"]
        assert sorted(body["error"]) == ["code", "details", "message", "outcome", "trainable"]
        assert body["error"]["trainable"] is False
        assert body["error"]["message"]
        assert b"Traceback" not in self.body
        known = error_from_body(self.status, ErrorBody.model_validate(body))
        assert type(known) is not WireError, f"the code {body['error']['code']!r} is none of the protocol"
        assert known.status == self.status
        return self.status, body["error"]["code"]


class Wire:
    """One connection to a server."""

    def __init__(self, address: tuple[str, int], deadline_s: float = DEADLINE_S) -> None:
        self._socket = socket.create_connection(address, timeout=deadline_s)
        self._reader = self._socket.makefile("rb")

    def send(self, data: bytes) -> None:
        """Sends the bytes. A server that has hung up already is no failure here: its answer is what counts."""
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return

    def finish(self) -> None:
        """Nothing more will be sent."""
        self._socket.shutdown(socket.SHUT_WR)

    def reply(self, *, is_head: bool = False) -> Reply | None:
        """The next answer; None where the server hung up.

        Raises:
            TimeoutError: it said nothing for the deadline.
        """
        try:
            line = self._reader.readline()
            if not line:
                return None
            headers = _headers(self._reader)
            body = b"" if is_head else _body(self._reader, headers)
        except ConnectionResetError:
            return None
        return Reply(int(line.split(b" ", 2)[1]), headers, body)

    def replies(self) -> list[Reply]:
        """All answers until the server hangs up."""
        return list(iter(self.reply, None))

    def rest(self) -> bytes:
        """All bytes until the server hangs up."""
        return self._reader.read()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        self._socket.close()


def request(method: str, path: str, body: bytes | None = None, **headers: str) -> bytes:
    """The bytes of a request; `content_type="x"` is a header."""
    named = {"Host": "envport.test", **{name.replace("_", "-"): value for name, value in headers.items()}}
    if body is not None:
        named.setdefault("Content-Length", str(len(body)))
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def _headers(reader: BufferedReader) -> dict[str, str]:
    headers: dict[str, str] = {}
    while line := reader.readline().strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    return headers


def _body(reader: BufferedReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding") == "chunked":
        parts: list[bytes] = []
        while size := int(reader.readline(), 16):
            parts.append(reader.read(size))
            reader.readline()
        reader.readline()
        return b"".join(parts)
    return reader.read(int(headers.get("content-length", "0")))
