"""`/mcp`, by the official SDK's own client over HTTP."""

from __future__ import annotations

import asyncio
import gc
import re
import subprocess
import sys
import threading
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import httpx
import httpx2
import orjson
import pytest
from envport_extraction import ExtractionEnv
from envport_protocol import BaseEnv, ToolError, ToolResult, tool
from envport_protocol.config import ServeConfig, Tokens
from envport_protocol.errors import ForbiddenError
from envport_protocol.server.mcp_tools import RolloutTools
from envport_protocol.server.origin import check_origin
from envport_protocol.server.routing import owner
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from envport_protocol.messages import CancelRequest, RunToolRequest

    ServeEnv = Callable[..., str]

ROOT = Path(__file__).parents[2]
MODES = pytest.mark.parametrize("mode", ["legacy", "auto"])
TRAINER, AGENT, ADMIN = "trainer-token-of-the-test", "agent-token-of-the-test", "admin-token-of-the-test"
CONFIG = ServeConfig(
    name="shelf", version="3.1", tokens=Tokens.model_validate({"trainer": TRAINER, "agent": AGENT, "admin": ADMIN})
)


class Shelf(BaseEnv):
    """Each rollout has a shelf of its own to put things on."""

    def __init__(self) -> None:
        self.shelves: dict[str, list[str]] = {}
        self.hanging, self.stopped = threading.Event(), threading.Event()

    def list_tools(self, rollout_id: str | None = None) -> Any:
        tools = super().list_tools()
        return tools if rollout_id != "r-few" else tools[:1]

    @tool
    async def put(self, rollout_id: str, item: str) -> ToolResult:
        """Puts an item on the shelf.

        Args:
            item: What to put.
        """
        await asyncio.sleep(0)
        shelf = self.shelves.setdefault(rollout_id, [])
        shelf.append(item)
        return ToolResult(" ".join(shelf), rewards={"tidy": 0.25}, done=item == "last")

    @tool
    async def pick(self, colour: Literal["red", "blue"], count: int | None = None, sizes: list[int] = []) -> str:  # noqa: B006
        return f"{colour} {count} {sizes}"

    @tool
    async def refuse(self) -> str:
        raise ToolError("The shelf is full; take something off.")

    @tool
    async def fail(self) -> str:
        raise ValueError("the wood is rotten")

    @tool
    async def hang(self) -> str:
        self.hanging.set()
        try:
            await asyncio.sleep(60)
        finally:
            self.stopped.set()
        return "never"

    async def compute_reward(self, completion: str) -> float:
        return 1.0


def post(url: str, path: str, body: Any, token: str | None = None, **headers: str) -> httpx.Response:
    more = {} if token is None else {"Authorization": f"Bearer {token}"}
    return httpx.post(url + path, json=body, headers={**more, **headers}, timeout=20)


def start(url: str, rollout_id: str = "r1", token: str | None = None) -> str:
    """The token of a new rollout."""
    body = {"rollout_id": rollout_id, "messages": [{"role": "user", "content": "Tidy up."}]}
    return post(url, "/v1/start_rollout", body, token).raise_for_status().json()["token"]


def message(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


INITIALIZE = message(
    "initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo={"name": "test", "version": "1"}
)


@asynccontextmanager
async def model(url: str, token: str | None = None, mode: str = "legacy", **headers: str) -> AsyncGenerator[Client]:
    """A client of the SDK, connected."""
    bearer = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers={**bearer, **headers}, timeout=20) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http), mode=mode) as client,
    ):
        yield client


def text(result: Any) -> str:
    (block,) = result.content
    return block.text


@MODES
async def test_a_stock_client_connects_lists_and_calls(serve_env: ServeEnv, mode: str):
    url = serve_env(Shelf(), CONFIG)
    token = start(url, token=TRAINER)
    async with model(url, token, mode) as client:
        assert client.protocol_version == {"legacy": "2025-11-25", "auto": "2026-07-28"}[mode]
        assert client.server_info is not None
        assert (client.server_info.name, client.server_info.version) == ("shelf", "3.1")
        assert client.server_capabilities.tools is not None
        tools = (await client.list_tools()).tools
        told = post(url, "/v1/list_tools", {"rollout_id": "r1"}, token).json()["tools"]
        assert [(one.name, one.description, one.input_schema) for one in tools] == [
            (one["name"], one["description"], one["parameters"]) for one in told
        ]
        assert [one.name for one in tools] == ["put", "pick", "refuse", "fail", "hang"]
        result = await client.call_tool("put", {"item": "cup"})
        assert (text(result), result.is_error) == ("cup", False)
        assert text(await client.call_tool("pick", {"colour": "red", "sizes": [1, 2]})) == "red None [1, 2]"


