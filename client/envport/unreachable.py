"""Why no answer came, in words that say what to check."""

from __future__ import annotations

import socket
import ssl
from enum import Enum, auto
from urllib.parse import urlsplit

from envport.errors import TransportError
from envport.retry import Retryable


class Stage(Enum):
    """How far a request came."""

    CONNECT = auto()
    CONNECT_TIMEOUT = auto()
    EXCHANGE = auto()
    """It was sent, at least in part."""


def why_unreachable(error: Exception, url: str, stage: Stage, request_id: str) -> Exception:
    """What to raise for `error`: Retryable, or TransportError where another try cannot end otherwise."""
    text, is_absent = _told(error, url, stage)
    told = TransportError(url, text, request_id=request_id)
    if any(isinstance(cause, ssl.SSLError) for cause in _causes(error)):
        return told
    return Retryable(told, is_absent=is_absent)


def too_late(url: str, deadline_s: float | None, request_id: str) -> Retryable:
    """The failure of a call whose answer did not come in time."""
    return Retryable(TransportError(url, f"no answer within {deadline_s or 0.0:g} s", request_id=request_id))


def _told(error: Exception, url: str, stage: Stage) -> tuple[str, bool]:
    """What is said, and whether no server was found at all."""
    causes = _causes(error)
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return f"the host name {urlsplit(url).hostname!r} is not known; check the URL", True
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return "connection refused: nothing listens there; check host and port, and that the server runs", True
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return f"no TLS connection ({error}); check http or https, and the certificate", True
    if stage is Stage.CONNECT_TIMEOUT:
        return "no connection in time; check host and port, and that nothing in between blocks it", True
    if stage is Stage.CONNECT:
        return f"no connection ({error}); check host and port, and that the server runs", True
    return f"the connection dropped before the answer came ({error})", False


def _causes(error: BaseException) -> list[BaseException]:
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and len(causes) < 10:
        causes.append(cause)
        cause = cause.__cause__
    return causes
