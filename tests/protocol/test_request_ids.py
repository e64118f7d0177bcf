"""A request's id goes from the client through the author's code and back."""

from __future__ import annotations

import re

import pytest
from envport_protocol import BaseEnv
from envport_protocol.server.request_ids import request_id, traceparent

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Told(BaseEnv):
    """Its tools say for which request they run: one on the event loop, one in a thread."""

    def list_tools(self):
        return [{"name": "here", "parameters": {}}, {"name": "in_a_thread", "parameters": {}}]

    async def here(self):
        return f"{request_id.get()} {traceparent.get()}"

    def run_tool(self, rollout_id, tool_name):
        return self.here() if tool_name == "here" else f"{request_id.get()} {traceparent.get()}"


def call(number, tool="here"):
    return {"rollout_id": "r1", "call_id": f"c{number}", "tool_name": tool}


@pytest.mark.parametrize("tool", ["here", "in_a_thread"])
def test_the_authors_code_and_the_answer_have_the_clients_id(api, tool):
    server = api(Told())
    server.start()
    headers = {"X-Request-Id": "step-7/rollout-3", "traceparent": PARENT}
    answer = server.http.post("/v1/run_tool", json=call(1, tool), headers=headers)
    assert answer.json()["content"][0]["text"] == f"step-7/rollout-3 {PARENT}"
    assert answer.headers["x-request-id"] == "step-7/rollout-3"


def test_without_an_id_each_request_gets_its_own_and_no_traceparent(api):
    server = api(Told())
    server.start()
    answers = [server.http.post("/v1/run_tool", json=call(number)) for number in range(3)]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert [answer.json()["content"][0]["text"] for answer in answers] == [f"{one} None" for one in ids]
    assert len({*ids}) == 3
    assert all(re.fullmatch(r"[0-9a-f]{12}-\d+", one) for one in ids)


@pytest.mark.parametrize("bad", ["", "a b", "x" * 129, "tab\there", "\u00fc"])
def test_an_id_that_is_not_safe_in_a_header_and_a_log_is_replaced(api, bad):
    answer = api(Told()).http.get("/livez", headers={"X-Request-Id": bad.encode("latin-1")})
    assert re.fullmatch(r"[0-9a-f]{12}-\d+", answer.headers["x-request-id"])


def test_the_longest_id_that_may_be_is_kept(api):
    server = api(Told())
    for good in ("~" * 128, "!", 'a,b;c="d"'):
        assert server.http.get("/livez", headers={"X-Request-Id": good}).headers["x-request-id"] == good


@pytest.mark.parametrize("bad", ["nonsense", PARENT.upper(), PARENT + "\u00fc", PARENT[:-1], ""])
def test_a_traceparent_of_another_form_is_left_out(api, bad):
    server = api(Told())
    server.start()
    headers = {"X-Request-Id": "x", "traceparent": bad.encode("latin-1")}
    answer = server.http.post("/v1/run_tool", json=call(1), headers=headers)
    assert answer.json()["content"][0]["text"] == "x None"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/manifest", 200),
        ("HEAD", "/livez", 200),
        ("GET", "/", 200),
        ("GET", "/metrics", 200),
        ("GET", "/nowhere", 404),
        ("DELETE", "/v1/run_tool", 405),
        ("POST", "/v1/run_tool", 422),
        ("POST", "/v1/batch", 422),
        ("GET", "/v1/tasks", 422),
    ],
)
def test_every_answer_has_the_id_once(api, method, path, status):
    answer = api(Told()).http.request(method, path, headers={"X-Request-Id": "mine"})
    assert (answer.status_code, answer.headers.get_list("x-request-id")) == (status, ["mine"])


def test_the_calls_of_a_batch_share_its_id(api):
    server = api(Told())
    server.start()
    calls = [{"id": str(number), "verb": "run_tool", "body": call(number)} for number in range(2)]
    answer = server.http.post("/v1/batch", json={"calls": calls}, headers={"X-Request-Id": "batch-1"})
    assert answer.headers["x-request-id"] == "batch-1"
    assert answer.text.count("batch-1 None") == 2