@MODES
async def test_what_the_model_did_wrong_is_a_result_for_it_to_read(serve_env: ServeEnv, mode: str):
    url = serve_env(Shelf())
    async with model(url, start(url), mode) as client:
        result = await client.call_tool("refuse")
        assert (text(result), result.is_error) == ("The shelf is full; take something off.", True)
        wrong = await client.call_tool("put", {"item": 3})
        assert wrong.is_error
        assert text(wrong) == "The arguments do not fit put: item: 3 is not of type 'string'. Expected: item (string)."
        unknown = await client.call_tool("sweep", {})
        assert unknown.is_error
        assert text(unknown).startswith("There is no tool 'sweep'. Available tools: put, pick")


@MODES
async def test_what_the_environment_did_wrong_is_an_error_that_says_so(serve_env: ServeEnv, mode: str):
    url = serve_env(Shelf())
    token = start(url)
    async with model(url, token, mode) as client:
        with pytest.raises(MCPError, match="the environment's own code is at fault") as caught:
            await client.call_tool("fail", meta={"envport/call_id": "c1"})
    assert caught.value.code == -32010
    again = {"rollout_id": "r1", "call_id": "c1", "tool_name": "fail"}
    assert caught.value.data == post(url, "/v1/run_tool", again, token).json()["error"]
    assert (caught.value.data["outcome"], caught.value.data["trainable"]) == ("env_error", False)


async def test_a_tool_that_hangs_ends_at_its_deadline(serve_env: ServeEnv):
    env = Shelf()
    url = serve_env(env, ServeConfig(call_timeout_s=0.3))
    async with model(url, start(url)) as client:
        with pytest.raises(MCPError, match="the tool took longer than it may") as caught:
            await client.call_tool("hang")
    assert (caught.value.code, caught.value.data["outcome"]) == (-32011, "timeout")
    assert env.stopped.wait(10)


@MODES
async def test_a_call_with_its_own_id_runs_once_and_one_without_each_time(serve_env: ServeEnv, mode: str):
    env = Shelf()
    url = serve_env(env)
    async with model(url, start(url), mode) as client:
        for _ in range(3):
            result = await client.call_tool("put", {"item": "cup"}, meta={"envport/call_id": "c-17"})
            assert text(result) == "cup"
            assert result.meta is not None
            ours = {name: value for name, value in result.meta.items() if name.startswith("envport/")}
            assert ours == {"envport/call_id": "c-17", "envport/outcome": "ok", "envport/done": False}
        with pytest.raises(MCPError) as caught:
            await client.call_tool("put", {"item": "pan"}, meta={"envport/call_id": "c-17"})
        assert (caught.value.code, caught.value.data["code"]) == (-32602, "id_conflict")
        with pytest.raises(MCPError) as caught:
            await client.call_tool("put", {"item": "pan"}, meta={"envport/call_id": "no id at all"})
        assert (caught.value.code, caught.value.data["code"]) == (-32602, "invalid_request")
    for _ in range(2):
        async with model(url, start(url), mode) as client:
            await client.call_tool("put", {"item": "jug"})
            await client.call_tool("put", {"item": "jug"})
    assert env.shelves == {"r1": ["cup", "jug", "jug", "jug", "jug"]}


async def test_the_model_reads_that_the_rollout_is_over_and_no_reward(serve_env: ServeEnv):
    url = serve_env(Shelf())
    answer = post(url, "/mcp", message("tools/call", name="put", arguments={"item": "last"}), start(url))
    assert "tidy" not in answer.text
    assert answer.json()["result"]["_meta"]["envport/done"] is True


async def test_rollouts_side_by_side_never_mix(serve_env: ServeEnv):
    env = Shelf()
    url = serve_env(env, CONFIG)
    tokens = {name: start(url, name, TRAINER) for name in ("r1", "r2", "r-few")}

    async def fill(rollout_id: str) -> None:
        async with model(url, tokens[rollout_id], "auto" if rollout_id == "r2" else "legacy") as client:
            assert len((await client.list_tools()).tools) == (1 if rollout_id == "r-few" else 5)
            for number in range(1, 31):
                result = await client.call_tool("put", {"item": f"{rollout_id}-{number}"})
                assert text(result).split() == [f"{rollout_id}-{one}" for one in range(1, number + 1)]

    await asyncio.gather(*map(fill, tokens))
    assert {name: len(shelf) for name, shelf in env.shelves.items()} == {"r1": 30, "r2": 30, "r-few": 30}


