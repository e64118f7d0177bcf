"""Every failure is the one error body, with a message that helps."""

from __future__ import annotations

import json
import logging
import socket

import pytest
from envport_protocol import BaseEnv
from envport_protocol.config import ServeConfig
from envport_protocol.errors import WireError, error_from_body
from envport_protocol.messages import ErrorBody, Outcome
from envport_protocol.server.app import create_app


class Plain(BaseEnv):
    def list_tools(self):
        return [{"name": "echo", "parameters": {"text": "str"}}]

    def run_tool(self, rollout_id, tool_name, text):
        return text

    def compute_reward(self, completion):
        return float("nan")


def error_of(response):
    """The error of a response, after checking that the body is the one error body and nothing else."""
    body = response.json()
    assert list(body) == ["error"]
    assert sorted(body["error"]) == ["code", "details", "message", "outcome", "trainable"]
    assert body["error"]["trainable"] is False
    assert Outcome(body["error"]["outcome"])
    assert body["error"]["message"]
    assert response.headers["content-type"] == "application/json"
    assert "Traceback" not in response.text
    assert type(error_from_body(response.status_code, ErrorBody.model_validate(body))) is not WireError
    return response.status_code, body["error"]["code"]


def test_every_route_answers_a_wrong_method_and_a_wrong_body_by_the_error_body(api):
    server = api(Plain())
    routes = {route.path: route.methods - {"HEAD"} for route in create_app(Plain()).routes}
    for path, methods in routes.items():
        assert error_of(server.http.delete(path)) == (405, "method_not_allowed")
        assert error_of(server.http.get(path.rstrip("/") + "/more")) == (404, "not_found")
        if methods == {"POST"}:
            assert error_of(server.http.get(path)) == (405, "method_not_allowed")
        if methods == {"POST"} and path != "/mcp":
            for body in (b"", b"{", b"[1]", b'"x"', b'{"unknown": 1}', b"\xff\xfe", b'{"rollout_id": NaN}'):
                assert error_of(server.http.post(path, content=body)) == (422, "invalid_request")
            text = server.http.post(path, content=b"{}", headers={"content-type": "text/plain"})
            assert error_of(text) == (415, "unsupported_media_type")
    assert error_of(server.http.get("/v1/tasks")) == (422, "invalid_request")


def test_a_wrong_method_says_which_ones_there_are(api):
    answer = api(Plain()).http.get("/v1/run_tool")
    assert answer.headers["allow"] == "POST"
    assert answer.json()["error"]["message"] == "/v1/run_tool does not answer GET; it answers: POST"


def test_an_unknown_field_is_named_with_those_that_exist(api):
    answer = api(Plain()).post("run_tool", rollout_id="r1", call_id="c", tool_name="echo", args={})
    assert answer.json()["error"]["message"] == (
        "not a RunToolRequest: args: Extra inputs are not permitted. "
        "Its fields are: rollout_id, call_id, tool_name, arguments, timeout_s"
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", "5"),
        ("seed", 5.5),
        ("seed", True),
        ("seed", 2**64),
        ("seed", -(2**63) - 1),
        ("ground_truth", 10**30),
        ("ground_truth", [{"deep": -(10**40)}]),
        ("messages", {"role": "user"}),
        ("messages", [["user", "x"]]),
        ("messages", [{"role": "wizard", "content": "x"}]),
    ],
)
def test_a_value_of_another_type_than_the_fields_is_refused_and_not_bent_into_it(api, field, value):
    body = {"rollout_id": "r", "messages": [{"role": "user", "content": "?"}], field: value}
    answer = api(Plain()).http.post("/v1/start_rollout", content=json.dumps(body))
    assert error_of(answer) == (422, "invalid_request")


def test_integers_of_64_bits_and_long_numbers_in_texts_are_read(api):
    server = api(Plain())
    asked = [{"role": "user", "content": "?"}]
    assert server.start("low", messages=asked, seed=-(2**63)).status_code == 200
    assert server.start("high", messages=asked, seed=2**64 - 1).status_code == 200
    assert server.start("text", messages=asked, ground_truth="1" * 50).status_code == 200
    answer = server.start("huge", messages=asked, ground_truth=int("1" * 25))
    assert answer.json()["error"]["message"] == (
        "the body has the integer 11111111111111111111…, which 64 bits cannot hold; send it as text"
    )


