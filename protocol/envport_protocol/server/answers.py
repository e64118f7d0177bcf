"""What a request is answered, as bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from envport_protocol.errors import BodyTooLargeError, RequestTimeoutError, UnauthorizedError, WireError

if TYPE_CHECKING:
    from starlette.types import Send

Header = tuple[bytes, bytes]

JSON: Header = (b"content-type", b"application/json")
CLOSE: Header = (b"connection", b"close")

WHOLE = "envport.whole_answer"
"""The ASGI extension that is called like `send_answer` and sends an answer in one write."""

_MORE_HEADERS: dict[type[WireError], tuple[Header, ...]] = {
    UnauthorizedError: ((b"www-authenticate", b"Bearer"),),
    RequestTimeoutError: (CLOSE,),
    BodyTooLargeError: (CLOSE,),
}
_COME_AGAIN: tuple[Header, ...] = ((b"retry-after", b"1"),)
"""Seconds: goes with every 503."""


class Answer(NamedTuple):
    """A status with its JSON body, and the headers over those that every answer has."""

    status: int
    body: bytes
    headers: tuple[Header, ...] = ()


def error_answer(error: WireError) -> Answer:
    """The one error body with its status. A 503 says when to come again, a 401 what to come with."""
    more = _COME_AGAIN if error.status == 503 else _MORE_HEADERS.get(type(error), ())
    return Answer(error.status, error.to_body().model_dump_json().encode(), more)


async def send_answer(send: Send, answer: Answer, request_id: bytes) -> None:
    """Sends all of it."""
    length = b"%d" % len(answer.body)
    headers = [JSON, (b"content-length", length), (b"x-request-id", request_id), *answer.headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