@MODES
async def test_a_rollout_that_was_ended_is_told_to_be(serve_env: ServeEnv, mode: str):
    url = serve_env(Shelf())
    async with model(url, start(url), mode) as client:
        post(url, "/v1/end_rollout", {"rollout_id": "r1"}).raise_for_status()
        for ask in (client.list_tools(), client.call_tool("put", {"item": "cup"})):
            with pytest.raises(MCPError, match="the rollout 'r1' was ended; start a new one") as caught:
                await ask
            assert (caught.value.code, caught.value.data["code"]) == (-32013, "rollout_ended")


@pytest.mark.parametrize("token", [None, "no-token-of-this-server", "rollout.AAAA.r1"])
def test_a_missing_or_unknown_token_is_the_one_error_body(serve_env: ServeEnv, token: str | None):
    url = serve_env(Shelf(), CONFIG)
    start(url, token=TRAINER)
    answer = post(url, "/mcp", INITIALIZE, token, **{"X-Envport-Rollout": "r1"})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json()["error"]["code"] == "unauthorized"


@pytest.mark.parametrize("config", [CONFIG, None], ids=["with tokens", "without"])
def test_a_rollouts_token_reaches_no_other_rollout(serve_env: ServeEnv, config: ServeConfig | None):
    url = serve_env(Shelf(), config)
    token = start(url, "r1", TRAINER)
    start(url, "r2", TRAINER)
    call = message("tools/call", name="put", arguments={"item": "cup"})
    answer = post(url, "/mcp", call, token, **{"X-Envport-Rollout": "r2"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
    assert post(url, "/mcp", call, token, **{"X-Envport-Rollout": "r1"}).json()["result"]["isError"] is False


@pytest.mark.parametrize("token", [AGENT, TRAINER, ADMIN])
async def test_an_agent_names_the_rollout_by_header(serve_env: ServeEnv, token: str):
    url = serve_env(Shelf(), CONFIG)
    start(url, "r2", TRAINER)
    async with model(url, token, **{"X-Envport-Rollout": "r2"}) as client:
        assert text(await client.call_tool("put", {"item": "cup"})) == "cup"
    nameless = post(url, "/mcp", INITIALIZE, token)
    assert nameless.status_code == 422
    assert "X-Envport-Rollout" in nameless.json()["error"]["message"]
    wrong = post(url, "/mcp", INITIALIZE, token, **{"X-Envport-Rollout": "a rollout"})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "invalid_request")


async def test_a_server_without_tokens_takes_the_header_alone(serve_env: ServeEnv):
    url = serve_env(Shelf())
    start(url)
    async with model(url, **{"X-Envport-Rollout": "r1"}) as client:
        assert text(await client.call_tool("put", {"item": "cup"})) == "cup"


async def test_a_call_that_its_client_cancels_is_stopped(serve_env: ServeEnv):
    env = Shelf()
    url = serve_env(env, ServeConfig(orphan_grace_s=600))
    async with model(url, start(url)) as client:
        calling = asyncio.create_task(client.call_tool("hang"))
        assert await asyncio.to_thread(env.hanging.wait, 10)
        calling.cancel()
        assert await asyncio.to_thread(env.stopped.wait, 10)
        assert text(await client.call_tool("put", {"item": "cup"})) == "cup"


@MODES
async def test_a_call_whose_client_goes_away_is_stopped(serve_env: ServeEnv, mode: str):
    env = Shelf()
    url = serve_env(env, ServeConfig(orphan_grace_s=600))
    token = start(url)
    version = {} if mode == "legacy" else {"MCP-Protocol-Version": "2026-07-28"}
    call = message("tools/call", name="hang", arguments={}, _meta=ENVELOPE if version else {})
    if version:
        version |= {"Mcp-Method": "tools/call", "Mcp-Name": "hang"}
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}", **version}) as http:
        calling = asyncio.create_task(http.post(f"{url}/mcp", json=call))
        assert await asyncio.to_thread(env.hanging.wait, 10)
        calling.cancel()
        assert await asyncio.to_thread(env.stopped.wait, 10)


ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


class FakeHost:
    """A host whose tools never answer."""

    name, config = "fake", ServeConfig()

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.cancelled: list[str] = []
        self.hanging = asyncio.Event()

    async def run_tool(self, request: RunToolRequest) -> bytes:
        self.ran.append(request.call_id)
        self.hanging.set()
        await asyncio.Event().wait()
        return b""

    async def cancel(self, request: CancelRequest) -> bytes:
        self.cancelled.append(request.call_id)
        return b""


