"""Which request the code at hand runs for. The author's own log lines get it too."""

from __future__ import annotations

from contextvars import ContextVar

request_id: ContextVar[str | None] = ContextVar("envport_request_id", default=None)
"""`X-Request-Id` as the client sent it, or one made here; echoed in the answer."""

traceparent: ContextVar[str | None] = ContextVar("envport_traceparent", default=None)
"""The W3C `traceparent` header as the client sent it."""
