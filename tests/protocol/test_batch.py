"""Many calls in one request, each answered in a line of its own."""

from __future__ import annotations

import asyncio
import json
import socket

import httpx
import pytest
from envport_protocol import BaseEnv, RewardResult, ToolError
from envport_protocol.config import ServeConfig
from envport_protocol.server.app import create_app


class Gated(BaseEnv):
    """Tools: one says its text again, one waits for a gate that another opens, others fail."""

    deterministic = True

    def __init__(self):
        self.gate = asyncio.Event()
        self.ran = []

    def list_tools(self):
        texts = {"text": "str"}
        return [{"name": name, "parameters": texts} for name in ("echo", "wait", "open", "refuse", "break", "large")]

    async def run_tool(self, rollout_id, tool_name, text):
        self.ran.append(text)
        if tool_name == "wait":
            await self.gate.wait()
        elif tool_name == "open":
            self.gate.set()
        elif tool_name == "refuse":
            raise ToolError("no")
        elif tool_name == "break":
            raise KeyError("inner secret")
        elif tool_name == "large":
            return text * 100_000
        return text

    def compute_reward(self, completion):
        return RewardResult(len(completion) / 10, reason=f"{completion!r}, 10 were wanted")


class Observed:
    """An observer that keeps what was answered."""

    def __init__(self):
        self.heard = []

    def answered(self, verb, status, seconds):
        assert 0 <= seconds < 60
        self.heard.append((verb, status))

    def executed(self, *_):
        pass

    def expired(self, _):
        pass

    def replayed(self, _):
        pass


def run_tool(name, text, call_id=None):
    return {"rollout_id": "r1", "call_id": call_id or text, "tool_name": name, "arguments": {"text": text}}


def calls(*of):
    """The body of a batch: each call as (id, verb, body)."""
    return {"calls": [{"id": id_, "verb": verb, "body": body} for id_, verb, body in of]}


def lines_of(response):
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/x-ndjson"
    *lines, rest = response.content.split(b"\n")
    assert rest == b""
    return [json.loads(line) for line in lines]


def test_each_line_is_what_the_request_alone_would_have_been_answered(api):
    server = api(Gated())
    server.start()
    asked = {
        "said": ("run_tool", run_tool("echo", 'hello \u2028 "world" \u00fc', "c1")),
        "refused": ("run_tool", run_tool("refuse", "x")),
        "broken": ("run_tool", run_tool("break", "y")),
        "tools": ("list_tools", {"rollout_id": "r1"}),
        "unknown": ("run_tool", {**run_tool("echo", "z"), "rollout_id": "nobody"}),
        "misfit": ("run_tool", {"rollout_id": "r1", "tool": "echo"}),
        "score": ("compute_reward", {"rollout_id": "r1", "completion": "abc"}),
        "cancel": ("cancel", {"rollout_id": "r1", "call_id": "later"}),
        "start \u00e9\n": ("start_rollout", {"rollout_id": "r1", "messages": [{"role": "user", "content": "other"}]}),
    }
    batched = lines_of(server.post("batch", **calls(*((id_, *call) for id_, call in asked.items()))))
    alone = {id_: server.post(verb, **body) for id_, (verb, body) in asked.items()}
    assert {line["id"]: (line["status"], line["body"]) for line in batched} == {
        id_: (answer.status_code, answer.json()) for id_, answer in alone.items()
    }
    assert [alone[id_].status_code for id_ in asked] == [200, 200, 500, 200, 404, 422, 200, 200, 409]
    assert [list(line) for line in batched] == [["id", "status", "body"]] * len(asked)
    scored = next(line["body"]["rewards"] for line in batched if line["id"] == "score")
    assert scored == {"reward": {"score": 0.3, "weight": 1.0, "reason": "'abc', 10 were wanted"}}


def nested(depth):
    """A call whose body is so deep."""
    inner = "x"
    for _ in range(depth - 2):
        inner = [inner]
    return {**run_tool("echo", f"deep{depth}"), "arguments": {"text": inner}}


