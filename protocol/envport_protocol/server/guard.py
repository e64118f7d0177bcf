"""HTTP as this server takes it: bounded in bytes and in time, and refused by the one error body.

A connection of uvicorn's, except: the URL and the headers of a request may have `max_header_bytes` together, and must
have come after `timeout_s`; then so must its body. So a client that sends one byte a second holds a connection for that
long and no longer. One that does not read what it is answered loses its connection after as long, too. What is not HTTP
is answered 400 in JSON, as everything here is.

Not covered: how many connections there are, which the operating system limits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from envport_protocol.errors import BadRequestError, HeadersTooLargeError, RequestTimeoutError, WireError
from envport_protocol.server.answers import CLOSE, JSON, WHOLE, Answer, Header, error_answer, send_answer
from envport_protocol.server.reading import too_large
from envport_protocol.server.request_ids import id_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from starlette.types import Send

    from envport_protocol.config import ServeConfig

_OVERHEAD = 8
"""Bytes on the wire for one byte of a body: in chunks of one byte it takes six."""
_REQUEST_LINE = 64
"""Bytes of a request line without its URL, and of empty lines before it, at most."""
_LEAST_READ = 2**15
"""Bytes that a client with more to read reads in `timeout_s`; one that does not holds what is kept for it for ever."""
_LINGER_S = 2.0
"""How long a refused client may go on sending: closed at once, the connection could be reset before it read why."""


class GuardedProtocol(HttpToolsProtocol):
    """One connection. A server has a subclass of its own with its limits, see `guarded_by`."""

    max_header_bytes: int
    max_body_bytes: int
    timeout_s: float
    parser: Any
    """Let go of when the connection is lost."""

    _chunk = 0
    """Bytes that came last, at once."""
    _begun = 0
    """Requests that began in those."""
    _first_chunk = 0
    """Bytes among which this request began."""
    _came = 0
    """Bytes of this request; without those of its first chunk, where other requests are in that, too."""
    _in_body = False
    _is_half = False
    """A request has begun to come, and is not all here."""
    _refusal: WireError | None = None
    _is_over = False
    """Whatever comes is thrown away: the client was told that the connection ends."""
    _deadline: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None
    """By then the client must have read on. Set while it has more to read than it took."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection by which nothing comes is closed, too."""
        super().connection_made(transport)
        self._deadline = self.loop.call_later(self.timeout_s, self._too_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._drop_deadline()
        self._drop_reading()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Reads on, as far as the limits go."""
        if self._is_over:
            return
        self._unset_keepalive_if_required()
        was_half, self._chunk, self._begun = self._is_half, len(data), 0
        self._came += self._chunk
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.cycle.keep_alive = False  # answered as if it had not asked for another protocol
        except httptools.HttpParserError as error:
            self._refuse(self._refusal or BadRequestError(f"what came is not HTTP/1.1 ({error}); send a request"))
            return
        if not self._is_half:
            self._drop_deadline()
            return
        if self._begun:
            self._came = self._chunk if self._begun == 1 and not was_half else 0
        if self._came > self.max_header_bytes:
            self._check_size()
        if self._deadline is None and not self._is_over:
            self._deadline = self.loop.call_later(self.timeout_s, self._too_late)

    def pause_writing(self) -> None:
        """The client is to read on before more is written."""
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        """It did."""
        self._drop_reading()
        super().resume_writing()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._is_half = True
        self._begun += 1
        self._first_chunk = self._chunk
        self._came = 0

    def on_headers_complete(self) -> None:
        """Hands the request to the app."""
        if self._first_chunk + self._came > self.max_header_bytes:
            size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if size > self.max_header_bytes:
                raise self._refused(self._headers_too_large())
        if self.parser.should_upgrade() and self.parser.get_method() not in (b"GET", b"HEAD"):
            raise self._refused(
                BadRequestError("the request asks for another protocol by `Upgrade`; this server speaks HTTP/1.1 alone")
            )
        is_old = self.parser.get_http_version() == "1.0"
        hosts = [value for name, value in self.headers if name == b"host"]
        if len(hosts) > 1 or not (hosts or is_old):
            raise self._refused(BadRequestError(f"the request has {len(hosts)} Host headers; HTTP/1.1 expects one"))
        self._in_body = True
        self._drop_deadline()
        super().on_headers_complete()
        if is_old:
            self.cycle.__class__ = _OldCycle
        self.headers = _NoMore()
        self.scope["extensions"] = _EXTENSIONS

    def on_message_complete(self) -> None:
        """The request is all here."""
        self._is_half = self._in_body = False
        super().on_message_complete()

    def _check_size(self) -> None:
        if not self._in_body:
            separators = _REQUEST_LINE + 4 * (len(self.headers) + 1)
            if self._came > self.max_header_bytes + separators:
                self._refuse(self._headers_too_large())
        elif self._came > self.max_header_bytes + _OVERHEAD * self.max_body_bytes:
            self._refuse(too_large(self.max_body_bytes))

    def _headers_too_large(self) -> HeadersTooLargeError:
        return HeadersTooLargeError(
            f"the URL and the headers of the request have more than {self.max_header_bytes} bytes; send less",
            details={"max_header_bytes": self.max_header_bytes},
        )

    def _refused(self, error: WireError) -> WireError:
        # The parser gives an error of its own for whatever its callbacks raise.
        self._refusal = error
        return error

    def _drop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expect_reading(self) -> None:
        self._reading = self.loop.call_later(self.timeout_s, self._unread, self.transport.get_write_buffer_size())

    def _drop_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _unread(self, before: int) -> None:
        if self.transport.get_write_buffer_size() > before - _LEAST_READ:
            self.transport.abort()
        else:
            self._expect_reading()

    def _too_late(self) -> None:
        self._deadline = None
        if self.flow.read_paused:  # it is not the client that is slow
            self._deadline = self.loop.call_later(self.timeout_s, self._too_late)
        elif self._is_half:
            part = "the body" if self._in_body else "the URL and the headers"
            self._refuse(
                RequestTimeoutError(
                    f"{part} of the request did not come whole within {self.timeout_s:g} s; send it again"
                )
            )
        else:
            self.transport.close()

    def _refuse(self, error: WireError) -> None:
        """Answers with this error, if it is this request's turn and it has no answer yet; then ends the connection."""
        self._is_over = True
        self._drop_deadline()
        if self.transport.is_closing():
            return
        cycle = self.cycle
        if self._in_body:
            is_due = not self.pipeline and not cycle.response_started
            cycle.disconnected = True
            cycle.message_event.set()
        else:
            is_due = not cycle or cycle.response_complete
        if not is_due:
            self.transport.close()
            return
        self.transport.write(self._refusal_bytes(error))
        self.linger()

    def linger(self) -> None:
        """Ends the connection, when the client has done so or has had the time to read why."""
        self._is_over = True
        self._drop_deadline()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._deadline = self.loop.call_later(_LINGER_S, self.transport.close)

    def _refusal_bytes(self, error: WireError) -> bytes:
        answer = error_answer(error)
        request_id = id_of(dict(self.scope["headers"] if self.scope else ()))
        headers = [*self.server_state.default_headers, JSON, (b"x-request-id", request_id), CLOSE]
        return _written(answer, headers, answer.body)


class _OldCycle(RequestResponseCycle):
    """A request of HTTP/1.0, which has no chunks: the end of the connection is the end of a body of unknown length."""

    async def send(self, message: Any) -> None:
        """Sends a part of the answer."""
        if message["type"] == "http.response.start":
            self._is_endless = not any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
            self.chunked_encoding = False if self._is_endless else None
        elif self._is_endless:
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)


