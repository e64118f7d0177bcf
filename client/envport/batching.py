"""Calls made in one turn of the event loop go to the server together, and each gets its answer by itself.

A call that is alone in its turn is sent alone; of several one `POST /v1/batch` is made, or more where the server's
limits ask for it. Each line of the answer reaches its caller as it comes, so that a slow call delays no other, and each
caller keeps its own deadline. One that is cancelled leaves, and its call goes on at the server until the others of its
batch have their answers. What was not answered when a batch broke is sent again by its caller, with its own ids.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson

from envport.answers import REQUEST_ID, LineAnswer
from envport.errors import ProtocolError, TransportError
from envport.http import Content, RawAnswer
from envport.requests import new_id
from envport.retry import Retryable
from envport.unreachable import too_late

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from envport.http import Http

LINE_RETRY_AFTER_S = "1"
"""`Retry-After` of a 503 in a line, which has no headers: the server's own for a call that came alone."""

_FRAME_BYTES = 64
"""At most, of a call in a batch, beside its body."""

_LINGER_S = 1.0
"""How long a batch whose lines have all come may take to end."""

_REFUSES_EACH = frozenset({401, 403, 429, 502, 503, 504})
"""With these a batch as a whole is answered as each of its calls would have been. After another, each is sent alone."""


class Batcher:
    """Collects the calls to the server at `url`."""

    def __init__(self, http: Http, url: str, *, max_calls: int, max_bytes: int) -> None:
        self._http = http
        self._url = url
        self._max_calls = max_calls
        self._max_bytes = max_bytes
        self._waiting: list[_Caller] = []
        self._batches: set[asyncio.Task[None]] = set()

    async def send(self, verb: str, body: bytes, deadline_s: float) -> RawAnswer | LineAnswer | None:
        """The answer that came for this call in a batch; None where the caller is to send it alone.

        Raises:
            Retryable: no answer came, within `deadline_s` seconds or at all.
            ProtocolError: what came is no answer of a batch.
        """
        loop = asyncio.get_running_loop()
        caller = _Caller(verb, body, deadline_s, loop)
        if not self._waiting:
            loop.call_soon(self._flush)
        self._waiting.append(caller)
        try:
            told = await caller.told
        except asyncio.CancelledError:
            if caller.batch is not None:
                caller.batch.leave(caller)
            raise
        if isinstance(told, Exception):
            raise told.with_traceback(None)  # each of a batch raises it, and it would collect the frames of all
        return told

    def close(self) -> None:
        """Breaks off what is under way: connections that are closed here do not tell those who read from them."""
        for batch in self._batches:
            batch.cancel()

    def _flush(self) -> None:
        waiting, self._waiting = [one for one in self._waiting if not one.told.done()], []
        for part in self._parts(waiting):
            if len(part) == 1:
                part[0].tell(None)
            else:
                task = _Batch(self._http, self._url, part).task
                self._batches.add(task)  # the event loop itself holds tasks weakly
                task.add_done_callback(self._batches.discard)

    def _parts(self, callers: list[_Caller]) -> Iterator[list[_Caller]]:
        part: list[_Caller] = []
        size = _FRAME_BYTES
        for caller in callers:
            more = len(caller.body) + _FRAME_BYTES
            if part and (len(part) == self._max_calls or size + more > self._max_bytes):
                yield part
                part, size = [], _FRAME_BYTES
            part.append(caller)
            size += more
        if part:
            yield part


class _Caller:
    """One who waits for the answer of a call."""

    __slots__ = ("batch", "body", "deadline_s", "number", "told", "verb")

    def __init__(self, verb: str, body: bytes, deadline_s: float, loop: asyncio.AbstractEventLoop) -> None:
        self.verb = verb
        self.body = body
        self.deadline_s = deadline_s
        self.told: asyncio.Future[RawAnswer | LineAnswer | Exception | None] = loop.create_future()
        """Its result is the answer, None to send the call alone, or the error to raise: none goes unretrieved."""
        self.batch: _Batch | None = None
        self.number = ""

    def tell(self, answer: RawAnswer | LineAnswer | Exception | None) -> None:
        if not self.told.done():
            self.told.set_result(answer)


