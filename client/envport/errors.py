"""Failures that only a client sees; those that a server tells are in `envport_protocol.errors`.

EnvportError
├── WireError …                  the server told it: raised here as the class the server raised
├── TransportError               no answer came: refused, unknown host, dropped, too late
└── ProtocolError                an answer came that does not fit the protocol
    ├── NotAnEnvironmentError    the URL answers, but serves no environment
    └── VersionError             an environment of a protocol version that this client does not speak
"""

from __future__ import annotations

from typing import ClassVar

from envport_protocol.errors import EnvportError
from envport_protocol.messages import Outcome


class TransportError(EnvportError):
    """No answer came from `url`, also after the retries. What the server did with the call is not known."""

    outcome: ClassVar[Outcome] = Outcome.INFRA_ERROR

    def __init__(self, url: str, message: str, *, request_id: str | None = None) -> None:
        super().__init__(f"{url}: {message}")
        self.url = url
        self.message = message
        self.request_id = request_id
        """`X-Request-Id` of the last try, by which the server's log may have it; None where it is not known."""


class ProtocolError(EnvportError):
    """`url` answered with something that does not fit the protocol."""

    outcome: ClassVar[Outcome] = Outcome.INFRA_ERROR

    def __init__(self, url: str, message: str) -> None:
        super().__init__(f"{url}: {message}")
        self.url = url
        self.message = message


class NotAnEnvironmentError(ProtocolError):
    """The URL answers, but no environment is served there."""


class VersionError(ProtocolError):
    """The server speaks other versions of the protocol than this client."""
