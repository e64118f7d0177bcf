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


def why_unreachable(error: Exception, url: str, stage: Stage) -> Exception:
    """What to raise for `error`: Retryable, or TransportError where another try cannot end otherwise."""
    causes = _causes(error)
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return _absent(url, f"the host name {urlsplit(url).hostname!r} is not known; check the URL")
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return _absent(url, "connection refused: nothing listens there; check host and port, and that the server runs")
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return TransportError(url, f"no TLS connection ({error}); check http or https, and the certificate")
    if stage is Stage.CONNECT_TIMEOUT:
        return _absent(url, "no connection in time; check host and port, and that nothing in between blocks it")
    if stage is Stage.CONNECT:
        return _absent(url, f"no connection ({error}); check host and port, and that the server runs")
    return Retryable(TransportError(url, f"the connection dropped before the answer came ({error})"))


def too_late(url: str, deadline_s: float | None) -> Retryable:
    """The failure of a call whose answer did not come in time."""
    return Retryable(TransportError(url, f"no answer within {deadline_s or 0.0:g} s"))


def _absent(url: str, text: str) -> Retryable:
    return Retryable(TransportError(url, text), is_absent=True)


def _causes(error: BaseException) -> list[BaseException]:
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and len(causes) < 10:
        causes.append(cause)
        cause = cause.__cause__
    return causes