class _Batch:
    """One batch under way. Its task ends soon after each caller was told, at once when the last one has left."""

    def __init__(self, http: Http, url: str, callers: Sequence[_Caller]) -> None:
        self._http = http
        self._base_url = url
        self._url = f"{url}/v1/batch"
        self._request_id = new_id()
        self._headers = {REQUEST_ID: self._request_id, "Retry-After": LINE_RETRY_AFTER_S}
        self._line = Content(self._url)
        self._untold: dict[str, _Caller] = {}
        for number, caller in enumerate(callers):
            caller.batch, caller.number = self, str(number)
            self._untold[caller.number] = caller
        self._loop = asyncio.get_running_loop()
        self._sent_at = self._loop.time()
        self._timer = self._loop.call_at(self._next_deadline(), self._expire)
        self.task = self._loop.create_task(self._run(_encoded(callers)))

    def leave(self, caller: _Caller) -> None:
        """Forgets a caller; with the last one, the request is broken off."""
        if self._untold.pop(caller.number, None) is not None and not self._untold:
            self.task.cancel()

    async def _run(self, body: bytes) -> None:
        try:
            answer = await self._http.send("POST", self._url, body, self._request_id, on_chunk=self._read)
            self._end(answer)
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait are told
            self._tell_all(error)
        finally:
            self._timer.cancel()
            self._tell_all(self._unanswered("the request was broken off"))

    def _read(self, chunk: bytes) -> None:
        *ended, begun = chunk.split(b"\n")
        for line in ended:
            self._line.add(line)
            if whole := self._line.take():
                self._take(whole)
        self._line.add(begun)

    def _take(self, line: bytes) -> None:
        answer = self._read_line(line)
        if answer is None:
            seen = line[:80].decode(errors="replace")
            raise ProtocolError(self._url, f"answered the line {seen!r}, expected id, status and body")
        caller = self._untold.pop(answer[0], None)
        if caller is not None:
            caller.tell(answer[1])
            if not self._untold:
                self._timer.cancel()
                self._timer = self._loop.call_later(_LINGER_S, self.task.cancel)

    def _read_line(self, line: bytes) -> tuple[str, LineAnswer] | None:
        try:
            told = orjson.loads(line)
            number, status, body = told["id"], told["status"], told["body"]
        except (orjson.JSONDecodeError, TypeError, KeyError):
            return None
        is_line = isinstance(number, str) and isinstance(status, int)
        return (number, LineAnswer(status, self._headers, body)) if is_line else None

    def _end(self, answer: RawAnswer) -> None:
        if answer.status != 200:
            self._tell_all(answer if answer.status in _REFUSES_EACH else None)
            return
        rest = self._line.take()
        if self._read_line(rest) is not None:
            self._take(rest)
        self._tell_all(self._unanswered("the answer ended before that of this call came"))

    def _tell_all(self, told: RawAnswer | Exception | None) -> None:
        for caller in self._untold.values():
            caller.tell(told)
        self._untold.clear()

    def _unanswered(self, why: str) -> Retryable:
        return Retryable(TransportError(self._url, why, request_id=self._request_id))

    def _next_deadline(self) -> float:
        return self._sent_at + min(caller.deadline_s for caller in self._untold.values())

    def _expire(self) -> None:
        waited_s = self._loop.time() - self._sent_at
        for caller in [one for one in self._untold.values() if one.deadline_s <= waited_s]:
            caller.tell(too_late(f"{self._base_url}/v1/{caller.verb}", caller.deadline_s, self._request_id))
            self.leave(caller)
        if self._untold:
            self._timer = self._loop.call_at(self._next_deadline(), self._expire)


def _encoded(callers: Sequence[_Caller]) -> bytes:
    calls = [b'{"id":"%b","verb":"%b","body":%b}' % (c.number.encode(), c.verb.encode(), c.body) for c in callers]
    return b'{"calls":[%b]}' % b",".join(calls)