def test_each_call_may_be_nested_as_deep_as_alone(api):
    server = api(Gated())
    server.start()
    asked = {depth: nested(depth) for depth in (98, 99, 100, 101, 300)}
    batched = lines_of(server.post("batch", **calls(*((str(id_), "run_tool", body) for id_, body in asked.items()))))
    alone = {str(id_): server.post("run_tool", **body) for id_, body in asked.items()}
    assert {line["id"]: (line["status"], line["body"]) for line in batched} == {
        id_: (answer.status_code, answer.json()) for id_, answer in alone.items()
    }
    assert [answer.status_code for answer in alone.values()] == [200, 200, 200, 422, 422]


def test_a_batch_too_deep_for_its_numbers_to_be_read_is_422(api):
    deep = '{"calls":[{"id":"a","verb":"run_tool","body":{"x":' + "[" * 1000 + "1" * 30 + "]" * 1000 + "}}]}"
    answer = api(Gated()).http.post("/v1/batch", content=deep)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")


async def test_a_slow_call_delays_no_other_and_each_line_comes_when_it_is_done(serve_env):
    env = Gated()
    async with httpx.AsyncClient(base_url=serve_env(env), timeout=20) as http:
        await http.post("/v1/start_rollout", json={"rollout_id": "r1", "messages": [{"role": "user", "content": "?"}]})
        body = calls(("slow", "run_tool", run_tool("wait", "s")), ("fast", "run_tool", run_tool("echo", "f")))
        async with http.stream("POST", "/v1/batch", json=body) as answer:
            lines = answer.aiter_lines()
            assert json.loads(await anext(lines))["id"] == "fast"
            await http.post("/v1/run_tool", json=run_tool("open", "o"))
            assert json.loads(await anext(lines)) == {
                "id": "slow",
                "status": 200,
                "body": {
                    "content": [{"type": "text", "text": "s"}],
                    "outcome": "ok",
                    "trainable": True,
                    "rewards": {},
                    "done": False,
                },
            }
            assert [line async for line in lines] == []


def test_a_call_in_a_batch_runs_once_like_any_other(api):
    env = Gated()
    server = api(env)
    server.start()
    same = run_tool("echo", "once", "c1")
    batched = lines_of(server.post("batch", **calls(("a", "run_tool", same), ("b", "run_tool", same))))
    assert batched[0]["body"] == batched[1]["body"] == server.post("run_tool", **same).json()
    assert env.ran == ["once"]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"calls": []},
        {"calls": {}},
        {"calls": [{"id": "a", "verb": "batch", "body": {"calls": []}}]},
        {"calls": [{"id": "a", "verb": "explode", "body": {}}]},
        {"calls": [{"id": "", "verb": "list_tools", "body": {}}]},
        {"calls": [{"id": "x" * 129, "verb": "list_tools", "body": {}}]},
        {"calls": [{"id": 1, "verb": "list_tools", "body": {}}]},
        {"calls": [{"id": "a", "verb": "list_tools", "body": []}]},
        {"calls": [{"id": "a", "verb": "list_tools"}]},
        {"calls": [{"id": "a", "verb": "list_tools", "body": {}, "more": 1}]},
        {"calls": [{"id": str(n), "verb": "list_tools", "body": {}} for n in range(5)]},
    ],
)
def test_a_batch_of_another_form_is_422_as_a_whole(api, wrong):
    env = Gated()
    answer = api(env, ServeConfig(max_batch=4)).http.post("/v1/batch", json=wrong)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")
    assert answer.headers["content-type"] == "application/json"


def test_one_call_too_many_says_how_many_may_be(api):
    server = api(Gated(), ServeConfig(max_batch=2))
    tools = [(str(number), "list_tools", {}) for number in range(3)]
    error = server.post("batch", **calls(*tools)).json()["error"]
    assert (error["message"], error["details"]) == (
        "the batch has 3 calls, the most is 2; send several",
        {"max_batch": 2},
    )
    assert len(lines_of(server.post("batch", **calls(*tools[:2])))) == 2
    assert server.get("/v1/manifest").json()["limits"]["max_batch"] == 2


