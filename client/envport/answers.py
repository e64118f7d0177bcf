"""From bytes to a typed answer, or to the error that they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

import orjson
from envport_protocol.errors import error_from_body
from envport_protocol.messages import ErrorBody
from pydantic import BaseModel, ValidationError

from envport.errors import ProtocolError, TransportError
from envport.retry import Retryable, retry_after_s

if TYPE_CHECKING:
    import httpx

AnswerT = TypeVar("AnswerT", bound=BaseModel)

MAX_ANSWER_BYTES = 64 * 2**20

_AWAY = frozenset({429, 502, 503, 504})
"""What a proxy answers in place of a server that is starting, stopping or full."""


class RawAnswer(NamedTuple):
    """An HTTP answer, read to its end."""

    status: int
    headers: httpx.Headers
    content: bytes


async def read(response: httpx.Response, url: str) -> RawAnswer:
    """The whole answer.

    Raises:
        ProtocolError: it is over `MAX_ANSWER_BYTES`.
    """
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            raise ProtocolError(url, f"the answer is over {MAX_ANSWER_BYTES} bytes, the most that this client takes")
    return RawAnswer(response.status_code, response.headers, bytes(content))


def decode(raw: RawAnswer, url: str, answer_type: type[AnswerT]) -> AnswerT:
    """The typed answer.

    Raises:
        WireError: the server's own error.
        ProtocolError: neither an answer nor an error of this protocol.
        Retryable: the server is not ready, is full, or something in front of it does not reach it.
    """
    if raw.status != 200:
        raise _refusal(raw, url)
    try:
        return answer_type.model_validate(orjson.loads(raw.content))
    except orjson.JSONDecodeError as error:
        raise ProtocolError(url, f"answered {_seen(raw)}, expected JSON") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise ProtocolError(url, f"answered no {answer_type.__name__}: at {where}: {first['msg']}") from error


def _refusal(raw: RawAnswer, url: str) -> Exception:
    after_s = retry_after_s(raw.headers.get("retry-after"))
    try:
        error = error_from_body(raw.status, ErrorBody.model_validate(orjson.loads(raw.content)))
    except (ValidationError, orjson.JSONDecodeError):
        if raw.status in _AWAY:
            return Retryable(TransportError(url, f"answered {_seen(raw)}, as if it were away or full"), after_s=after_s)
        return ProtocolError(url, f"answered {_seen(raw)}, which is no answer of this protocol")
    # Only 503: any other error is how the call ended, and a repeat would hear the same from the server's store.
    return Retryable(error, after_s=after_s) if raw.status == 503 else error


def _seen(raw: RawAnswer) -> str:
    kind = raw.headers.get("content-type", "no content type").split(";")[0]
    location = f" to {raw.headers['location'][:200]}" if "location" in raw.headers else ""
    start = " ".join(raw.content[:80].decode(errors="replace").split())
    return f"HTTP {raw.status}{location} ({kind}, {start!r})"
