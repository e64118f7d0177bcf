"""From what came to a typed answer, or to the error that it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import orjson
from envport_protocol.errors import error_from_body
from envport_protocol.messages import ErrorBody
from pydantic import BaseModel, ValidationError

from envport.errors import ProtocolError, TransportError
from envport.http import RawAnswer
from envport.retry import Retryable, retry_after_s

if TYPE_CHECKING:
    from collections.abc import Mapping

AnswerT = TypeVar("AnswerT", bound=BaseModel)

REQUEST_ID = "X-Request-Id"

_AWAY = frozenset({429, 502, 503, 504})
"""What a proxy answers in place of a server that is starting, stopping or full."""


class LineAnswer(NamedTuple):
    """The answer of one call of a batch: `headers` are those of the batch, `body` is read already."""

    status: int
    headers: Mapping[str, str]
    body: Any


def decode(answer: RawAnswer | LineAnswer, url: str, answer_type: type[AnswerT]) -> AnswerT:
    """The typed answer.

    Raises:
        WireError: the server's own error.
        ProtocolError: neither an answer nor an error of this protocol.
        Retryable: the server is not ready, is full, or something in front of it does not reach it.
    """
    if answer.status != 200:
        raise _refusal(answer, url)
    try:
        # Not pydantic's own reader of JSON: it takes NaN, and is no faster.
        return answer_type.model_validate(_fields(answer))
    except orjson.JSONDecodeError as error:
        raise ProtocolError(url, f"answered {_seen(answer)}, expected JSON") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise ProtocolError(url, f"answered no {answer_type.__name__}: at {where}: {first['msg']}") from error


def _refusal(answer: RawAnswer | LineAnswer, url: str) -> Exception:
    after_s = retry_after_s(answer.headers.get("Retry-After"))
    request_id = answer.headers.get(REQUEST_ID)
    try:
        error = error_from_body(answer.status, ErrorBody.model_validate(_fields(answer)))
    except (ValidationError, orjson.JSONDecodeError):
        if answer.status in _AWAY:
            away = TransportError(url, f"answered {_seen(answer)}, as if it were away or full", request_id=request_id)
            return Retryable(away, after_s=after_s)
        return ProtocolError(url, f"answered {_seen(answer)}, which is no answer of this protocol")
    error.request_id = request_id
    # Only 503: any other error is how the call ended, and a repeat would hear the same from the server's store.
    return Retryable(error, after_s=after_s) if answer.status == 503 else error


def _fields(answer: RawAnswer | LineAnswer) -> Any:
    return orjson.loads(answer.content) if isinstance(answer, RawAnswer) else answer.body


def _seen(answer: RawAnswer | LineAnswer) -> str:
    kind = answer.headers.get("Content-Type", "no content type").split(";")[0]
    location = f" to {answer.headers['Location'][:200]}" if "Location" in answer.headers else ""
    content = answer.content if isinstance(answer, RawAnswer) else orjson.dumps(answer.body)
    start = " ".join(content[:80].decode(errors="replace").split())
    return f"HTTP {answer.status}{location} ({kind}, {start!r})"
