"""Which request the code at hand runs for. The author's own log lines get it too."""

from __future__ import annotations

import itertools
import re
import secrets
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

request_id: ContextVar[str | None] = ContextVar("envport_request_id", default=None)
"""`X-Request-Id` as the client sent it, or one made here; echoed in the answer."""

traceparent: ContextVar[str | None] = ContextVar("envport_traceparent", default=None)
"""The W3C `traceparent` header as the client sent it."""

_PREFIX = secrets.token_hex(6).encode()
"""Of this process: the ids of two workers, or of two runs, differ by it."""
_numbers = itertools.count(1)
_is_id = re.compile(rb"[!-~]{1,128}").fullmatch
_is_traceparent = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]{0,128})?").fullmatch


def id_of(headers: Mapping[bytes, bytes]) -> bytes:
    """The request's `X-Request-Id`, or a new one where it has none that can be used.

    1 to 128 printable ASCII characters without spaces can be: they are safe in a header and in a log.
    """
    theirs = headers.get(b"x-request-id")
    return theirs if theirs is not None and _is_id(theirs) else b"%b-%d" % (_PREFIX, next(_numbers))


def take_ids(headers: Mapping[bytes, bytes]) -> bytes:
    """The request's id; it and the traceparent are set for what follows."""
    taken = id_of(headers)
    request_id.set(taken.decode())
    parent = headers.get(b"traceparent")
    traceparent.set(parent.decode() if parent is not None and _is_traceparent(parent) else None)
    return taken
