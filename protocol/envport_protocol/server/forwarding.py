"""The asking side between workers: a request about another worker's rollout goes there, and its answer comes back.

The worker that holds a rollout runs each of its calls exactly once, so nothing is sent twice from here: where that
worker goes away before it has answered, the client is told to ask again, and asks under the same ids.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import orjson

from envport_protocol.errors import NotReadyError, WireError
from envport_protocol.server.answers import Answer, error_answer
from envport_protocol.server.link import MAX_NUMBER, Content, Kind, Link
from envport_protocol.server.request_ids import request_id
from envport_protocol.server.routing import check_together, owner

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from pydantic import BaseModel

    from envport_protocol.config import ServeConfig
    from envport_protocol.server.answers import Header

_REQUEST_ID = b"x-request-id"
_MARGIN_S = 10.0
"""What a worker may take over a call's own deadline, to stop the environment's code and to answer."""


class Forwarding:
    """Worker `number` of those that listen at `places`. A Router. Of `config` it heeds the deadlines."""

    def __init__(self, number: int, places: Sequence[Path], config: ServeConfig) -> None:
        self._number = number
        self._places = places
        self._call_timeout_s = config.call_timeout_s
        self._more_s = config.queue_timeout_s + _MARGIN_S
        self._links: dict[int, AskingLink] = {}
        self._connecting = [asyncio.Lock() for _ in places]

    def check(self, message: BaseModel) -> None:
        """Passes where one worker holds all rollouts of a message.

        Raises:
            InvalidRequestError: it does not.
        """
        check_together(message)

    async def forward(self, rollout_id: str, path: str, body: bytes, headers: Iterable[Header]) -> Answer | None:
        """The answer of the worker that holds the rollout; None: it is this one.

        Raises:
            NotReadyError: that worker is not there, or does not answer in the time of the call.
        """
        number = owner(rollout_id, len(self._places))
        if number == self._number:
            return None
        timeout_s = min(_timeout_of(body) or self._call_timeout_s, self._call_timeout_s) + self._more_s
        return await self.ask(number, path, body, headers, timeout_s)

    async def ask_others(self, path: str, headers: Iterable[Header], timeout_s: float) -> Mapping[int, Answer]:
        """What each of the other workers answers; one that does not in time is not ready."""
        others = [number for number in range(len(self._places)) if number != self._number]
        answers = await asyncio.gather(*(self._ask_within(timeout_s, number, path, headers) for number in others))
        return dict(zip(others, answers, strict=True))

    async def ask(self, number: int, path: str, body: bytes, headers: Iterable[Header], timeout_s: float) -> Answer:
        """The answer of one worker, under the id of the request at hand.

        Raises:
            NotReadyError: it is not there, or does not answer in time.
        """
        asked_by = (request_id.get() or "").encode()
        passed_on = [*(header for header in headers if header[0] != _REQUEST_ID), (_REQUEST_ID, asked_by)]
        try:
            async with asyncio.timeout(timeout_s):
                link = self._links.get(number) or await self._connect(number)
                return await link.ask(Content(path.encode(), passed_on, body))
        except TimeoutError:
            raise NotReadyError(
                f"worker {number} of this server did not answer within {timeout_s:g} s; send the same request again"
            ) from None

    def close(self) -> None:
        """Asks nobody any more."""
        for link in self._links.values():
            link.close()

    async def _ask_within(self, timeout_s: float, number: int, path: str, headers: Iterable[Header]) -> Answer:
        try:
            return await self.ask(number, path, b"", headers, timeout_s)
        except WireError as error:
            return error_answer(error)

    async def _connect(self, number: int) -> AskingLink:
        async with self._connecting[number]:
            link = self._links.get(number)
            if link is None:
                try:
                    _, link = await asyncio.get_running_loop().create_unix_connection(
                        lambda: AskingLink(number, self._links), str(self._places[number])
                    )
                except OSError:
                    raise NotReadyError(
                        f"worker {number} of this server, which has to answer this, is being started; try again in a "
                        "moment"
                    ) from None
                self._links[number] = link
            return link


class AskingLink(Link):
    """The end that asks. It is taken out of `links` once it cannot be used any more."""

    def __init__(self, number: int, links: dict[int, AskingLink]) -> None:
        super().__init__()
        self._worker = number
        self._links = links
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Answer]] = {}

    async def ask(self, request: Content) -> Answer:
        """The answer. The other worker is told when it is waited for no more.

        Raises:
            NotReadyError: the other worker went away.
        """
        number = next(self._numbers) & MAX_NUMBER
        waiting: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiting
        try:
            await self.send(Kind.REQUEST, number, request.to_bytes())
            if self.is_lost:
                self.lost()
            return await waiting
        except asyncio.CancelledError:
            self.send_soon(Kind.CANCEL, number)
            raise
        finally:
            del self._waiting[number]

    def frame_received(self, kind: Kind, number: int, content: bytes) -> None:
        """Hands an answer to the one who waits for it."""
        waiting = self._waiting.get(number)
        if kind is Kind.ANSWER and waiting is not None and not waiting.done():
            status, headers, body = Content.from_bytes(content)
            waiting.set_result(Answer(int(status), body, tuple(headers)))

    def lost(self) -> None:
        """Nobody waits in vain."""
        if self._links.get(self._worker) is self:
            del self._links[self._worker]
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(
                    NotReadyError(
                        f"worker {self._worker} of this server went away before it answered, and is started again; "
                        "send the same request again"
                    )
                )


def _timeout_of(body: bytes) -> float | None:
    """What a call that names a deadline names. To read a body twice is for these alone."""
    if b'"timeout_s"' not in body:
        return None
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:  # the worker that is asked says so
        return None
    timeout_s = fields.get("timeout_s") if isinstance(fields, dict) else None
    return timeout_s if isinstance(timeout_s, int | float) and timeout_s > 0 else None
