"""Whether a server answers on `/readyz`, and the wait until it does."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 0.5
_PROBE_TIMEOUT_S = 2.0
_SHOWN_BYTES = 300
"""Of an answer's body: it is a stranger's, and may have no end."""


class NotReadyYetError(Exception):
    """The wait ended without a ready server; its text says how it ended."""


def probe(url: str) -> str | None:
    """None when the server at `url` is ready, else what was seen instead."""
    try:
        return asyncio.run(_seen(f"{url}/readyz"))
    except TimeoutError:
        return f"no whole answer within {_PROBE_TIMEOUT_S:g} s"
    except httpx.HTTPError as error:
        return f"{type(error).__name__}: {error}"


async def _seen(url: str) -> str | None:
    """As `probe`. Asynchronous for the deadline: it holds over an answer that comes byte by byte."""
    body = b""
    async with (
        asyncio.timeout(_PROBE_TIMEOUT_S),
        # No proxy: the address is this machine.
        httpx.AsyncClient(trust_env=False, timeout=None) as http,  # noqa: S113 (the deadline is above)
        http.stream("GET", url) as answer,
    ):
        if answer.status_code == 200:
            return None
        async for chunk in answer.aiter_bytes(_SHOWN_BYTES):
            body += chunk
            if len(body) >= _SHOWN_BYTES:
                break
    return f"HTTP {answer.status_code}: {body[:_SHOWN_BYTES].decode(errors='replace')}"


def wait_until_ready(
    url: str, ended: Callable[[], str | None], timeout_s: float, on_progress: Callable[[str], None]
) -> None:
    """Returns once the server is ready. `ended` tells how the server ended, or None while it runs.

    Raises:
        NotReadyYetError: the server ended, or `timeout_s` passed.
    """
    begin = time.monotonic()
    pause_s = _FIRST_PAUSE_S
    while True:
        how = ended()
        if how is not None:
            raise NotReadyYetError(f"the server {how} before it was ready")
        seen = probe(url)
        # Only a server of ours counts: when ours ended, another one answers on that port.
        if seen is None and ended() is None:
            return
        waited_s = time.monotonic() - begin
        if waited_s >= timeout_s:
            raise NotReadyYetError(f"the server was not ready within {timeout_s:g} s, the last answer was {seen}")
        on_progress(f"waiting for {url}/readyz, {waited_s:.0f} s")
        time.sleep(min(pause_s, timeout_s - waited_s))
        pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)