@pytest.mark.parametrize("meta", [{}, {"envport/call_id": "c1"}])
async def test_a_call_that_can_be_asked_for_again_outlives_its_client(meta: dict[str, Any]):
    host = FakeHost()
    body = orjson.dumps(message("tools/call", name="hang", arguments={}, _meta=meta))
    headers = [(b"content-type", b"application/json"), (b"accept", b"application/json")]
    tools = RolloutTools(cast("Any", host))
    answering = asyncio.create_task(tools.answer("r1", headers, body))
    await host.hanging.wait()
    answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answering
    assert host.cancelled == ([] if meta else host.ran)
    assert vars(tools)["_running"] == {}


async def test_only_a_call_that_is_meant_for_sure_is_cancelled_by_its_request(serve_env: ServeEnv):
    env = Shelf()
    url = serve_env(env)
    token = start(url)
    call = message("tools/call", name="hang", arguments={}) | {"id": 7}
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=20) as http:
        calling = asyncio.create_task(http.post(f"{url}/mcp", json=call))
        assert await asyncio.to_thread(env.hanging.wait, 10)
        for rollout_id, request_id, is_meant in (("r2", 7, False), ("r1", 8, False), ("r1", 7, True)):
            whose = token if rollout_id == "r1" else start(url, rollout_id)
            stop = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": request_id}}
            assert post(url, "/mcp", stop, whose).status_code == 202
            assert post(url, "/v1/list_tools", {"rollout_id": "r1"}, token).status_code == 200
            assert env.stopped.is_set() == is_meant
        error = (await calling).json()["error"]
    assert (error["code"], error["data"]["outcome"]) == (-32012, "cancelled")


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"{", 422, "invalid_request"),
        (b'{"hello": 1}', 422, "invalid_request"),
        (b'[{"jsonrpc": "2.0", "id": 1, "method": "ping"}]', 422, "invalid_request"),
        (b'{"jsonrpc": "2.0", "a": ' + b"[" * 200 + b"]" * 200 + b"}", 422, "invalid_request"),
        (b'{"jsonrpc": "2.0", "a": "' + b"x" * 5000 + b'"}', 413, "body_too_large"),
    ],
)
def test_what_is_no_message_is_refused_by_the_one_error_body(
    serve_env: ServeEnv, content: bytes, status: int, code: str
):
    url = serve_env(Shelf(), ServeConfig(max_body_bytes=4096))
    answer = httpx.post(f"{url}/mcp", content=content, headers={"X-Envport-Rollout": "r1"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    "params",
    [{}, {"requestId": None}, {"requestId": [1]}, {"requestId": {"a": 1}}, {"requestId": 7}, None, [1]],
)
def test_a_cancellation_of_nothing_is_taken_in_silence(serve_env: ServeEnv, params: Any):
    url = serve_env(Shelf())
    body = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}
    answer = post(url, "/mcp", body, **{"X-Envport-Rollout": "r1"})
    assert answer.status_code in (202, 400)
    assert answer.status_code == 202 or answer.json()["jsonrpc"] == "2.0"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*"ab", "name", "_meta"]), inner),
    max_leaves=8,
)
METHODS = ["initialize", "tools/call", "tools/list", "ping", "notifications/cancelled", "server/discover", "x"]
CALL = st.fixed_dictionaries(
    {"name": st.just("put") | JSON, "arguments": st.just({"item": "cup"}) | JSON}, optional={"_meta": JSON}
)
MESSAGE = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0")},
    optional={"id": JSON, "method": st.sampled_from(METHODS) | JSON, "params": CALL | JSON, "result": JSON},
)


