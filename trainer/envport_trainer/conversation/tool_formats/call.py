"""A tool call as a model wrote it, and the reading of its JSON, which is not trusted."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NamedTuple

MAX_CALLS = 16
"""Tool calls taken from one turn; a model that repeats itself must not flood the environment."""
_WHITESPACE = " \t\n\r"
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model wrote. `problem` says why it cannot be made; name and arguments are then empty."""

    name: str
    arguments: dict[str, Any]
    problem: str | None = None
    call_id: str | None = None
    """The id that the model gave it, in formats where answers refer to one."""


class Parsed(NamedTuple):
    """A JSON value, and where the text goes on after it."""

    value: Any
    end: int


def problem_call(problem: str) -> ToolCall:
    """A call that cannot be made, for the model to see why."""
    return ToolCall("", {}, problem)


def parse_json(text: str, start: int = 0) -> Parsed:
    """The JSON value that begins at `start`, whitespace before it passed over.

    Python's reader takes more than JSON has, such as NaN: the client refuses what cannot be sent.

    Raises:
        ValueError: it is no JSON, or is nested too deeply.
    """
    while start < len(text) and text[start] in _WHITESPACE:
        start += 1
    try:
        value, end = _DECODER.raw_decode(text, start)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return Parsed(value, end)


def whole_json(text: str) -> Any:
    """The JSON value that `text` is, whitespace around it passed over.

    Raises:
        ValueError: as `parse_json`, or something follows the value.
    """
    value, end = parse_json(text)
    if rest := text[end:].strip():
        raise ValueError(f"{rest[:20]!r} follows it")
    return value


def call_from_object(value: Any, keys: tuple[str, ...] = ("arguments",)) -> ToolCall:
    """The call that a JSON object `{"name": ..., KEY: {...}}` describes, KEY being the first of `keys` that it has."""
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return problem_call(f'a tool call is one JSON object: {{"name": "...", "{keys[0]}": {{...}}}}')
    key = next((key for key in keys if key in value), keys[0])
    return call_with(value["name"], value.get(key, {}), value.get("id"))


def call_with(name: str, arguments: Any, call_id: Any = None) -> ToolCall:
    """The call of `name`, where `arguments` is a JSON object."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return problem_call("the name of a tool call holds half of a character")
    if not isinstance(arguments, dict):
        return problem_call("the arguments of a tool call are one JSON object")
    return ToolCall(name, arguments, call_id=call_id if isinstance(call_id, str) else None)
