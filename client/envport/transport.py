"""One request to a server and its typed answer: deadline, retries, and each failure as the error that it is.

A request is safe to send again, because its ids are made once and the server answers a repeat from its store.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from envport.answers import AnswerT, LineAnswer, decode
from envport.errors import TransportError
from envport.requests import encode, new_id
from envport.retry import Retries, Retryable

if TYPE_CHECKING:
    from pydantic import BaseModel

    from envport.batching import Batcher
    from envport.http import Http, RawAnswer

MARGIN_S = 10.0
"""Added to a call's deadline on this side: the server ends a late call first, and says so."""

FIRST_CONTACT_S = 3.0
"""How long a server that never answered may be absent: longer is rather a wrong URL than a slow start."""


class _Call(NamedTuple):
    method: str
    url: str
    verb: str
    body: bytes | None
    deadline_s: float
    request_id: str
    """The same in each try."""


class Transport:
    """Requests to the server at `url` over `http`, retried for `retry_for_s` seconds after the first failure."""

    def __init__(self, url: str, http: Http, *, timeout_s: float, retry_for_s: float) -> None:
        self.url = url
        self.timeout_s = timeout_s
        """How long the server may take for a call that names no time of its own."""
        self.retry_for_s = retry_for_s
        self.batcher: Batcher | None = None
        """None sends each request alone."""
        self._http = http
        self._was_met = False
        self._is_closed = False
        self._calls: set[asyncio.Timeout] = set()

    async def get(self, path: str, answer_type: type[AnswerT]) -> AnswerT:
        """The answer of `GET path`.

        Raises:
            TransportError, ProtocolError, WireError: as `post` says.
        """
        call = _Call("GET", self.url + path, "", None, self.timeout_s + MARGIN_S, new_id())
        return await self._answered(call, answer_type, self.retry_for_s, None)

    async def post(
        self,
        verb: str,
        request: BaseModel,
        answer_type: type[AnswerT],
        *,
        timeout_s: float | None = None,
        retry_for_s: float | None = None,
        retries: Retries | None = None,
    ) -> AnswerT:
        """The answer of `POST /v1/VERB`, sent alone or in a batch.

        Raises:
            InvalidRequestError: the request cannot be written as JSON; nothing was sent.
            TransportError: no answer came within the deadline and the retries.
            ProtocolError: the answer is none of this protocol.
            WireError: the server's own error, as its class; NotReadyError and OverloadedError after the retries.
        """
        deadline_s = (self.timeout_s if timeout_s is None else timeout_s) + MARGIN_S
        call = _Call("POST", f"{self.url}/v1/{verb}", verb, encode(request), deadline_s, new_id())
        return await self._answered(
            call, answer_type, self.retry_for_s if retry_for_s is None else retry_for_s, retries
        )

    async def close(self) -> None:
        """Closes the connections. Calls under way raise TransportError at once, and so do all later ones."""
        self._is_closed = True
        for call in self._calls:
            call.reschedule(0.0)
        if self.batcher is not None:
            self.batcher.close()
        await self._http.close()

    async def _answered(
        self, call: _Call, answer_type: type[AnswerT], budget_s: float, retries: Retries | None
    ) -> AnswerT:
        until_closed = asyncio.timeout(None)
        try:
            async with until_closed:
                self._calls.add(until_closed)
                while not self._is_closed:
                    try:
                        return decode(await self._exchange(call), call.url, answer_type)
                    except Retryable as caught:
                        failure = caught
                    retries = retries or Retries()
                    await retries.pause(failure, self._budget_s(failure, budget_s))
        except TimeoutError:
            pass
        finally:
            self._calls.discard(until_closed)
        raise TransportError(call.url, "this client was closed", request_id=call.request_id)

    async def _exchange(self, call: _Call) -> RawAnswer | LineAnswer:
        answer: RawAnswer | LineAnswer | None = None
        if self.batcher is not None and call.body is not None:
            answer = await self.batcher.send(call.verb, call.body, call.deadline_s)
        if answer is None:
            answer = await self._http.send(
                call.method, call.url, call.body, call.request_id, deadline_s=call.deadline_s
            )
        self._was_met = True
        return answer

    def _budget_s(self, failure: Retryable, budget_s: float) -> float:
        return min(budget_s, FIRST_CONTACT_S) if failure.is_absent and not self._was_met else budget_s
