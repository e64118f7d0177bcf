"""Plain JSON: a turn that is one object `{"name": ..., "arguments": {...}}` or a list of them, or has it in a fence.

JSON may be an answer as well: what has no name and no arguments is no call.
"""

from __future__ import annotations

from typing import Any

from envport_trainer.conversation.tool_formats.call import (
    MAX_CALLS,
    ToolCall,
    call_from_object,
    parse_json,
    problem_call,
)

MARKERS: tuple[str, ...] = ()
_FENCE = "```"
_KEYS = ("arguments", "parameters")


def read(text: str) -> list[ToolCall]:
    """The calls in order; those of the first fenced block that holds any, where the turn itself is no JSON."""
    bare = text.strip()
    if bare[:1] in ("{", "["):
        return _calls(bare)
    for block in text.split(_FENCE, 2 * MAX_CALLS)[1::2]:
        if calls := _calls(block.removeprefix("json").strip()):
            return calls
    return []


def content(text: str) -> str:
    """What the turn says beside its calls."""
    if not read(text):
        return text
    return "" if text.strip()[:1] in ("{", "[") else text.partition(_FENCE)[0].strip()


def is_call(value: Any) -> bool:
    """Whether a JSON object is meant as a call."""
    return isinstance(value, dict) and "name" in value and any(key in value for key in _KEYS)


def looks_like_a_call(text: str) -> bool:
    """Whether a text that cannot be parsed was meant as a call."""
    return '"name"' in text and any(f'"{key}"' in text for key in _KEYS)


def _calls(text: str) -> list[ToolCall]:
    if text[:1] not in ("{", "["):
        return []
    try:
        value: Any = parse_json(text).value
    except ValueError as error:
        return [problem_call(f"the tool call is not JSON: {error}")] if looks_like_a_call(text) else []
    items = value if isinstance(value, list) else [value]
    if not any(is_call(item) for item in items[:MAX_CALLS]):
        return []
    return [call_from_object(item, _KEYS) for item in items[:MAX_CALLS]]
