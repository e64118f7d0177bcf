"""Whose fault it was: on each answer, so that a trainer learns from nothing that the model did not do."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from envport_protocol.messages import Outcome

from envport.check.arguments import validator_of
from envport.check.definition import BrokenError, NotApplicableError, check
from envport.check.expectations import error_body, good, refused
from envport.check.probe import NO_SUCH_TOOL
from envport.check.rollout import Call

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envport.check.probe import Probe
    from envport.check.wire import Reply

_TRAINABLE = {Outcome.OK, Outcome.TOOL_ERROR}


@check(
    promise=2,
    expected="outcome and trainable on each answer: ok and tool_error are trainable, all else is not",
    remedy="The server must put outcome and trainable on each answer of start_rollout, run_tool and compute_reward.",
)
async def every_answer_tells_its_outcome(probe: Probe) -> str:
    """Reads outcome and trainable of a start, of calls of each tool and of a reward."""
    rollout = await probe.start()
    told = [_outcome(rollout.started)]
    told += [_outcome(await rollout.run_tool(call)) for call in probe.calls(4)]
    told.append(_outcome(await rollout.score("An answer.")))
    return ", ".join(told)


@check(
    promise=2,
    expected="200 with outcome tool_error, trainable, and a text for the model",
    remedy="A tool that does not exist is the model's own mistake: the server must answer it, not fail.",
)
async def unknown_tool_is_the_models_fault(probe: Probe) -> str:
    """Calls a tool that the environment does not have."""
    rollout = await probe.start()
    for name in (NO_SUCH_TOOL, "no/such tool", ""):
        _tool_error(await rollout.run_tool(Call(name, {})))
    return "tool_error with a text"


@check(
    promise=2,
    expected="200 with outcome tool_error, trainable, and a text for the model",
    remedy="The server must check arguments against the tool's schema before the tool runs, and tell the model.",
)
async def misfitting_arguments_are_the_models_fault(probe: Probe) -> str:
    """Calls each tool with arguments that its schema refuses."""
    misfits = [call for tool in probe.manifest.get("tools", []) if (call := _misfit(tool))]
    if not misfits:
        raise NotApplicableError("no tool of the environment has a schema that refuses anything")
    rollout = await probe.start()
    for call in misfits:
        _tool_error(await rollout.run_tool(call))
    return f"{len(misfits)} tools, each with a tool_error"


@check(
    promise=2,
    expected="200 with ok or tool_error for each",
    remedy="A tool of the environment raised on arguments that its schema allows: raise ToolError where the model is "
    "wrong, narrow the schema, or mend the tool. The server's log has the traceback.",
)
async def valid_arguments_never_break_a_tool(probe: Probe) -> str:
    """Calls each tool three times with arguments made from its schema."""
    tools = probe.manifest.get("tools", [])
    if not tools:
        raise NotApplicableError("the environment has no tools")
    rollout = await probe.start()
    calls = probe.calls(min(3 * len(tools), 60))
    for call in calls:
        reply = await rollout.run_tool(call)
        if reply.status >= 500:
            raise BrokenError(f"{call.tool_name} with {call.arguments!r:.200}: {reply.told}")
        good(reply)
    return f"{len(calls)} calls of {len(tools)} tools, none broke"


@check(
    promise=2,
    expected="content of text blocks, rewards as finite numbers by name, done as true or false",
    remedy="The tool must give text, a ToolResult or a JSON value; step rewards must be finite.",
)
async def tool_answers_have_their_form(probe: Probe) -> str:
    """Reads the parts of answers of each tool."""
    rollout = await probe.start()
    for call in probe.calls(4):
        reply = await rollout.run_tool(call)
        if reply.status == 200 and not _is_tool_answer(reply.json):
            raise BrokenError(reply.told)
    return "content, rewards and done as they should be"


@check(
    promise=2,
    expected="404 unknown_rollout with outcome lost",
    remedy="The server must not take a rollout that it does not hold for anybody's fault but its own: lost.",
)
async def unknown_rollout_is_lost(probe: Probe) -> str:
    """Asks for a tool, the tools, a reward and the end of a rollout that was never started."""
    rollout_id = probe.new_id()
    (call,) = probe.calls(1)
    requests: dict[str, dict[str, Any]] = {
        "run_tool": call.body(rollout_id, "c"),
        "list_tools": {"rollout_id": rollout_id},
        "compute_reward": {"rollout_id": rollout_id, "completion": "An answer."},
        "end_rollout": {"rollout_id": rollout_id},
    }
    for verb, body in requests.items():
        refused(await probe.wire.post(verb, body), 404, "unknown_rollout", Outcome.LOST)
    return f"404 unknown_rollout, lost, for {', '.join(requests)}"


@check(
    promise=2,
    expected="410 rollout_ended with outcome lost",
    remedy="The server must answer lost for a rollout that it does not hold any more, and never start it anew.",
)
async def ended_rollout_is_lost(probe: Probe) -> str:
    """Calls a tool and asks for the reward of a rollout that was ended."""
    rollout = await probe.start()
    await rollout.end()
    (call,) = probe.calls(1)
    refused(await rollout.run_tool(call), 410, "rollout_ended", Outcome.LOST)
    refused(await rollout.score("An answer."), 410, "rollout_ended", Outcome.LOST)
    return "410 rollout_ended, lost"


def _outcome(reply: Reply) -> str:
    if reply.status != 200:
        return f"{reply.request} {error_body(reply)['outcome']}"
    answer = reply.json
    outcome, trainable = answer.get("outcome"), answer.get("trainable")
    if outcome not in set(Outcome) or trainable is not (outcome in _TRAINABLE):
        raise BrokenError(f"{reply.told}: outcome {outcome!r} with trainable {trainable!r}")
    return f"{reply.request} {outcome}"


def _tool_error(reply: Reply) -> None:
    answer = good(reply)
    text = "".join(block.get("text", "") for block in answer.get("content", []))
    if (answer.get("outcome"), answer.get("trainable")) != (Outcome.TOOL_ERROR, True) or not text:
        raise BrokenError(reply.told)


def _misfit(tool: Mapping[str, Any]) -> Call | None:
    """A call of this tool that its schema refuses."""
    schema: Mapping[str, Any] = tool.get("parameters", {})
    validator = validator_of(schema)
    names = [*schema.get("properties", {}), "envport-check"]
    values: list[Any] = [[[]], {"a": {}}, 0.5, "a"]
    tries: list[dict[str, Any]] = [{}, *({name: value} for name in names for value in values)]
    return next((Call(tool["name"], tried) for tried in tries if validator and not validator.is_valid(tried)), None)


def _is_tool_answer(answer: Any) -> bool:
    blocks = answer["content"]
    are_texts = all(block["type"] == "text" and isinstance(block["text"], str) for block in blocks)
    are_finite = all(math.isfinite(value) for value in answer["rewards"].values())
    return isinstance(blocks, list) and are_texts and are_finite and isinstance(answer["done"], bool)
