"""Plain HTTP to a server, with bodies made by hand: nothing of envport's own client may hide a fault."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp

from envport.check.definition import BrokenError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping

_MAX_SHOWN = 300
_MAX_KEPT_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of a server."""

    request: str
    """Method and path, for messages."""
    status: int
    headers: Mapping[str, str]
    """By their names in small letters."""
    body: bytes
    seconds: float

    @property
    def json(self) -> Any:
        """The body's value.

        Raises:
            BrokenError: it is no JSON.
        """
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise BrokenError(f"{self.told}: the body is no JSON") from error

    @property
    def told(self) -> str:
        """The answer in one line, for messages."""
        text = self.body.decode("utf-8", "replace")
        shown = text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"
        return f"{self.request} answered {self.status}" + (f" {shown}" if shown else "")

    @property
    def answer(self) -> tuple[int, bytes]:
        """What a repeat must be equal to."""
        return self.status, self.body


@dataclass(slots=True)
class Archive:
    """The bodies of all answers of a run, to be searched for what none of them may hold."""

    bodies: list[tuple[str, bytes]] = field(default_factory=list[tuple[str, bytes]])
    size: int = 0

    def keep(self, reply: Reply) -> None:
        """Keeps the answer, as far as there is room for it."""
        if reply.body and self.size + len(reply.body) <= _MAX_KEPT_BYTES:
            self.bodies.append((reply.request, reply.body))
            self.size += len(reply.body)

    def find(self, text: bytes, *, but_in: str | None = None) -> str | None:
        """The request whose answer holds these bytes, if one does; answers to `but_in` may."""
        holding = (request for request, body in self.bodies if text in body and request != but_in)
        return next(holding, None)


class Wire:
    """Requests to the server at `url`, with a bearer token where there is one.

    Raises, from each request:
        BrokenError: no whole answer came within `timeout_s`.
    """

    def __init__(
        self, url: str, session: aiohttp.ClientSession, archive: Archive, *, token: str | None, timeout_s: float
    ) -> None:
        self.url = url.rstrip("/")
        self.token = token
        self.timeout_s = timeout_s
        self.archive = archive
        self._session = session

    def using(self, token: str | None) -> Wire:
        """The same server, asked with another token, or with none."""
        return Wire(self.url, self._session, self.archive, token=token, timeout_s=self.timeout_s)

    @asynccontextmanager
    async def separately(self) -> AsyncGenerator[Wire]:
        """The same server over one connection of its own."""
        async with open_session(connections=1) as session:
            yield Wire(self.url, session, self.archive, token=self.token, timeout_s=self.timeout_s)

    async def get(self, path: str, *, headers: Mapping[str, str] | None = None, **query: str | int) -> Reply:
        """The answer of `GET path?query`."""
        return await self.request("GET", path, headers=headers, query=query)

    async def post(self, verb: str, body: Any, *, headers: Mapping[str, str] | None = None) -> Reply:
        """The answer of `POST /v1/verb` with `body` as JSON."""
        return await self.send(verb, json.dumps(body).encode(), headers=headers)

    async def send(self, verb: str, content: bytes, *, headers: Mapping[str, str] | None = None) -> Reply:
        """The answer of `POST /v1/verb` with these bytes, declared as JSON."""
        named = {"content-type": "application/json", **(headers or {})}
        return await self.request("POST", f"/v1/{verb}", headers=named, content=content)

    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str | int] | None = None,
        content: bytes | None = None,
    ) -> Reply:
        """The answer of any request."""
        async with self.stream(method, path, headers=headers, query=query, content=content) as (response, begun):
            body = await response.read()
        reply = _reply(method, path, response, body, time.monotonic() - begun)
        self.archive.keep(reply)
        return reply

    async def lines(self, verb: str, body: Any) -> AsyncIterator[tuple[float, Reply]]:
        """Each line of a streamed answer of `POST /v1/verb` as it comes, with the seconds since the request."""
        headers = {"content-type": "application/json"}
        content = json.dumps(body).encode()
        async with self.stream("POST", f"/v1/{verb}", headers=headers, content=content) as (response, begun):
            async for line in response.content:
                seconds = time.monotonic() - begun
                reply = _reply("POST", f"/v1/{verb}", response, line.rstrip(b"\n"), seconds)
                self.archive.keep(reply)
                yield seconds, reply

    async def batch(self, calls: list[dict[str, Any]]) -> AsyncIterator[tuple[float, dict[str, Any]]]:
        """Each line of the answer to a batch of these calls as it comes, with the seconds since the request.

        Raises:
            BrokenError: the answer is no NDJSON of lines with id, status and body.
        """
        async for seconds, reply in self.lines("batch", {"calls": calls}):
            if reply.status != 200 or not reply.headers.get("content-type", "").startswith("application/x-ndjson"):
                raise BrokenError(f"{reply.told}; expected 200 with NDJSON")
            line = reply.json
            if not isinstance(line, dict) or not {"id", "status", "body"} <= line.keys():
                raise BrokenError(f"{reply.told}: a line has id, status and body")
            yield seconds, line

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str | int] | None = None,
        content: bytes | None = None,
    ) -> AsyncGenerator[tuple[aiohttp.ClientResponse, float]]:
        """The answer while its body still comes, and when its request began."""
        named = {**({"authorization": f"Bearer {self.token}"} if self.token else {}), **(headers or {})}
        begun = time.monotonic()
        try:
            async with (
                asyncio.timeout(self.timeout_s),
                self._session.request(
                    method,
                    self.url + path,
                    headers=named,
                    params=query or None,
                    data=content,
                    allow_redirects=False,
                ) as response,
            ):
                yield response, begun
        except TimeoutError as error:
            raise BrokenError(f"{method} {path}: no whole answer within {self.timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise BrokenError(f"{method} {path}: no answer, {type(error).__name__}: {error}") from error


def open_session(*, connections: int = 0) -> aiohttp.ClientSession:
    """An HTTP session without proxies, cookies or redirects; `connections` 0 is any number of them."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        skip_auto_headers=("Content-Type", "User-Agent"),
        trust_env=False,
    )


def _reply(method: str, path: str, response: aiohttp.ClientResponse, body: bytes, seconds: float) -> Reply:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Reply(f"{method} {path}", response.status, headers, body, seconds)
