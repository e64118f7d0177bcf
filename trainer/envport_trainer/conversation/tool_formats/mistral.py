"""Mistral: `[TOOL_CALLS][{"name": ..., "arguments": {...}, "id": ...}]`, and since 2025 `[TOOL_CALLS]name[ARGS]{...}`.

The tags are special tokens of these tokenizers.
"""

from __future__ import annotations

import re
from typing import Any

from envport_trainer.conversation.tool_formats.call import (
    MAX_CALLS,
    ToolCall,
    call_from_object,
    call_with,
    parse_json,
    problem_call,
    whole_json,
)

_CALLS, _ARGS, _ID = "[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"
MARKERS = (_CALLS, _ARGS, _ID)
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def read(text: str) -> list[ToolCall]:
    """The calls after each tag, in order, in either form."""
    calls: list[ToolCall] = []
    for part in text.split(_CALLS, MAX_CALLS)[1:]:
        body = part.strip()
        calls += _listed(body) if body[:1] in ("[", "{", "") else [_named(body)]
    return calls[:MAX_CALLS]


def content(text: str) -> str:
    """What the turn says beside its calls."""
    return text.partition(_CALLS)[0].strip()


def _listed(body: str) -> list[ToolCall]:
    try:
        value: Any = parse_json(body).value
    except ValueError as error:
        return [problem_call(f"the tool calls are not JSON: {error}")]
    if not isinstance(value, list):
        return [call_from_object(value)]
    return [call_from_object(item) for item in value[:MAX_CALLS]]


def _named(body: str) -> ToolCall:
    head, tag, arguments = body.partition(_ARGS)
    if not tag:
        brace = body.find("{")
        head, arguments = (body[:brace], body[brace:]) if brace >= 0 else (body, "")
    name, _, call_id = head.partition(_ID)
    if not _NAME.fullmatch(name.strip()):
        return problem_call("a tool call is [TOOL_CALLS]NAME[ARGS]{...}, its arguments one JSON object")
    try:
        value = whole_json(arguments)
    except ValueError as error:
        return problem_call(f"the arguments of the tool call are not JSON: {error}")
    return call_with(name.strip(), value, call_id.strip() or None)
