"""A conversation as turns, each tool call next to its answer.

Where messages have `tool_calls` those are taken, else what the text has in the `<tool_call>` form. Text of any other
form still shows every answer, with the name of its tool.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_IN_TEXT = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL)


@dataclass(slots=True)
class ShownCall:
    """A tool call."""

    name: str
    arguments: str | None
    """As JSON, or as the model wrote them where that is no JSON; None where the text alone has them."""
    answer: str | None = None
    """None where none came: the rollout ended before it."""


@dataclass(slots=True)
class ShownTurn:
    """One message, with the calls made in it."""

    role: str
    text: str
    calls: list[ShownCall] = field(default_factory=list[ShownCall])


def turns_of(messages: Sequence[dict[str, Any]]) -> list[ShownTurn]:
    """The turns of a conversation. A tool's answer stands with its call, and alone where no turn comes before it."""
    turns: list[ShownTurn] = []
    for message in messages:
        role, text = str(message.get("role", "")), text_of(message.get("content"))
        if role == "tool" and turns and turns[-1].role == "assistant":
            _answer(turns[-1], str(message.get("name") or ""), text)
        else:
            turns.append(ShownTurn(role, text, _calls(message, text) if role == "assistant" else []))
    return turns


def text_of(content: object) -> str:
    """A message's content as text; parts that are no text as JSON."""
    if content is None:
        return ""
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, default=str)


def _answer(turn: ShownTurn, name: str, text: str) -> None:
    waiting = next((call for call in turn.calls if call.answer is None), None)
    if waiting is None:
        turn.calls.append(ShownCall(name or "tool", None, text))
    else:
        waiting.answer = text


def _calls(message: dict[str, Any], text: str) -> list[ShownCall]:
    given = message.get("tool_calls")
    if isinstance(given, list) and given:
        return [_of_value(call.get("function", call) if isinstance(call, dict) else call) for call in given]
    return [_of_text(part) for part in _IN_TEXT.findall(text.rpartition("</think>")[2])]


def _of_text(text: str) -> ShownCall:
    try:
        return _of_value(json.loads(text))
    except (ValueError, RecursionError):
        return ShownCall("unreadable call", text.strip())


def _of_value(value: Any) -> ShownCall:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return ShownCall("unreadable call", text_of(value))
    arguments = value.get("arguments", {})
    if isinstance(arguments, str):
        return ShownCall(value["name"], arguments)
    return ShownCall(value["name"], json.dumps(arguments, indent=2, ensure_ascii=False, default=str))
