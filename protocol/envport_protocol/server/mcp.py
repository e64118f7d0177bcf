"""`POST /mcp`: the tools of one rollout over the Model Context Protocol, streamable HTTP.

Here is what comes before MCP: whose rollout it is, who may come, and that the body is a message at all. Up to there a
refusal is the one error body; what is MCP is answered by MCP. The SDK is loaded with the first message.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, cast

from envport_protocol.errors import InvalidRequestError
from envport_protocol.server.answers import Answer, send_answer
from envport_protocol.server.endpoint import Endpoint
from envport_protocol.server.reading import parse_json, read_body

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envport_protocol.hosting.host import Host
    from envport_protocol.server.answers import Header
    from envport_protocol.server.endpoint import Asked, Desk
    from envport_protocol.server.mcp_tools import RolloutTools
    from envport_protocol.server.scopes import Caller

_ROLLOUT_HEADER = b"x-envport-rollout"
_is_id = re.compile(r"[A-Za-z0-9._:-]{1,128}").fullmatch
_TO_SDK = re.compile(rb"mcp-.*|traceparent|tracestate").fullmatch
_ACCEPTED: list[Header] = [
    (b"content-type", b"application/json"),
    (b"accept", b"application/json, text/event-stream"),
]
"""What the SDK would insist on: the type is checked before it, and all that is sent is JSON."""


class McpEndpoint(Endpoint):
    """One JSON-RPC message in, one out."""

    methods = frozenset({"POST"})
    refuses_pages = True

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk, "/mcp", "mcp")
        self._config = desk.host.config
        self._tools: RolloutTools | None = None

    async def respond(self, caller: Caller, asked: Asked) -> Answer:
        """The SDK's answer, in this worker or in that of the rollout."""
        config = self._config
        rollout_id = _rollout(caller, asked.headers)
        body = await read_body(asked.receive, asked.headers, config.max_body_bytes, config.request_timeout_s)
        message = parse_json(body, "JSON-RPC message")
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            raise InvalidRequestError(
                "the body is no JSON-RPC 2.0 message; POST one at a time, as streamable HTTP of MCP has them"
            )
        answering = self._answer(rollout_id, message, body, asked)
        answer = await self._desk.disconnects.guarded(answering, asked.receive, asked.begun)
        if not answer.body:
            await send_answer(asked.send, answer, asked.request_id)
        return answer

    async def _answer(self, rollout_id: str, message: dict[str, Any], body: bytes, asked: Asked) -> Answer:
        if self._desk.router is not None:
            answer = await self._desk.router.forward(rollout_id, self.path, body, list(asked.headers.items()))
            if answer is not None:
                return answer
        host = await self._desk.opened()
        if self._tools is None:
            tools = await asyncio.to_thread(_load, host)
            self._tools = self._tools or tools
        params: Any = message.get("params")
        if message.get("method") == "notifications/cancelled" and isinstance(params, dict):
            # The SDK would look for the request in this one, which is over at once.
            await self._tools.cancel(rollout_id, str(cast("dict[str, Any]", params).get("requestId")))
            return Answer(202, b"")
        headers = [header for header in asked.headers.items() if _TO_SDK(header[0])]
        return await self._tools.answer(rollout_id, [*headers, *_ACCEPTED], body)


def _load(host: Host) -> RolloutTools:
    from envport_protocol.server.mcp_tools import RolloutTools

    return RolloutTools(host)


def _rollout(caller: Caller, headers: Mapping[bytes, bytes]) -> str:
    named = headers.get(_ROLLOUT_HEADER)
    rollout_id = named.decode("latin-1") if named is not None else caller.rollout_id
    if rollout_id is None:
        raise InvalidRequestError(
            "it is not said whose tools are meant; send the token of a rollout, or its id as X-Envport-Rollout"
        )
    if not _is_id(rollout_id):
        raise InvalidRequestError("X-Envport-Rollout is no id: expected 1 to 128 of the characters A-Z a-z 0-9 . _ : -")
    caller.check_rollout("/mcp", rollout_id)
    return rollout_id