@pytest.mark.parametrize("text", ["1.0", " 1", "1_0", "+1", "٣", "1e2", "", "0x1", "9" * 30])
def test_a_number_in_a_query_is_plain_digits(api, text):
    assert error_of(api(Plain()).get("/v1/tasks", split="train", limit=text)) == (422, "invalid_request")


def test_ids_and_numbers_out_of_range_are_refused(api):
    server = api(Plain())
    for wrong in ("", "x" * 129, "a/b", "a b", "a\n"):
        assert error_of(server.start(wrong)) == (422, "invalid_request")
    assert error_of(server.start(split="train", index=-1)) == (422, "invalid_request")
    assert error_of(server.start(split="train")) == (422, "invalid_request")
    assert error_of(server.get("/v1/tasks", split="train", limit=100000)) == (422, "invalid_request")


def test_a_body_over_the_limit_is_413_whether_its_length_is_declared_or_not(api):
    server = api(Plain(), ServeConfig(max_body_bytes=2000))
    body = json.dumps({"rollout_id": "r" * 3000}).encode()
    assert error_of(server.http.post("/v1/end_rollout", content=body)) == (413, "body_too_large")
    assert error_of(server.http.post("/v1/end_rollout", content=iter([body[:1500], body[1500:]]))) == (
        413,
        "body_too_large",
    )
    fits = b'{"rollout_id": "nobody"' + b" " * 1900 + b"}"
    assert error_of(server.http.post("/v1/end_rollout", content=fits)) == (404, "unknown_rollout")


