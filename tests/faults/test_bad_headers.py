"""Whatever the headers, the path or an MCP message hold, the answer is a clear one, soon."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest
from envport_protocol.server.scopes import NEEDED
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from .wire import Reply, request

FUZZ = settings(
    max_examples=50, deadline=5000, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
NAMES = [
    "Authorization",
    "Accept",
    "Accept-Encoding",
    "Connection",
    "Content-Type",
    "Content-Encoding",
    "Cookie",
    "Host",
    "If-None-Match",
    "Mcp-Protocol-Version",
    "Mcp-Session-Id",
    "Origin",
    "Range",
    "Traceparent",
    "X-Envport-Rollout",
    "X-Forwarded-For",
    "X-Http-Method-Override",
    "X-Request-Id",
]
LIKELY = [
    "*/*",
    "Bearer x",
    "Bearer rollout.x.y",
    "rollout.",
    "null",
    "application/json",
    "text/event-stream",
    "1",
    "-1",
]
LIKELY += [
    "00-",
    "bytes=0-99999999999999999999",
    "close",
    "http://localhost",
    "a" * 5000,
    "\t",
    "é",
    "\xff",
    "{}",
    "%s%n",
]

header_values = st.sampled_from(LIKELY) | st.text(
    st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=40
)


def assert_clear(reply: Reply | None) -> None:
    """A 4xx is the one error body, or what MCP says; nothing else goes wrong; and the request id is echoed."""
    assert reply is not None
    assert reply.status < 500, reply
    assert re.fullmatch(r"[!-~]{1,128}", reply.headers["x-request-id"])
    if reply.status >= 400 and not reply.body.startswith(b'{"jsonrpc"'):
        assert reply.error


@pytest.mark.parametrize("path", [*NEEDED, "/nowhere"])
def test_any_headers_are_answered(target, path):
    @FUZZ
    @given(st.dictionaries(st.sampled_from(NAMES), header_values, max_size=4), st.sampled_from(["GET", "POST"]))
    def any_headers(headers, method):
        named = {name.replace("-", "_"): value for name, value in headers.items()}
        body = b'{"rollout_id":"nobody"}' if method == "POST" else None
        assert_clear(target.ask(request(method, path, body, **named)))

    any_headers()


@FUZZ
@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30))
@example("//")
@example("/../../etc/passwd")
@example("/%00")
@example("/v1/%72un_tool")
@example("/?" + "a=b&" * 100)
@example("/v1/tasks?split=%ff%fe")
@example("/v1/tasks?split[]=a&split=a&split=b")
@example("/mcp/../v1/rollouts")
def test_any_path_is_answered(target, path):
    assert_clear(target.ask(request("GET", f"/{path.removeprefix('/')}")))


MCP: list[dict[str, Any]] = [
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "fuzz", "version": "1"},
        },
    },
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    {"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}},
    {"jsonrpc": "2.0", "id": "c", "method": "tools/call", "params": {"name": "echo", "arguments": {"text": "x"}}},
    {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "c", "reason": "?"}},
    {"jsonrpc": "2.0", "id": 3, "method": "ping"},
]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


def test_any_mcp_message_is_answered(target):
    ids = iter(range(10**6))
    with httpx.Client(base_url=target.url, timeout=10) as http:

        @settings(FUZZ, max_examples=200)
        @given(st.sampled_from(MCP), st.sampled_from(["id", "method", "params", "jsonrpc", "x", "inner"]), json_values)
        def any_message(message, field, value):
            rollout_id = f"mcp-{next(ids)}"
            http.post("/v1/start_rollout", json={"rollout_id": rollout_id, "split": "train", "index": 0})
            params = message.get("params", {})
            sent = message | ({"params": params | dict.fromkeys(params, value)} if field == "inner" else {field: value})
            answer = http.post("/mcp", content=json.dumps(sent), headers={"X-Envport-Rollout": rollout_id})
            assert_clear(Reply(answer.status_code, dict(answer.headers), answer.content))
            assert http.post("/v1/end_rollout", json={"rollout_id": rollout_id}).status_code == 200

        any_message()
