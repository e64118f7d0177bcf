"""Hermes and Qwen 2.5 and 3: `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`, any number of them."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from envport_trainer.conversation.tool_formats.call import (
    MAX_CALLS,
    ToolCall,
    call_from_object,
    problem_call,
    whole_json,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

OPEN, CLOSE = "<tool_call>", "</tool_call>"
MARKERS = (OPEN, CLOSE)


def read(text: str) -> list[ToolCall]:
    """The calls in order. The last one may lack its closing tag."""
    return [_call(body) for body in islice(bodies(text), MAX_CALLS)]


def content(text: str) -> str:
    """What the turn says beside its calls."""
    return text.partition(OPEN)[0].strip()


def bodies(text: str) -> Iterator[str]:
    """What stands between the tags, in order."""
    start = text.find(OPEN)
    while start >= 0:
        start += len(OPEN)
        end = text.find(CLOSE, start)
        yield text[start : end if end >= 0 else len(text)]
        start = text.find(OPEN, end) if end >= 0 else -1


def _call(body: str) -> ToolCall:
    try:
        value = whole_json(body)
    except ValueError as error:
        return problem_call(f"the tool call is not JSON: {error}")
    return call_from_object(value)
