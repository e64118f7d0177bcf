"""The HTTP client to the servers: httpx's interface over aiohttp's connections.

httpx's own connection pool costs several times the CPU of a call and slows down as calls run at once; aiohttp's does
not, and a training step holds hundreds of calls. Proxies and `.netrc` are never read from the surroundings: an
environment mostly stands on this machine or beside it. Who needs them gives `connect` an `httpx.AsyncClient`.
"""

from __future__ import annotations

import ssl
from functools import cache

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

MAX_CONNECTIONS = 1024
"""As many calls can be under way at once to one environment; more wait for a free connection."""

KEEP_ALIVE_S = 15.0
"""An idle connection is closed here before `envport serve` would (75 s), so that no call meets one that is closing."""

CONNECT_TIMEOUT_S = 10.0


def open_http() -> httpx.AsyncClient:
    """A new client for one event loop; the caller closes it. Deadlines are the caller's, but for that of connecting."""
    return httpx.AsyncClient(
        transport=_Transport(verify=_tls(), client=_session),
        timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT_S),
        trust_env=False,
        follow_redirects=False,
    )


class _Transport(AiohttpTransport):
    """httpx-aiohttp's transport, with every failure of aiohttp as the httpx error that it is."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await super().handle_async_request(request)
        except httpx.TimeoutException as error:
            # The library calls all lost connections timeouts: aiohttp's own class, the cause, tells them apart.
            cause = error.__cause__
            if isinstance(cause, aiohttp.ClientConnectorError):
                raise httpx.ConnectError(str(cause), request=request) from cause
            if isinstance(cause, aiohttp.ServerTimeoutError):
                raise
            raise httpx.ReadError(str(cause), request=request) from cause
        except aiohttp.ClientError as error:
            raise httpx.RemoteProtocolError(str(error), request=request) from error


def _session() -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=MAX_CONNECTIONS, keepalive_timeout=KEEP_ALIVE_S, ssl=_tls())
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()
