"""HTTP by a client that the caller brings, with its proxies, certificates or a server played in a test."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx

from envport.errors import ProtocolError
from envport.http import Content, RawAnswer
from envport.unreachable import Stage, too_late, why_unreachable

if TYPE_CHECKING:
    from collections.abc import Callable


class OverHttpx:
    """The caller's client, which stays open. Of its timeouts that of connecting counts, and no other."""

    def __init__(self, client: httpx.AsyncClient, token: str | None = None) -> None:
        self._client = client
        self._timeout = httpx.Timeout(None, connect=client.timeout.connect)
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    async def send(
        self,
        method: str,
        url: str,
        body: bytes | None,
        request_id: str,
        *,
        deadline_s: float | None = None,
        on_chunk: Callable[[bytes], None] | None = None,
    ) -> RawAnswer:
        """As `Http.send` says."""
        headers = {**self._headers, "X-Request-Id": request_id}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            async with (
                asyncio.timeout(deadline_s),
                self._client.stream(
                    method, url, content=body, headers=headers, follow_redirects=False, timeout=self._timeout
                ) as answer,
            ):
                content = Content(url)
                take = on_chunk if on_chunk is not None and answer.status_code == 200 else content.add
                async for chunk in answer.aiter_bytes():
                    take(chunk)
                return RawAnswer(answer.status_code, answer.headers, content.take())
        except TimeoutError as error:
            raise too_late(url, deadline_s, request_id) from error
        except httpx.DecodingError as error:
            raise ProtocolError(url, f"its answer cannot be decompressed: {error}") from error
        except httpx.TransportError as error:
            raise why_unreachable(error, url, _stage(error), request_id) from error

    async def close(self) -> None:
        """Does nothing: who brought the client closes it."""


def _stage(error: httpx.TransportError) -> Stage:
    if isinstance(error, httpx.ConnectTimeout):
        return Stage.CONNECT_TIMEOUT
    return Stage.CONNECT if isinstance(error, httpx.ConnectError) else Stage.EXCHANGE
