"""One request to a server and its typed answer: deadline, retries, and each failure as the error that it is.

A request is safe to send again, because its ids are made once and the server answers a repeat from its store.
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import httpx
from envport_protocol.errors import EnvportError, WireError

from envport.answers import AnswerT, RawAnswer, decode, read
from envport.errors import ProtocolError, TransportError
from envport.requests import encode
from envport.retry import Backoff, Retryable
from envport.unreachable import why_unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

log = logging.getLogger("envport.client")

MARGIN_S = 10.0
"""Added to a call's deadline on this side: the server ends a late call first, and says so."""

FIRST_CONTACT_S = 3.0
"""How long a server that never answered may be absent: longer is rather a wrong URL than a slow start."""


class _Call(NamedTuple):
    url: str
    parsed_url: httpx.URL
    body: bytes | None
    params: Mapping[str, str | int] | None
    deadline_s: float


class Transport:
    """Requests to the server at `url` over `http`, retried for `retry_for_s` seconds after the first failure."""

    def __init__(self, url: str, http: httpx.AsyncClient, *, timeout_s: float, retry_for_s: float) -> None:
        self.url = url
        self.timeout_s = timeout_s
        """How long the server may take for a call that names no time of its own."""
        self.retry_for_s = retry_for_s
        self._http = http
        self._backoff = Backoff()
        self._was_met = False

    async def request(
        self,
        path: str,
        request: BaseModel | None,
        answer_type: type[AnswerT],
        *,
        params: Mapping[str, str | int] | None = None,
        timeout_s: float | None = None,
        retry_for_s: float | None = None,
    ) -> AnswerT:
        """The answer of `POST path` with `request` as its body, or of `GET path` where there is no request.

        Raises:
            InvalidRequestError: the request cannot be written as JSON; nothing was sent.
            TransportError: no answer came within the deadline and the retries.
            ProtocolError: the answer is none of this protocol.
            WireError: the server's own error, as its class; NotReadyError and OverloadedError after the retries.
        """
        body = None if request is None else encode(request)
        deadline_s = (self.timeout_s if timeout_s is None else timeout_s) + MARGIN_S
        url = f"{self.url}{path}"
        call = _Call(url, _parsed(url), body, params, deadline_s)
        budget_s = self.retry_for_s if retry_for_s is None else retry_for_s
        tries = 0
        failing_since: float | None = None
        while True:
            try:
                return decode(await self._exchange(call), call.url, answer_type)
            except Retryable as failure:
                tries += 1
                failing_since = failing_since or time.monotonic()
                failing_s = time.monotonic() - failing_since
                left_s = self._budget_s(failure, budget_s) - failing_s
                delay_s = self._backoff.delay_s(tries, left_s, failure.after_s)
                if delay_s is None:
                    raise _given_up(failure.error, tries, failing_s) from failure
                log.info("%s; trying again in %.2f s", failure.error, delay_s)
            await asyncio.sleep(delay_s)

    def _budget_s(self, failure: Retryable, budget_s: float) -> float:
        return min(budget_s, FIRST_CONTACT_S) if failure.is_absent and not self._was_met else budget_s

    async def _exchange(self, call: _Call) -> RawAnswer:
        method = "GET" if call.body is None else "POST"
        headers = None if call.body is None else {"content-type": "application/json"}
        try:
            async with (
                asyncio.timeout(call.deadline_s),
                self._http.stream(
                    method, call.parsed_url, params=call.params, content=call.body, headers=headers
                ) as response,
            ):
                self._was_met = True
                return await read(response, call.url)
        except TimeoutError as error:
            raise Retryable(TransportError(call.url, f"no answer within {call.deadline_s:g} s")) from error
        except httpx.DecodingError as error:
            raise ProtocolError(call.url, f"its answer cannot be decompressed: {error}") from error
        except httpx.TransportError as error:
            raise why_unreachable(error, call.url) from error


@lru_cache(maxsize=64)
def _parsed(url: str) -> httpx.URL:
    # httpx spends a seventh of a call on reading its URL; there are few.
    return httpx.URL(url)


def _given_up(error: EnvportError, tries: int, failing_s: float) -> EnvportError:
    told = f" (tried {tries} times in {failing_s:.1f} s)" if tries > 1 else ""
    if isinstance(error, TransportError):
        return TransportError(error.url, error.message + told)
    if isinstance(error, WireError):
        return error.afresh(error.message + told)
    return error
