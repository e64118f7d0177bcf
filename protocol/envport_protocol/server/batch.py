"""`POST /v1/batch`: many calls in one request, each answered in a line of its own as soon as it is done."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING

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


class BatchEndpoint(Endpoint):
    """Runs the calls side by side and sends their answers in the order in which they are done.

    A client that reads slowly holds back the sending and not the calls; one that goes away is waited for no more.
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
        calls = parse_fields(parse_json(body, BatchRequest.__name__, may_be_deep=True), BatchRequest).calls
        if len(calls) > config.max_batch:
            raise InvalidRequestError(
                f"the batch has {len(calls)} calls, the most is {config.max_batch}; send several",
                details={"max_batch": config.max_batch},
            )
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
                await asked.send({"type": "http.response.body", "body": b"".join(done), "more_body": left > 0})
        finally:
            for task in tasks:
                task.cancel()

    async def _run(self, call: BatchCall, caller: Caller, asked: Asked, lines: _Lines, *, is_again: bool) -> None:
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
        lines.put(b'{"id":%b,"status":%d,"body":%b}\n' % (orjson.dumps(call.id), answer.status, answer.body))


class _Lines:
    """Lines on their way from those who make them to the one who sends them."""

    def __init__(self) -> None:
        self._made: list[bytes] = []
        self._some = asyncio.Event()

    def put(self, line: bytes) -> None:
        self._made.append(line)
        self._some.set()

    async def take(self) -> list[bytes]:
        """All that were made since; waits for one if there is none."""
        await self._some.wait()
        self._some.clear()
        taken, self._made = self._made, []
        return taken
