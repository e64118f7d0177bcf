"""Llama 3: `{"name": ..., "parameters": {...}}`, perhaps after `<|python_tag|>`, or `<function=name>{...}</function>`.

The tag is a special token of these tokenizers. Several objects are separated by semicolons.
"""

from __future__ import annotations

import re

from envport_trainer.conversation.tool_formats.call import (
    MAX_CALLS,
    ToolCall,
    call_from_object,
    call_with,
    parse_json,
    problem_call,
    whole_json,
)
from envport_trainer.conversation.tool_formats.plain_json import is_call, looks_like_a_call

_TAG, _FUNCTION, _END = "<|python_tag|>", "<function=", "</function>"
MARKERS = (_TAG,)
_KEYS = ("parameters", "arguments")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def read(text: str) -> list[ToolCall]:
    """The calls in order. A turn that is a JSON object without a name and parameters is an answer, no call."""
    _, tag, after = text.partition(_TAG)
    if tag:
        return _objects(after.strip(), tagged=True)
    if _FUNCTION in text:
        return [_function(part) for part in text.split(_FUNCTION, MAX_CALLS)[1:]]
    return _objects(text.strip(), tagged=False)


def content(text: str) -> str:
    """What the turn says beside its calls."""
    places = [place for opener in (_TAG, _FUNCTION) if (place := text.find(opener)) >= 0]
    return text[: min(places)].strip() if places else "" if read(text) else text


def _objects(text: str, *, tagged: bool) -> list[ToolCall]:
    if not tagged and not text.startswith("{"):
        return []
    calls: list[ToolCall] = []
    place = 0
    while len(calls) < MAX_CALLS:
        try:
            value, place = parse_json(text, place)
        except ValueError as error:
            broken = tagged or bool(calls) or looks_like_a_call(text)
            return [*calls, problem_call(f"the tool call is not JSON: {error}")] if broken else []
        if not (tagged or calls or is_call(value)):
            return []
        calls.append(call_from_object(value, _KEYS))
        rest = text[place:].lstrip()
        if not rest.startswith(";") or not rest[1:].strip():
            break
        place = text.index(";", place) + 1
    return calls


def _function(part: str) -> ToolCall:
    name, sign, rest = part.partition(">")
    if not sign or not _NAME.fullmatch(name.strip()):
        return problem_call("a tool call is <function=NAME>{...}</function>, its arguments one JSON object")
    try:
        value = whole_json(rest.partition(_END)[0])
    except ValueError as error:
        return problem_call(f"the arguments of the tool call are not JSON: {error}")
    return call_with(name.strip(), value)
