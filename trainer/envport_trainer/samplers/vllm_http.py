"""HTTP to a vLLM server from a thread of its own: retries, deadlines, and a look at whether the server still lives.

A sample may rightly take minutes, so no silence on its connection tells that the server is dead; `/health` is asked
beside it. Where a server is gone, those who wait hear of it within seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import httpx
from envport.bearer import checked_token
from envport.handshake import without_secrets

from envport_trainer.errors import SamplerError
from envport_trainer.url_secrets import keep_out_of_logs

if TYPE_CHECKING:
    import concurrent.futures
    from collections.abc import Coroutine

T = TypeVar("T")

CONNECT_TIMEOUT_S = 5.0
HEALTH_EVERY_S = 2.0
"""Between two looks; one look serves all requests."""
HEALTH_TIMEOUT_S = 5.0
UNHEALTHY_LOOKS = 3
"""In a row, after which the server is given up: 6 s where it refuses, 21 s where it is silent."""
TRIES = 6
"""Of a request that met no server or an error of it, 6 s in all."""
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 2.0
_MAX_CONNECTIONS = 1024
_KEEP_ALIVE_S = 3.0
"""Less than the 5 s after which vLLM's web server drops an idle connection."""
_SHOWN_CHARACTERS = 300
_TOO_MANY_REQUESTS = 429


class VllmHttp:
    """The server at `url`; `token` is its API key. Close it.

    Raises:
        SamplerError: `url` is no URL of a server, or has a query or a fragment.
    """

    def __init__(self, url: str, *, token: str | None = None) -> None:
        address = _address(url)
        self.url = str(address.copy_with(username=None, password=None))
        keep_out_of_logs()
        self._client = httpx.AsyncClient(
            base_url=address,
            headers={"Authorization": f"Bearer {checked_token(token)}"} if token else {},
            timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT_S),
            limits=httpx.Limits(max_connections=_MAX_CONNECTIONS, keepalive_expiry=_KEEP_ALIVE_S),
            trust_env=False,
        )
        self._closed = False
        self._bad_looks, self._bad_look, self._next_look = 0, "", 0.0
        self._looking = asyncio.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="vllm-http", daemon=True)
        self._thread.start()

    async def here(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, awaited from another event loop; cancelling this cancels `work`.

        Raises:
            SamplerError: the sampler was closed.
        """
        return await asyncio.wrap_future(self.start(work))

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, waited for by any thread but this one's own; `work` has its own deadline.

        Raises:
            SamplerError: the sampler was closed.
        """
        return self.start(work).result()

    async def ask(
        self, method: str, path: str, body: Any = None, *, timeout_s: float, repeat_errors: bool = True
    ) -> httpx.Response:
        """The server's answer, of a status below 500. To be awaited in the thread of this object alone.

        `repeat_errors`: ask again where the server answered with an error of its own.

        Raises:
            SamplerError: no such answer within `timeout_s`, or the server is gone.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return await self._ask(method, path, body, repeat_errors)
        except TimeoutError as error:
            raise SamplerError(
                f"the vLLM server at {self.url} lives but gave no answer to {path} within {timeout_s:.0f} s; "
                "look at its log and its load"
            ) from error

    def close(self) -> None:
        """End what is under way, with an error for those who wait. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()

    def start(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """`work`, begun; cancelling the future cancels it. To be called from any thread but this one's own.

        Raises:
            SamplerError: the sampler was closed.
        """
        if self._closed:
            work.close()
            raise SamplerError("the sampler was closed")
        return asyncio.run_coroutine_threadsafe(self._told_of_the_end(work), self._loop)

    async def _told_of_the_end(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return await work
        except asyncio.CancelledError as error:
            if self._closed:
                raise SamplerError("the sampler was closed") from error
            raise

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._client.aclose()

    async def _ask(self, method: str, path: str, body: Any, repeat_errors: bool) -> httpx.Response:
        pause, trouble = _FIRST_PAUSE_S, ""
        for number in range(TRIES):
            if number:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
            try:
                answer = await self._watched(method, path, body)
            except httpx.TransportError as error:
                trouble = f"{type(error).__name__}: {error}"
                continue
            if answer.status_code < 500 and answer.status_code != _TOO_MANY_REQUESTS:
                return answer
            trouble = f"HTTP {answer.status_code}: {shown(answer)}"
            if not repeat_errors:
                raise SamplerError(f"the vLLM server at {self.url} failed on {path}: {trouble}; look at its log")
        raise self._gone(f"{path} failed {TRIES} times, at last with {trouble}")

    async def _watched(self, method: str, path: str, body: Any) -> httpx.Response:
        """One request, given up when the server does not live any more."""
        request = asyncio.create_task(self._client.request(method, path, json=body))
        try:
            while not (await asyncio.wait({request}, timeout=HEALTH_EVERY_S))[0]:
                await self._look()
            return request.result()
        finally:
            request.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await request

    async def _look(self) -> None:
        """Ask the server's health, unless another request did just now.

        Raises:
            SamplerError: it was bad several times in a row.
        """
        async with self._looking:
            if self._loop.time() >= self._next_look:
                await self._look_now()
                self._next_look = self._loop.time() + HEALTH_EVERY_S / 2
        if self._bad_looks >= UNHEALTHY_LOOKS:
            raise self._gone(f"/health failed {self._bad_looks} times in a row, at last with {self._bad_look}")

    async def _look_now(self) -> None:
        try:
            answer = await self._client.get("/health", timeout=HEALTH_TIMEOUT_S)
            self._bad_look = "" if answer.is_success else f"HTTP {answer.status_code}: {shown(answer)}"
        except httpx.TransportError as error:
            self._bad_look = f"{type(error).__name__}: {error}"
        self._bad_looks = self._bad_looks + 1 if self._bad_look else 0

    def _gone(self, what: str) -> SamplerError:
        return SamplerError(
            f"the vLLM server at {self.url} is gone: {what}; look at its log, start it again, then go on with --resume"
        )


def _address(url: str) -> httpx.URL:
    seen = without_secrets(url)
    try:
        parts, address = urlsplit(url), httpx.URL(url.rstrip("/"))
        if parts.scheme not in ("http", "https") or parts.port == 0 or not address.host:
            raise ValueError
    except (ValueError, httpx.InvalidURL):
        told = f"sampler_url: {seen!r} is no URL of a server; expected one such as http://127.0.0.1:8000"
        raise SamplerError(told) from None
    if address.query or address.fragment:
        raise SamplerError(
            f"sampler_url: {seen!r} has a query or a fragment; expected host, port and, if need be, a path; an API key "
            "goes into the environment variable that sampler_token_env names"
        )
    return address


def shown(answer: httpx.Response) -> str:
    """The beginning of an answer's text on one line, for people."""
    text = " ".join(answer.text.split())
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + " ..."
