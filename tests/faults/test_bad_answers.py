"""Whatever a server answers, the client raises an error of this project, soon, and can be used again."""

from __future__ import annotations

import asyncio
import gzip
import json
from contextlib import asynccontextmanager
from typing import Any

import envport
import pytest
from envport_protocol.errors import EnvportError

MANIFEST = {
    "name": "liar",
    "version": "1",
    "protocol": {"min": "1.0", "max": "1.1"},
    "capabilities": ["batch", "tools"],
    "limits": {"call_timeout_s": 5.0},
}
STARTED = {"rollout_id": "r", "task_id": None, "messages": [], "tools": [], "idle_timeout_s": 60.0}
RAN = {"content": [{"type": "text", "text": "x"}]}
PROMPT = [{"role": "user", "content": "Hello."}]


def answer(status: int, body: bytes, *headers: str) -> bytes:
    """The bytes of an HTTP answer of JSON."""
    lines = [f"HTTP/1.1 {status} X", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def told(value: Any, status: int = 200) -> bytes:
    return answer(status, json.dumps(value).encode())


class Liar:
    """A server that answers `says` to every tool call and to every batch, and all else as it should."""

    def __init__(self) -> None:
        self.says = told(RAN)
        self.port = 0

    @asynccontextmanager
    async def running(self):
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self

    async def _connected(self, reader, writer) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = head.partition("content-length: ")[2].partition("\r\n")[0]
                await reader.readexactly(int(length or 0))
                writer.write(self._answer(head.split()[1]))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _answer(self, path: str) -> bytes:
        match path:
            case "/v1/manifest":
                return told(MANIFEST)
            case "/v1/start_rollout":
                return told(STARTED)
            case "/v1/end_rollout":
                return told({"rollout_id": "r"})
            case _:
                return self.says


@pytest.fixture
async def liar():
    """A liar."""
    async with Liar().running() as running:
        yield running


def error(**fields: Any) -> dict[str, Any]:
    return {"error": {"code": "env_error", "message": "m", "outcome": "env_error", "details": {}} | fields}


ANSWERS = {
    "nothing": answer(200, b""),
    "no JSON": answer(200, b"<html>hello</html>"),
    "NaN": answer(200, b'{"content":[],"rewards":{"a":NaN}}'),
    "a list": told([]),
    "null": told(None),
    "another message": told(STARTED),
    "a reward that is not finite": answer(200, b'{"content":[],"rewards":{"a":1e400}}'),
    "lists 100,000 deep": answer(200, b'{"content":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "invalid UTF-8": answer(200, b'{"content":[{"text":"\xff"}]}'),
    "half a surrogate pair": answer(200, b'{"content":[{"text":"\\ud800"}]}'),
    "an outcome of the future": told(RAN | {"outcome": "bored"}),
    "a redirect": answer(307, b"", "Location: http://127.0.0.1:1/"),
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "an unknown status": told(RAN, 299),
    "a status beyond 599": told(RAN, 999),
    "a 500 of a proxy": answer(500, b"<h1>Internal Server Error</h1>"),
    "a 502 of a proxy": answer(502, b"<h1>Bad Gateway</h1>"),
    "an error of the future": told(error(code="bored", outcome="bored"), 500),
    "an error without fields": told({"error": {}}, 500),
    "an error that is a text": told({"error": "no"}, 500),
    "an error with a wrong status": told(error(), 200),
    "details that are a list": told(error(details=[1]), 500),
    "no HTTP": b"hello\r\n\r\n",
    "HTTP of the future": b"HTTP/9.9 200 OK\r\n\r\n",
    "headers without an end": b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 100_000,
    "a header of 1 MB": answer(200, b"{}", "X-A: " + "b" * 10**6),
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
    "a wrong chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nmany\r\n{}",
    "gzip that is none": answer(200, b"{}", "Content-Encoding: gzip"),
    "an unknown coding": answer(200, b"{}", "Content-Encoding: cow"),
    "a gzip bomb": lambda: answer(200, gzip.compress(bytes(80 * 2**20)), "Content-Encoding: gzip"),
    "Retry-After without end": answer(503, json.dumps(error(code="not_ready")).encode(), "Retry-After: 1e308"),
    "a Retry-After that is a date": answer(503, b"{}", "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT"),
}


@asynccontextmanager
async def rollout_of(liar, **options):
    """A rollout at the liar, by a client that tries nothing twice."""
    async with envport.connect(f"http://127.0.0.1:{liar.port}", retry_for_s=0.0, **options) as env:
        yield await env.start_rollout(messages=PROMPT)


@pytest.mark.parametrize("what", ANSWERS)
async def test_an_answer_that_makes_no_sense_is_an_error_of_this_project(liar, what):
    async with asyncio.timeout(15), rollout_of(liar, batch=False) as rollout:
        says = ANSWERS[what]
        liar.says = says() if callable(says) else says
        with pytest.raises(EnvportError) as caught:
            await rollout.run_tool("x")
        assert len(str(caught.value)) < 2000
        liar.says = told(RAN)
        assert (await rollout.run_tool("x")).text == "x"


def lines(*some: Any) -> bytes:
    """A batch's answer of these lines, each JSON or bytes as they are."""
    body = b"".join(one if isinstance(one, bytes) else json.dumps(one).encode() + b"\n" for one in some)
    return answer(200, body)


def line(number: str, **fields: Any) -> dict[str, Any]:
    return {"id": number, "status": 200, "body": RAN} | fields


BATCHES = {
    "nothing": (lines(), 0),
    "only one line": (lines(line("0")), 1),
    "a line twice": (lines(line("0"), line("0")), 1),
    "an unknown id": (lines(line("0"), line("7")), 1),
    "an id that is a number": (lines(line("0"), {"id": 1, "status": 200, "body": RAN}), 1),
    "an id that is a list": (lines(line("0"), {"id": [], "status": 200, "body": RAN}), 1),
    "a line that is no JSON": (lines(line("0"), b"oops\n"), 1),
    "a line that is a list": (lines(line("0"), b"[]\n"), 1),
    "a line that is null": (lines(line("0"), b"null\n"), 1),
    "a line without an end": (lines(line("0"), b'{"id":"1","status":200,"bo'), 1),
    "empty lines": (lines(b"\n\n", line("0"), b"\n", line("1")), 2),
    "a status that is a text": (lines(line("0"), line("1", status="ok")), 1),
    "a status of null": (lines(line("0"), line("1", status=None)), 1),
    "a body that is a list": (lines(line("0"), line("1", body=[])), 1),
    "a body that is null": (lines(line("0"), line("1", body=None)), 1),
    "a body with another message": (lines(line("0"), line("1", body=STARTED)), 1),
    "an error without fields": (lines(line("0"), line("1", status=500, body={})), 1),
    "a line of 65 MB": (lambda: lines(line("0"), b'{"id":"' + b"x" * (65 * 2**20) + b'"}\n'), 1),
    "fields of the future": (lines(line("0", later=1), line("1", later=[])), 2),
    "another order": (lines(line("1"), line("0")), 2),
    "a 200 of JSON": (told(RAN), 0),
    "a 500 of a proxy": (answer(500, b"<h1>Internal Server Error</h1>"), 0),
    "a 404": (told(error(code="not_found"), 404), 0),
}


@pytest.mark.parametrize("what", BATCHES)
async def test_of_a_batch_each_call_gets_its_own_line_or_an_error(liar, what):
    body, good = BATCHES[what]
    async with asyncio.timeout(15), rollout_of(liar) as rollout:
        liar.says = body() if callable(body) else body
        answers = await asyncio.gather(*(rollout.run_tool("x") for _ in range(2)), return_exceptions=True)
        assert sum(isinstance(one, EnvportError) for one in answers) == 2 - good, answers
        assert [one.text for one in answers if not isinstance(one, BaseException)] == ["x"] * good
        liar.says = lines(line("0"), line("1"))
        again = await asyncio.gather(*(rollout.run_tool("x") for _ in range(2)))
        assert [one.text for one in again] == ["x", "x"]
