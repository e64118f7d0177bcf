"""`POST /v1/batch`: many calls in one request, each answered in a line of its own as soon as it is done."""

from __future__ import annotations

import asyncio
from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, Any

import orjson

from envport_protocol.errors import InvalidRequestError, WireError
from envport_protocol.messages import BatchRequest
from envport_protocol.server.answers import Answer, error_answer
from envport_protocol.server.endpoint import Endpoint, server_failure
from envport_protocol.server.reading import check_depth, parse_fields, parse_json, read_body
from envport_protocol.server.scopes import NEEDED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from envport_protocol.messages import BatchCall
    from envport_protocol.server.endpoint import Asked, Desk, Verb
    from envport_protocol.server.scopes import Caller

_NDJSON = (b"content-type", b"application/x-ndjson")
_PIECE = 2**16
"""Bytes that are sent at once."""
_MAX_UNSENT = 4 * 2**20
"""Bytes of answers. While more wait to be sent, no further call begins."""


class BatchEndpoint(Endpoint):
    """Runs the calls side by side and sends their answers in the order in which they are done.

    A client that reads slowly holds back the sending, and the calls only where much waits to be sent. One that reads
    nothing loses its connection, as on every path; one that goes away is waited for no more.
    """

    methods = frozenset({"POST"})

    def __init__(self, desk: Desk, verbs: Iterable[Verb]) -> None:
        super().__init__(desk, "/v1/batch", "batch")
        self._verbs = {verb.name: verb for verb in verbs}
        self._config = desk.host.config

    async def respond(self, caller: Caller, asked: Asked) -> Answer:
        """Nothing is left to send."""
        config = self._config
        body = await read_body(asked.receive, asked.headers, config.max_body_bytes, config.request_timeout_s)
        fields = parse_json(body, BatchRequest.__name__, may_be_deep=True)
        _check_count(fields, config.max_batch)
        calls = parse_fields(fields, BatchRequest).calls
        await self._desk.disconnects.guarded(self._stream(calls, caller, asked), asked.receive, asked.begun)
        return Answer(200, b"")

    async def _stream(self, calls: list[BatchCall], caller: Caller, asked: Asked) -> None:
        lines = _Lines()
        named: set[str] = set()
        tasks: list[asyncio.Task[None]] = []
        for call in calls:
            tasks.append(asyncio.create_task(self._run(call, caller, asked, lines, is_again=call.id in named)))
            named.add(call.id)
        try:
            headers = [_NDJSON, (b"x-request-id", asked.request_id)]
            asked.is_answered = True
            await asked.send({"type": "http.response.start", "status": 200, "headers": headers})
            left = len(calls)
            while left:
                done = await lines.take()
                left -= len(done)
                await _send(asked, b"".join(done), is_last=left == 0)
        finally:
            for task in tasks:
                task.cancel()

    async def _run(self, call: BatchCall, caller: Caller, asked: Asked, lines: _Lines, *, is_again: bool) -> None:
        await lines.wait_for_room()
        begun = perf_counter()
        verb = self._verbs[call.verb]
        path = verb.path
        try:
            if is_again:
                raise InvalidRequestError(f"another call of this batch has the id {call.id!r} too; each needs its own")
            check_depth(call.body)
            caller.check_scope(path, NEEDED[path])
            answer = await self._desk.answer(verb, path, call.body, caller, asked)
        except WireError as error:
            answer = error_answer(error)
        except Exception as error:  # noqa: BLE001 - the boundary of the server's side
            answer = error_answer(server_failure(path, error))
        self._desk.host.observer.answered(verb.name, answer.status, perf_counter() - begun)
        lines.put(call.id, answer)


def _check_count(fields: Any, max_batch: int) -> None:
    calls: Any = fields.get("calls") if isinstance(fields, dict) else None
    if isinstance(calls, list) and len(calls) > max_batch:
        raise InvalidRequestError(
            f"the batch has {len(calls)} calls, the most is {max_batch}; send several", details={"max_batch": max_batch}
        )


async def _send(asked: Asked, block: bytes, *, is_last: bool) -> None:
    for start in range(0, len(block), _PIECE):
        end = start + _PIECE
        more = not is_last or end < len(block)
        await asked.send({"type": "http.response.body", "body": block[start:end], "more_body": more})


class _Lines:
    """Answers on their way from those who wait for them to the one who sends them as lines.

    What an answer is made of is kept by its rollout anyway, so it becomes a line only when it is sent.
    """

    def __init__(self) -> None:
        self._made: deque[tuple[str, Answer]] = deque()
        self._unsent = 0
        """Bytes."""
        self._some = asyncio.Event()
        self._room = asyncio.Event()

    async def wait_for_room(self) -> None:
        """Returns when not too much waits to be sent."""
        while self._unsent >= _MAX_UNSENT:
            self._room.clear()
            await self._room.wait()

    def put(self, id_: str, answer: Answer) -> None:
        self._made.append((id_, answer))
        self._unsent += len(answer.body)
        self._some.set()

    async def take(self) -> list[bytes]:
        """The next lines, as many as are sent at once; waits for one if there is none."""
        while not self._made:
            self._some.clear()
            await self._some.wait()
        lines: list[bytes] = []
        size = 0
        while self._made and size < _PIECE:
            id_, (status, body, _) = self._made.popleft()
            self._unsent -= len(body)
            lines.append(b'{"id":%b,"status":%d,"body":%b}\n' % (orjson.dumps(id_), status, body))
            size += len(lines[-1])
        self._room.set()
        return lines