class _NoMore(list[tuple[bytes, bytes]]):
    """Headers that come after the body are left out."""

    def append(self, _: tuple[bytes, bytes]) -> None:
        pass


async def _send_whole(send: Send, answer: Answer, request_id: bytes) -> None:
    """Sends an answer as `send_answer` does, in one write: the two messages of ASGI make two, and so two packets."""
    cycle: Any = getattr(send, "__self__", None)
    if type(cycle) is not RequestResponseCycle:  # `send` was wrapped on its way
        await send_answer(send, answer, request_id)
        return
    if cycle.flow.write_paused and not cycle.disconnected:
        await cycle.flow.drain()
    if cycle.disconnected:
        return
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    headers = [*cycle.default_headers, JSON, *answer.headers, (b"x-request-id", request_id)]
    if CLOSE in answer.headers:
        cycle.keep_alive = False
    elif not cycle.keep_alive:
        headers.append(CLOSE)
    body = b"" if cycle.scope["method"] == "HEAD" else answer.body
    cycle.transport.write(_written(answer, headers, body))
    cycle.message_event.set()
    if not cycle.keep_alive:
        connection = cycle.transport.get_protocol() if CLOSE in answer.headers else None
        if isinstance(connection, GuardedProtocol):
            connection.linger()
        else:
            cycle.transport.close()
    cycle.on_response()


_EXTENSIONS: dict[str, Any] = {WHOLE: _send_whole}


def _written(answer: Answer, headers: Iterable[Header], body: bytes) -> bytes:
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    return b"%b%bcontent-length: %d\r\n\r\n%b" % (STATUS_LINE[answer.status], lines, len(answer.body), body)


def guarded_by(config: ServeConfig) -> type[GuardedProtocol]:
    """The connections of a server with these limits."""
    limits: dict[str, Any] = {
        "max_header_bytes": config.max_header_bytes,
        "max_body_bytes": config.max_body_bytes,
        "timeout_s": config.request_timeout_s,
    }
    return type("GuardedProtocol", (GuardedProtocol,), limits)