def test_no_message_makes_the_server_fail(serve_env: ServeEnv):
    url = serve_env(Shelf())
    token = start(url)

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(MESSAGE, st.sampled_from([None, "2025-11-25", "2026-07-28", "1999-01-01"]))
    def send(body: dict[str, Any], version: str | None) -> None:
        answer = http.post("/mcp", json=body, headers={} if version is None else {"MCP-Protocol-Version": version})
        assert answer.status_code in (200, 202, 400, 404, 422)
        if answer.content:
            assert answer.json().get("error", {}).get("code") != -32603

    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}) as http:
        send()
    assert post(url, "/mcp", message("ping"), token).json()["result"] == {}


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
def test_there_is_no_stream_to_get_and_no_session_to_delete(serve_env: ServeEnv, method: str):
    url = serve_env(Shelf())
    answer = httpx.request(method, f"{url}/mcp")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.json()["error"]["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    ("host", "origin", "has_tokens", "may"),
    [
        ("env.internal:8000", None, False, True),
        ("127.0.0.1:8000", None, True, True),
        ("127.0.0.1:8000", "http://127.0.0.1:8000", False, True),
        ("localhost:8000", "http://localhost:8000", False, True),
        ("[::1]:8000", "http://[::1]:8000", False, True),
        ("env.example", "https://env.example", True, True),
        ("127.0.0.1:8000", "http://127.0.0.1:9000", True, False),
        ("127.0.0.1:8000", "https://evil.example", True, False),
        ("127.0.0.1:8000", "null", True, False),
        ("rebound.example:8000", "http://rebound.example:8000", False, False),
        ("localhost.evil.example:8000", "http://localhost.evil.example:8000", False, False),
    ],
)
def test_a_web_page_may_ask_only_its_own_server_and_by_no_name_that_can_be_bent(
    host: str, origin: str | None, has_tokens: bool, may: bool
):
    headers = {b"host": host.encode()} | ({} if origin is None else {b"origin": origin.encode()})
    if may:
        check_origin(headers, has_tokens=has_tokens)
    else:
        with pytest.raises(ForbiddenError, match="a web page"):
            check_origin(headers, has_tokens=has_tokens)


def test_a_page_that_rebound_its_name_is_refused_over_http(serve_env: ServeEnv):
    url = serve_env(Shelf())
    start(url)
    rebound = {"Host": "evil.example", "Origin": "http://evil.example", "X-Envport-Rollout": "r1"}
    answer = post(url, "/mcp", INITIALIZE, **rebound)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")


async def test_several_workers_serve_each_rollout_where_it_is():
    command = [sys.executable, "-m", "envport", "serve", str(ROOT / "envs/extraction"), "--workers", "2", "--port", "0"]
    names = ["one", "two", "three", "four"]
    assert {owner(name, 2) for name in names} == {0, 1}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().split()[-1]
            for name in names:
                async with model(url, start(url, name)) as client:
                    assert text(await client.call_tool("lookup_province", {"name": "Kandahar"})) == "kandahar"
        finally:
            server.terminate()


async def test_two_thousand_connections_leave_nothing_behind(serve_env: ServeEnv):
    url = serve_env(Shelf())
    headers = {"Authorization": f"Bearer {start(url)}"}
    first = {"jsonrpc": "2.0", "method": "notifications/initialized"}

    async def connect(times: int) -> int:
        async with httpx.AsyncClient(headers=headers) as http:
            for number in range(times):
                assert (await http.post(f"{url}/mcp", json=INITIALIZE)).status_code == 200
                if number % 10 == 0:
                    assert (await http.post(f"{url}/mcp", json=first)).status_code == 202
        gc.collect()
        return len(gc.get_objects())

    await connect(200)
    before = await connect(10)
    assert abs(await connect(2000) - before) < 500


def test_a_server_that_nobody_asks_over_mcp_does_not_load_the_sdk():
    code = (
        "import sys, envport.cli, envport_protocol.server.serving; from envport_protocol import BaseEnv; "
        "from envport_protocol.server.app import create_app; create_app(BaseEnv()); "
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'mcp', 'mcp_types', 'httpx2'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_the_manifest_says_that_there_is_mcp(serve_env: ServeEnv):
    assert "mcp" in httpx.get(f"{serve_env(Shelf())}/v1/manifest").json()["capabilities"]


async def test_the_page_on_mcp_shows_what_works(serve_env: ServeEnv, capsys: pytest.CaptureFixture[str]):
    page = (ROOT / "docs/mcp.md").read_text("utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    shown: dict[str, Any] = {"__name__": "shown"}
    exec(compile(code, "docs/mcp.md", "exec"), shown)
    url = serve_env(ExtractionEnv(train_tasks=10, eval_tasks=10))
    assert await shown["main"](url) == "kandahar"
    assert capsys.readouterr().out == "['validate_event', 'lookup_province']\n"


def test_the_codes_on_the_page_are_those_of_the_code():
    from envport_protocol.server.mcp_tools import _CODES

    page = (ROOT / "docs/mcp.md").read_text("utf-8")
    told = {name: int(code) for name, code in re.findall(r"^\| `(\w+)` \| (-\d+) \|$", page, re.MULTILINE)}
    assert told == {outcome.value: code for outcome, code in _CODES.items()}
