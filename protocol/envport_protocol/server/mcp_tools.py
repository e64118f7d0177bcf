"""The tools of one rollout as an MCP server, by the official SDK. Importing this loads the SDK, a quarter of a second.

Each HTTP request is served by a manager of its own that ends with it, in the SDK's stateless mode: there are no
sessions, so none can leak, be taken over or be missing in another worker.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import anyio
from mcp import types
from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError

from envport_protocol.errors import WireError
from envport_protocol.messages import (
    CancelRequest,
    ListToolsAnswer,
    ListToolsRequest,
    Outcome,
    RunToolAnswer,
    RunToolRequest,
)
from envport_protocol.server.answers import Answer
from envport_protocol.server.reading import parse_fields

if TYPE_CHECKING:
    from collections.abc import Generator

    from mcp.server.context import ServerRequestContext
    from starlette.requests import Request
    from starlette.types import Message, Scope

    from envport_protocol.hosting.host import Host
    from envport_protocol.messages import ToolSpec

    Context = ServerRequestContext[Any, Request]

logging.getLogger("mcp.server").setLevel(logging.ERROR)  # below it says what any client can make it say

CALL_ID = "envport/call_id"
"""In `_meta` of a call: the client's own id for it. In `_meta` of its result: the id that it had."""
_ROLLOUT = "envport.rollout_id"
"""In the ASGI scope that the SDK hands on to the handlers."""

_CODES = {
    Outcome.ENV_ERROR: -32010,
    Outcome.TIMEOUT: -32011,
    Outcome.CANCELLED: -32012,
    Outcome.LOST: -32013,
    Outcome.OVERLOADED: -32014,
}
"""JSON-RPC codes out of the range that MCP leaves to implementations."""
_BLAME = {
    Outcome.ENV_ERROR: "the environment's own code is at fault",
    Outcome.TIMEOUT: "the tool took longer than it may",
    Outcome.CANCELLED: "the call was stopped",
    Outcome.LOST: "the server does not hold the rollout",
    Outcome.OVERLOADED: "the server is full at the moment",
}


class RolloutTools:
    """Speaks MCP for every rollout of a host."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._running: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        """Ids of the calls under way, by rollout and JSON-RPC request id."""
        self._server: Server[Any] = Server(
            host.name,
            version=host.config.version,
            instructions=host.config.summary or None,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            get_tool_input_schema=_no_argument_is_in_a_header,
        )

    async def answer(self, rollout_id: str, headers: list[tuple[bytes, bytes]], body: bytes) -> Answer:
        """What the SDK answers to one message for this rollout, as JSON."""
        reply = _Reply(body)
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/mcp",
            "raw_path": b"/mcp",
            "root_path": "",
            "query_string": b"",
            "headers": headers,
            _ROLLOUT: rollout_id,
        }
        manager = StreamableHTTPSessionManager(
            self._server, json_response=True, stateless=True, max_request_body_size=max(1, len(body))
        )
        async with manager.run():
            await manager.handle_request(scope, reply.receive, reply.send)
        return Answer(reply.status, b"".join(reply.chunks))

    async def cancel(self, rollout_id: str, request_id: str) -> None:
        """Stops the call that this request made, if just one under way has this id."""
        running = self._running.get((rollout_id, request_id), [])
        if len(running) == 1:
            await self._cancel(rollout_id, running[0])

    async def _list_tools(self, ctx: Context, _: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        with _as_mcp_error():
            body = await self._host.list_tools(ListToolsRequest(rollout_id=_rollout_of(ctx)))
        return types.ListToolsResult(tools=[_tool(spec) for spec in ListToolsAnswer.model_validate_json(body).tools])

    async def _call_tool(self, ctx: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        rollout_id = _rollout_of(ctx)
        given = (params.meta or {}).get(CALL_ID)
        call_id = f"mcp-{uuid4().hex}" if given is None else given
        fields = {
            "rollout_id": rollout_id,
            "call_id": call_id,
            "tool_name": params.name,
            "arguments": params.arguments or {},
        }
        with _as_mcp_error():
            request = parse_fields(fields, RunToolRequest)
            with self._known(rollout_id, str(ctx.request_id), request.call_id):
                body = await self._run(request, can_come_again=given is not None)
        return _result(request.call_id, RunToolAnswer.model_validate_json(body))

    async def _run(self, request: RunToolRequest, *, can_come_again: bool) -> bytes:
        try:
            return await self._host.run_tool(request)
        except asyncio.CancelledError:
            if not can_come_again:  # nobody else knows the id: nobody will ask for the answer
                with anyio.CancelScope(shield=True):
                    await self._cancel(request.rollout_id, request.call_id)
            raise

    async def _cancel(self, rollout_id: str, call_id: str) -> None:
        with suppress(WireError):
            await self._host.cancel(CancelRequest(rollout_id=rollout_id, call_id=call_id))

    @contextmanager
    def _known(self, rollout_id: str, request_id: str, call_id: str) -> Generator[None]:
        key = (rollout_id, request_id)
        self._running[key].append(call_id)
        try:
            yield
        finally:
            self._running[key].remove(call_id)
            if not self._running[key]:
                del self._running[key]


class _Reply:
    """The other end of one request: gives the body, then takes the answer."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body
        self.status = 500
        self.chunks: list[bytes] = []

    async def receive(self) -> Message:
        """The body, once. That the client went away is seen elsewhere."""
        if self._body is None:
            await asyncio.Event().wait()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Message) -> None:
        """Keeps what there is to send."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.chunks.append(message.get("body", b""))


@contextmanager
def _as_mcp_error() -> Generator[None]:
    """What the host raises becomes a JSON-RPC error, whose data is that of the one error body."""
    try:
        yield
    except WireError as error:
        fault = "the request is at fault" if error.status < 500 else "the server is at fault, not the environment"
        raise MCPError(
            _CODES.get(error.outcome, types.INVALID_PARAMS if error.status < 500 else types.INTERNAL_ERROR),
            f"{error.message} ({_BLAME.get(error.outcome, fault)})",
            error.to_body().error.model_dump(mode="json"),
        ) from error


def _tool(spec: ToolSpec) -> types.Tool:
    schema = {"type": "object"} | spec.parameters  # MCP insists on the type
    return types.Tool(name=spec.name, description=spec.description, input_schema=schema)


def _result(call_id: str, answer: RunToolAnswer) -> types.CallToolResult:
    # No step rewards: they are not the model's to read.
    return types.CallToolResult(
        content=[types.TextContent(text=block.text) for block in answer.content],
        is_error=answer.outcome is Outcome.TOOL_ERROR,
        _meta={CALL_ID: call_id, "envport/outcome": answer.outcome.value, "envport/done": answer.done},
    )


def _rollout_of(ctx: Context) -> str:
    request = ctx.request
    if request is None:
        raise RuntimeError("the SDK lost the request of a message")
    rollout_id: str = request.scope[_ROLLOUT]
    return rollout_id


def _no_argument_is_in_a_header(_: str) -> None:
    """No tool of an environment has arguments that go into headers too, so there is nothing to compare."""