def test_an_endless_chunked_body_is_not_read_to_its_end(api):
    server = api(Plain(), ServeConfig(max_body_bytes=10_000))
    address = (server.http.base_url.host, server.http.base_url.port)
    with socket.create_connection(address, timeout=10) as raw:
        raw.sendall(b"POST /v1/end_rollout HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"1000\r\n" + b"x" * 4096 + b"\r\n"
        for _ in range(4):
            raw.sendall(chunk)
        answer = raw.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("depth", [101, 1000, 100_000])
def test_deeply_nested_json_is_422(api, depth):
    body = '{"rollout_id":"r","call_id":"c","tool_name":"echo","arguments":{"x":' + "[" * depth + "]" * depth + "}}"
    assert error_of(api(Plain()).http.post("/v1/run_tool", content=body)) == (422, "invalid_request")


def test_nesting_within_the_limit_is_read(api):
    server = api(Plain())
    server.start()
    body = '{"rollout_id":"r1","call_id":"c","tool_name":"echo","arguments":{"text":' + "[" * 90 + "]" * 90 + "}}"
    assert server.http.post("/v1/run_tool", content=body).json()["outcome"] == "tool_error"


def test_unknown_things_are_404_and_say_what_exists(api):
    server = api(Plain())
    unknown = server.run_tool("echo", rollout_id="nobody", text="x")
    assert error_of(unknown) == (404, "unknown_rollout")
    assert unknown.json()["error"]["outcome"] == "lost"
    assert error_of(server.start(task_id="nix")) == (404, "unknown_task")
    split = server.start(split="train", index=0)
    assert error_of(split) == (404, "unknown_task")
    assert "start a rollout by messages and ground_truth" in split.json()["error"]["message"]
    assert error_of(server.get("/v2/manifest")) == (404, "not_found")


def test_a_reward_that_is_not_finite_is_the_environments_failure(api):
    server = api(Plain())
    server.start()
    scored = server.score("x")
    assert error_of(scored) == (500, "env_error")
    assert "it must be finite" in scored.json()["error"]["message"]


def test_one_rollout_too_many_is_503_and_says_when_to_come_again(api):
    server = api(Plain(), ServeConfig(max_rollouts=1))
    server.start("a")
    refused = server.start("b")
    assert error_of(refused) == (503, "overloaded")
    assert (refused.headers["retry-after"], refused.json()["error"]["outcome"]) == ("1", "overloaded")
    assert server.end("a").status_code == 200
    assert server.start("b").status_code == 200


def test_an_unexpected_failure_of_the_server_is_500_without_its_traceback(api, monkeypatch, caplog):
    from envport_protocol.hosting.host import Host

    async def broken(self):
        raise KeyError("inner secret")

    monkeypatch.setattr(Host, "manifest", broken)
    with caplog.at_level(logging.CRITICAL, logger="envport.protocol"):
        answer = api(Plain()).get("/v1/manifest")
    assert error_of(answer) == (500, "infra_error")
    assert "inner secret" not in answer.text


def test_a_failure_while_starting_is_told_by_readyz_and_by_every_verb(api):
    class Broken(Plain):
        def list_tools(self):
            return "search"

    from envport_protocol.errors import NotReadyError
    from envport_protocol.hosting.host import Host
    from envport_protocol.server.readiness import Readiness

    async def told():
        readiness = Readiness(Host(Broken(), ServeConfig()))
        try:
            await readiness.wait()
        except NotReadyError as error:
            return str(error)
        finally:
            await readiness.stop()

    import asyncio

    assert asyncio.run(told()) == (
        f"the environment could not start: {Broken.list_tools.__qualname__} gave str; expected a list of tools"
    )


def test_the_openapi_document_names_every_path_and_only_things_it_defines(api):
    document = api(Plain()).get("/openapi.json").json()
    served = {
        (route.path, method.lower()) for route in create_app(Plain()).routes for method in route.methods - {"HEAD"}
    }
    assert {(path, method) for path, methods in document["paths"].items() for method in methods} == served - {
        ("/mcp", "post")  # it speaks another protocol
    }
    defined = {f"#/components/{kind}/{name}" for kind, named in document["components"].items() for name in named}
    used = set()

    def walk(value):
        if isinstance(value, dict):
            used.update([value["$ref"]] if isinstance(value.get("$ref"), str) else [])
            value = list(value.values())
        if isinstance(value, list):
            for item in value:
                walk(item)

    walk(document)
    assert used <= defined
    assert "#/components/schemas/ErrorBody" in used


def test_a_message_of_tool_calls_alone_may_have_null_content(api):
    seen = []

    class Looking(Plain):
        def compute_reward(self, messages):
            seen.extend(messages[1:])
            return 1.0

    server = api(Looking())
    server.start()
    calls = [{"id": "1", "type": "function", "function": {"name": "echo", "arguments": "{}"}}]
    message = {"role": "assistant", "content": None, "tool_calls": calls, "refusal": None}
    assert server.score([message]).json()["reward"] == 1.0
    assert seen == [{"role": "assistant", "content": "", "tool_calls": calls}]
    assert error_of(server.score([{"role": "assistant", "content": 5}])) == (422, "invalid_request")


def test_an_error_of_unknown_code_keeps_status_code_and_outcome():
    detail = {"code": "quota", "message": "come back tomorrow", "outcome": "overloaded", "details": {"left": 0}}
    error = error_from_body(429, ErrorBody.model_validate({"error": detail}))
    assert (type(error), error.status, error.code, error.outcome) == (WireError, 429, "quota", Outcome.OVERLOADED)
    again = error.afresh(f"{error.message}!")
    assert str(again) == "come back tomorrow (HTTP 429, code 'quota')!"
    assert (again.status, again.outcome, again.details) == (429, Outcome.OVERLOADED, {"left": 0})
    assert WireError.outcome is Outcome.INFRA_ERROR


def test_a_tools_answer_over_the_limit_is_the_environments_failure(api):
    class Large(Plain):
        def run_tool(self, rollout_id, tool_name, text):
            return "x" * int(text)

    server = api(Large())
    server.start()
    assert len(server.run_tool("echo", "fits", text="1048000").json()["content"][0]["text"]) == 1_048_000
    refused = server.run_tool("echo", "large", text="1048576")
    assert error_of(refused) == (500, "env_error")
    assert refused.json()["error"]["message"] == (
        "tool 'echo' answered 1048673 bytes as JSON; the most is 1048576. Have it give less, such as a page"
    )


async def test_a_start_that_does_not_heed_its_end_does_not_hold_the_server(monkeypatch):
    import asyncio

    from envport_protocol.hosting.host import Host
    from envport_protocol.server import readiness as module

    release = asyncio.Event()

    class Deaf(Plain):
        async def list_tools(self):
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue
            return []

    monkeypatch.setattr(module, "STOP_TIMEOUT_S", 0.01)
    readiness = module.Readiness(Host(Deaf(), ServeConfig()))
    preparation = readiness.begin()
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await readiness.stop()
    release.set()
    await preparation
