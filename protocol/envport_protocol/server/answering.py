"""The answering side between workers: requests that other workers passed on are answered by this one's endpoints."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any

from envport_protocol.errors import NotFoundError, NotReadyError, WireError
from envport_protocol.server.answers import error_answer
from envport_protocol.server.endpoint import Asked, server_failure
from envport_protocol.server.link import Content, Kind, Link
from envport_protocol.server.request_ids import take_ids

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping
    from pathlib import Path

    from envport_protocol.server.answers import Answer
    from envport_protocol.server.endpoint import Desk, Endpoint


class Answering:
    """Answers by `endpoints`, none of which may ask another worker for what it is asked here.

    Who may ask what is checked as for any other request. Nothing is counted as answered: the worker that has the
    client's connection does that. `keep` is given each task that makes an answer.
    """

    def __init__(
        self, desk: Desk, endpoints: Mapping[str, Endpoint], keep: Callable[[asyncio.Task[None]], object]
    ) -> None:
        self._desk = desk
        self._endpoints = endpoints
        self._links: set[AnsweringLink] = set()
        self.keep = keep

    @asynccontextmanager
    async def listening(self, place: Path) -> AsyncGenerator[None]:
        """Other workers can connect at `place`, a path for a socket, until this is left."""
        _remove(place)
        server = await asyncio.get_running_loop().create_unix_server(self._new_link, str(place))
        try:
            yield
        finally:
            server.close()
            _remove(place)
            for link in [*self._links]:
                link.close()

    async def answer(self, request: Content) -> Answer:
        """What a client is to be told."""
        path = request.first.decode()
        headers = dict(request.headers)
        take_ids(headers)
        try:
            if self._desk.is_stopping:
                raise NotReadyError("a worker of this server is stopping; ask again in a moment")
            endpoint = self._endpoints.get(path)
            if endpoint is None:
                raise NotFoundError(f"a worker was asked for {path!r}, which it does not have")
            caller = self._desk.gate.admit(path, endpoint.needed, headers.get(b"authorization"))
            return await endpoint.respond(caller, _asked(path, headers, request.body))
        except WireError as error:
            return error_answer(error)
        except Exception as error:  # noqa: BLE001 - the boundary of the server's side
            return error_answer(server_failure(path, error))

    def _new_link(self) -> AnsweringLink:
        return AnsweringLink(self, self._links)


class AnsweringLink(Link):
    """The end that answers, one of `links` as long as it is open."""

    def __init__(self, answering: Answering, links: set[AnsweringLink]) -> None:
        super().__init__()
        self._answering = answering
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._links = links
        links.add(self)

    def frame_received(self, kind: Kind, number: int, content: bytes) -> None:
        """Begins to answer, or gives up."""
        if kind is Kind.REQUEST:
            task = self._tasks[number] = asyncio.create_task(self._answer(number, content))
            task.add_done_callback(lambda _: self._tasks.pop(number))
            self._answering.keep(task)
        elif kind is Kind.CANCEL and number in self._tasks:
            self._tasks[number].cancel()

    def lost(self) -> None:
        """Nobody waits for the answers."""
        self._links.discard(self)
        for task in self._tasks.values():
            task.cancel()

    async def _answer(self, number: int, content: bytes) -> None:
        status, body, headers = await self._answering.answer(Content.from_bytes(content))
        await self.send(Kind.ANSWER, number, Content(b"%d" % status, [*headers], body).to_bytes())


def _remove(place: Path) -> None:
    place.unlink(missing_ok=True)


def _asked(path: str, headers: dict[bytes, bytes], body: bytes) -> Asked:
    """A request with this body, from a client that never goes away: its worker would say so."""
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if not messages:
            await asyncio.get_running_loop().create_future()
        return messages.pop()

    async def send(_: Any) -> None:
        """What has no body was sent so; the answer tells the rest."""

    scope = {"type": "http", "path": path, "query_string": b""}
    return Asked(scope, headers, receive, send, headers.get(b"x-request-id", b""), perf_counter())