def test_an_id_given_twice_fails_in_its_second_line_only(api):
    env = Gated()
    server = api(env)
    server.start()
    body = calls(("a", "run_tool", run_tool("echo", "first")), ("a", "run_tool", run_tool("echo", "second")))
    statuses = [(line["id"], line["status"]) for line in lines_of(server.post("batch", **body))]
    assert sorted(statuses) == [("a", 200), ("a", 422)]
    assert env.ran == ["first"]


def test_a_failure_of_the_server_in_one_call_stays_in_its_line(api, monkeypatch):
    from envport_protocol.hosting.host import Host

    async def broken(self, request):
        raise KeyError("inner secret")

    monkeypatch.setattr(Host, "list_tools", broken)
    server = api(Gated())
    server.start()
    answer = server.post("batch", **calls(("a", "list_tools", {}), ("b", "run_tool", run_tool("echo", "x"))))
    statuses = {line["id"]: line["status"] for line in lines_of(answer)}
    assert statuses == {"a": 500, "b": 200}
    assert "inner secret" not in answer.text


async def test_the_batch_and_each_of_its_calls_are_told_to_the_observer():
    observer = Observed()
    app = create_app(Gated(), observer=observer)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://env") as http:
        body = calls(("a", "list_tools", {}), ("b", "end_rollout", {"rollout_id": "nobody"}), ("c", "run_tool", {}))
        await http.post("/v1/batch", json=body)
        await http.get("/v1/manifest")
        await http.get("/livez")
        await http.post("/v1/cancel", json={})
    await app.desk.readiness.stop()
    assert sorted(observer.heard) == [
        ("batch", 200),
        ("cancel", 422),
        ("end_rollout", 404),
        ("list_tools", 200),
        ("manifest", 200),
        ("run_tool", 422),
    ]


def test_a_client_that_does_not_read_holds_up_nobody_and_gets_all_in_the_end(api):
    env = Gated()
    server = api(env)
    server.start()
    large = [(str(number), "run_tool", run_tool("large", chr(97 + number))) for number in range(20)]
    body = json.dumps(calls(*large)).encode()
    address = (server.http.base_url.host, server.http.base_url.port)
    with socket.create_connection(address, timeout=10) as raw, raw.makefile("rb") as answer:
        raw.sendall(
            b"POST /v1/batch HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        raw.sendall(body)
        assert server.run_tool("echo", text="meanwhile").status_code == 200
        head, _, streamed = answer.read().partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    whole = b"".join(chunk for chunk in chunks_of(streamed))
    texts = sorted(json.loads(line)["body"]["content"][0]["text"] for line in whole.splitlines())
    assert texts == [chr(97 + number) * 100_000 for number in range(20)]


async def test_no_call_begins_while_much_waits_to_be_sent():
    observer, may_send, pieces = Observed(), asyncio.Event(), []
    app = create_app(Gated(), observer=observer)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://env") as http:
        await http.post("/v1/start_rollout", json={"rollout_id": "r1", "messages": [{"role": "user", "content": "?"}]})
        same = run_tool("large", "12345", "c1")
        await http.post("/v1/run_tool", json=same)
        body = json.dumps(calls(*((str(number), "run_tool", same) for number in range(100)))).encode()
        observer.heard.clear()

        async def receive():
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message):
            if "body" in message:
                pieces.append(message["body"])
                await may_send.wait()

        scope = {"type": "http", "method": "POST", "path": "/v1/batch", "headers": [], "query_string": b""}
        answering = asyncio.create_task(app(scope, receive, send))
        while not pieces:
            await asyncio.sleep(0)
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(observer.heard) in range(8, 11)
        may_send.set()
        await answering
        await http.post("/v1/end_rollout", json={"rollout_id": "r1"})
    await app.desk.readiness.stop()
    lines = [json.loads(line) for line in b"".join(pieces).splitlines()]
    assert sorted(int(line["id"]) for line in lines) == [*range(100)]
    assert {line["body"]["content"][0]["text"] for line in lines} == {"12345" * 100_000}
    assert max(len(piece) for piece in pieces) == 2**16


def chunks_of(streamed):
    """The chunks of a chunked body."""
    while streamed:
        size, _, streamed = streamed.partition(b"\r\n")
        yield streamed[: int(size, 16)]
        streamed = streamed[int(size, 16) + 2 :]
