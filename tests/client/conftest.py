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
        self.say("/v1/manifest", MANIFEST)

    def say(self, path: str, *answers: Any) -> None:
        """What `path` answers: a dict is a 200 with that JSON."""
        self.answers[path] = [httpx.Response(200, json=a) if isinstance(a, dict) else a for a in answers]

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
        turns = self.answers[request.url.path]
        answer = turns.pop(0) if len(turns) > 1 else turns[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


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
