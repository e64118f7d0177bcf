"""A server played from a script: for what a real one does not do on demand."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import orjson
import pytest

MANIFEST: dict[str, Any] = {
    "name": "echo",
    "version": "0.1.0",
    "protocol": {"min": "1.0", "max": "1.0"},
    "limits": {"call_timeout_s": 5.0},
}


class Script:
    """Answers of each path in turn, the last one for ever; an exception is raised in place of an answer."""

    def __init__(self) -> None:
        self.answers: dict[str, list[httpx.Response | Exception]] = {}
        self.requests: list[httpx.Request] = []
        self.hangs = False
        """While true, no request is answered."""
        self.batches: asyncio.Queue[HeldBatch] = asyncio.Queue()
        """Those that came to `/v1/batch`, where nothing else was said of it: the test answers them."""
        self.say("/v1/manifest", MANIFEST)

    def say(self, path: str, *answers: Any) -> None:
        """What `path` answers: a dict is a 200 with that JSON."""
        self.answers[path] = [httpx.Response(200, json=a) if isinstance(a, dict) else a for a in answers]

    def can(self, *capabilities: str, **limits: Any) -> None:
        """What the manifest tells."""
        self.say("/v1/manifest", MANIFEST | {"capabilities": [*capabilities], "limits": MANIFEST["limits"] | limits})

    def bodies(self, path: str) -> list[Any]:
        """The JSON bodies that came to `path`."""
        return [orjson.loads(request.content) for request in self.requests if request.url.path == path]

    def count(self, path: str) -> int:
        """How many requests came to `path`."""
        return sum(request.url.path == path for request in self.requests)

    async def answer(self, request: httpx.Request) -> httpx.Response:
        """The handler of `httpx.MockTransport`."""
        self.requests.append(request)
        if self.hangs:
            await asyncio.Event().wait()
        if request.url.path == "/v1/batch" and "/v1/batch" not in self.answers:
            held = HeldBatch(request)
            self.batches.put_nowait(held)
            return httpx.Response(200, headers={"content-type": "application/x-ndjson"}, stream=held)
        turns = self.answers[request.url.path]
        answer = turns.pop(0) if len(turns) > 1 else turns[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


class HeldBatch(httpx.AsyncByteStream):
    """A batch under way, whose answer the test gives bit by bit."""

    def __init__(self, request: httpx.Request) -> None:
        self.request_id = request.headers["x-request-id"]
        self.calls: list[dict[str, Any]] = orjson.loads(request.content)["calls"]
        self.was_left = asyncio.Event()
        """Set when the client reads no further."""
        self._chunks: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()

    def line(self, number: int, body: dict[str, Any], status: int = 200) -> bytes:
        """The line that answers the call of this place."""
        return orjson.dumps({"id": self.calls[number]["id"], "status": status, "body": body}) + b"\n"

    def answer(self, number: int, body: dict[str, Any], status: int = 200) -> None:
        """Answers the call of this place."""
        self.send(self.line(number, body, status))

    def send(self, chunk: bytes | Exception | None) -> None:
        """Sends these bytes; None ends the answer, an exception breaks it."""
        self._chunks.put_nowait(chunk)

    async def __aiter__(self) -> Any:
        try:
            while (chunk := await self._chunks.get()) is not None:
                if isinstance(chunk, Exception):
                    raise chunk
                yield chunk
        finally:
            self.was_left.set()


@pytest.fixture
def script():
    """A script whose manifest is good."""
    return Script()


@pytest.fixture
async def scripted_http(script):
    """An HTTP client that talks to the script."""
    async with httpx.AsyncClient(transport=httpx.MockTransport(script.answer)) as http:
        yield http


def refusal(status: int, code: str, message: str, outcome: str = "infra_error", **headers: str) -> httpx.Response:
    """A refusal with the one error body."""
    error = {"code": code, "message": message, "outcome": outcome, "trainable": False, "details": {}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json={"error": error}, headers=named)


@pytest.fixture
def wire_error():
    """Makes refusals: `wire_error(status, code, message, outcome, Retry_After="1")`."""
    return refusal
