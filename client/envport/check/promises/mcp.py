"""MCP: the tools of a rollout, as any MCP client finds them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from envport.check.definition import BrokenError, check
from envport.check.expectations import good
from envport.check.probe import NO_SUCH_TOOL

if TYPE_CHECKING:
    from envport.check.probe import Probe
    from envport.check.rollout import Rollout
    from envport.check.wire import Reply

_VERSION = "2025-06-18"


@check(
    promise=8,
    expected="a result with protocolVersion, the capability tools, and serverInfo",
    remedy="The server must speak MCP over streamable HTTP at /mcp, from initialize on.",
)
async def mcp_initializes(probe: Probe) -> str:
    """Sends an MCP client's first message, by the token of a rollout."""
    probe.needs("mcp")
    result = await _initialize(await probe.start(), {})
    if not isinstance(result.get("protocolVersion"), str) or "tools" not in result.get("capabilities", {}):
        raise BrokenError(f"initialize gave {result!r:.300}")
    return f"{result['serverInfo'].get('name')}, MCP {result['protocolVersion']}"


@check(
    promise=8,
    expected="the tools of the rollout, by name, description and schema",
    remedy="The server must offer over MCP what list_tools says.",
)
async def mcp_lists_the_same_tools(probe: Probe) -> str:
    """Compares tools/list with the tools of the rollout."""
    probe.needs("mcp")
    rollout = await probe.start()
    result = await _ask(rollout, await _session(rollout), "tools/list", {})
    listed = {tool["name"]: tool["inputSchema"] for tool in result["tools"]}
    held = {tool["name"]: {"type": "object", **tool["parameters"]} for tool in good(rollout.started)["tools"]}
    if listed != held:
        raise BrokenError(f"tools/list gave {sorted(listed)}, list_tools {sorted(held)}, or other schemas")
    return f"{len(listed)} tools"


@check(
    promise=2,
    expected="the text that run_tool gives in a rollout of its own; isError true for the model's own mistakes",
    remedy="The server must run a tool over MCP as run_tool does, and tell the model of its mistakes by isError.",
)
async def mcp_calls_a_tool(probe: Probe) -> str:
    """Calls a tool over MCP and by run_tool, and one that does not exist."""
    probe.needs("mcp")
    rollout, beside = await probe.start(), await probe.start()
    (call,) = probe.calls(1)
    session = await _session(rollout)
    told = await _ask(rollout, session, "tools/call", {"name": call.tool_name, "arguments": call.arguments})
    plain = good(await beside.run_tool(call))
    texts = [block["text"] for block in plain["content"]]
    is_alike = [block["text"] for block in told["content"]] == texts or not probe.can("deterministic")
    if bool(told.get("isError")) is not (plain["outcome"] == "tool_error") or not is_alike:
        raise BrokenError(f"tools/call gave {told!r:.200}, run_tool {plain!r:.200}")
    wrong = await _ask(rollout, session, "tools/call", {"name": NO_SUCH_TOOL, "arguments": {}})
    if wrong.get("isError") is not True:
        raise BrokenError(f"a tool that does not exist gave {wrong!r:.200}")
    return f"{call.tool_name} says the same both ways"


async def _session(rollout: Rollout) -> dict[str, str]:
    headers: dict[str, str] = {}
    await _initialize(rollout, headers)
    await _send(rollout, headers, {"jsonrpc": "2.0", "method": "notifications/initialized"})
    return headers


async def _initialize(rollout: Rollout, headers: dict[str, str]) -> dict[str, Any]:
    """The result of initialize; `headers` get what the later messages need."""
    client = {"name": "envport-check", "version": "1"}
    params = {"protocolVersion": _VERSION, "capabilities": {}, "clientInfo": client}
    message = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
    reply = await _send(rollout, headers, message)
    result = _result(reply)
    headers["mcp-protocol-version"] = str(result.get("protocolVersion"))
    if "mcp-session-id" in reply.headers:
        headers["mcp-session-id"] = reply.headers["mcp-session-id"]
    return result


async def _ask(rollout: Rollout, headers: dict[str, str], method: str, params: dict[str, Any]) -> dict[str, Any]:
    return _result(await _send(rollout, headers, {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))


async def _send(rollout: Rollout, headers: dict[str, str], message: dict[str, Any]) -> Reply:
    named = {"content-type": "application/json", "accept": "application/json, text/event-stream", **headers}
    wire = rollout.wire.using(rollout.token)
    return await wire.request("POST", "/mcp", headers=named, content=json.dumps(message).encode())


def _result(reply: Reply) -> dict[str, Any]:
    if reply.status != 200:
        raise BrokenError(reply.told)
    body = reply.body
    if reply.headers.get("content-type", "").startswith("text/event-stream"):
        body = next((line[5:] for line in body.splitlines() if line.startswith(b"data:")), b"")
    try:
        message = json.loads(body)
    except ValueError as error:
        raise BrokenError(f"{reply.told}: no JSON-RPC message") from error
    if not isinstance(message, dict) or not isinstance(message.get("result"), dict):
        raise BrokenError(reply.told)
    result: dict[str, Any] = message["result"]
    return result
