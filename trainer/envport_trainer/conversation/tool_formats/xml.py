"""Qwen3-Coder and GLM: a call whose arguments are tags of their own, with values that need no quoting.

    <tool_call><function=NAME><parameter=KEY>VALUE</parameter></function></tool_call>
    <tool_call>NAME<arg_key>KEY</arg_key><arg_value>VALUE</arg_value></tool_call>

A value does not say its type: `with_types` takes it from the tool's schema.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from envport_trainer.conversation.tool_formats.call import MAX_CALLS, ToolCall, problem_call, whole_json
from envport_trainer.conversation.tool_formats.hermes import CLOSE, OPEN, bodies, content

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envport_protocol.messages import ToolSpec

__all__ = ["MARKERS", "content", "read", "with_types"]

_FUNCTION, _PARAMETER = "<function=", "<parameter="
_KEY, _VALUE = ("<arg_key>", "</arg_key>"), ("<arg_value>", "</arg_value>")
MARKERS = (OPEN, CLOSE, *_KEY, *_VALUE)
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_FORM = "a tool call is <function=NAME><parameter=KEY>VALUE</parameter></function> between <tool_call> tags"


def read(text: str) -> list[ToolCall]:
    """The calls in order, every argument a string. A turn that leaves out <tool_call> is read too."""
    found = list(islice(bodies(text), MAX_CALLS))
    if not found and _FUNCTION in text:
        found = [_FUNCTION + part for part in text.split(_FUNCTION, MAX_CALLS)[1:]]
    return [_call(body.strip()) for body in found]


def with_types(calls: Sequence[ToolCall], tools: Sequence[ToolSpec]) -> list[ToolCall]:
    """The calls with each argument as the tool's schema has it: a string, or the JSON value that the text is.

    Where the schema has no type, the text of a number, a list and the like becomes that value. A text that does not fit
    stays a string, which the environment then refuses with its own words.
    """
    schemas = {tool.name: tool.parameters.get("properties") for tool in tools}
    return [replace(call, arguments=_typed(call.arguments, schemas.get(call.name))) for call in calls]


def _call(body: str) -> ToolCall:
    pairs: list[tuple[str, str]] | None
    if body.startswith(_FUNCTION):
        name, _, rest = body.removeprefix(_FUNCTION).partition(">")
        pairs = _qwen_pairs(rest)
    else:
        name, tag, rest = body.partition(_KEY[0])
        pairs = _glm_pairs(tag + rest)
    name = name.strip()
    if not _NAME.fullmatch(name) or pairs is None:
        return problem_call(_FORM)
    return ToolCall(name, dict(pairs))


def _qwen_pairs(text: str) -> list[tuple[str, str]] | None:
    """Keys and values, or None where tags are missing."""
    first, *parts = text.partition("</function>")[0].split(_PARAMETER)
    if first.strip():
        return None
    pairs: list[tuple[str, str]] = []
    for part in parts:
        key, sign, rest = part.partition(">")
        value, end, after = rest.partition("</parameter>")
        if not (sign and end) or after.strip():
            return None
        pairs.append((key.strip(), _unpadded(value)))
    return pairs


def _glm_pairs(text: str) -> list[tuple[str, str]] | None:
    first, *parts = text.split(_KEY[0])
    if first.strip():
        return None
    pairs: list[tuple[str, str]] = []
    for part in parts:
        key, end_of_key, rest = part.partition(_KEY[1])
        between, opened, rest = rest.partition(_VALUE[0])
        value, end, after = rest.partition(_VALUE[1])
        if not (end_of_key and opened and end) or between.strip() or after.strip():
            return None
        pairs.append((key.strip(), _unpadded(value)))
    return pairs


def _unpadded(value: str) -> str:
    """Without the one line break that the form has on either side."""
    return value.removeprefix("\n").removesuffix("\n")


def _typed(arguments: dict[str, Any], properties: Any) -> dict[str, Any]:
    known = properties if isinstance(properties, dict) else {}
    return {key: _value(text, known.get(key)) for key, text in arguments.items()}


def _value(text: str, schema: Any) -> Any:
    kinds = schema.get("type") if isinstance(schema, dict) else None
    listed = kinds if isinstance(kinds, list) else [kinds]
    wanted = {kind for kind in listed if isinstance(kind, str)}
    if "string" in wanted:
        return None if text == "null" and "null" in wanted else text
    try:
        value = whole_json(text)
    except ValueError:
        return text
    return text if isinstance(value, str) else value
