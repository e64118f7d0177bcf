"""The model's answer, read as one JSON object from text that nobody trusts.

An answer is one JSON object, bare or in one fenced code block, with nothing before or after it. Size, nesting and the
number of list items are limited before anything is parsed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from envport_extraction.events import (
    COUNTS,
    FIELDS,
    FLAGS,
    UNSCORED_FIELDS,
    FieldError,
    Value,
    is_unknown,
    read_value,
)

MAX_ANSWER_CHARS: Final = 4096
"""About ten times a full answer."""
MAX_DEPTH: Final = 3
"""The object, a list in it, and one to spare."""

_FENCE: Final = re.compile(r"```(?:json|JSON)?[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL)
_STRINGS: Final = re.compile(r'"(?:[^"\\]|\\.)*"')


class _Conflict:
    """Stands where a field was given different values."""

    def __repr__(self) -> str:
        return "two different values"


CONFLICT: Final = _Conflict()


class NotAnAnswerError(ValueError):
    """The text is not an answer at all; the message says why."""


class Mark(Enum):
    """What stands in a field that holds no usable value."""

    LEFT_OUT = "left out"
    """The field is not in the object: it says that there is nothing to tell, which is 0, false or unknown."""
    UNKNOWN = "unknown"
    """The answer says that the text does not tell: right where the gold says so too, else it earns nothing."""
    UNUSABLE = "unusable"
    """A value of the wrong type or form: as wrong as any wrong value."""


@dataclass(frozen=True)
class Answer:
    """An answer that passed the gate."""

    given: dict[str, Value | Mark]
    """Every one of FIELDS, with its canonical value or a mark."""
    strange_fields: int = 0
    """Number of fields in it that no event has."""

    def known(self, field: str) -> Value:
        """The field's value: 0 or false for a count or flag that is left out, None where nothing is said."""
        value = self.given[field]
        if value is Mark.LEFT_OUT:
            return 0 if field in COUNTS else False if field in FLAGS else None
        return None if isinstance(value, Mark) else value


def read_answer(text: str) -> Answer:
    """The answer in the text.

    Raises:
        NotAnAnswerError: the text is not one JSON object with a field of an event, or over a limit.
    """
    fields = read_object(text)
    if not any(field in fields for field in FIELDS):
        raise NotAnAnswerError(f"no field of an event in it; the fields are {', '.join(FIELDS)}")
    strange = sum(key not in FIELDS and key not in UNSCORED_FIELDS for key in fields)
    return Answer({field: _read(field, fields) for field in FIELDS}, strange)


def read_object(text: str) -> dict[str, Any]:
    """The one JSON object that the text is, bare or fenced.

    Raises:
        NotAnAnswerError: anything else, NaN, or over a limit.
    """
    if len(text) > MAX_ANSWER_CHARS:
        raise NotAnAnswerError(f"the answer has {len(text)} characters; the limit is {MAX_ANSWER_CHARS}")
    text = text.strip()
    if fenced := _FENCE.fullmatch(text):
        text = fenced.group(1).strip()
    if _depth(text) > MAX_DEPTH:
        raise NotAnAnswerError(f"the answer is nested deeper than {MAX_DEPTH}; write one flat JSON object")
    try:
        value = json.loads(text, object_pairs_hook=_once_each, parse_constant=_refuse_constant)
    except NotAnAnswerError:
        raise
    except ValueError as error:
        raise NotAnAnswerError(f"not JSON: {error}; write one JSON object and nothing else") from error
    if not isinstance(value, dict):
        raise NotAnAnswerError(f"a JSON {type(value).__name__}; write one JSON object")
    return value


def _read(field: str, fields: dict[str, Any]) -> Value | Mark:
    if field not in fields:
        return Mark.LEFT_OUT
    if is_unknown(fields[field]):
        return Mark.UNKNOWN
    try:
        value = read_value(field, fields[field])
    except FieldError:
        return Mark.UNUSABLE
    return Mark.UNKNOWN if value == () else value


def _depth(text: str) -> int:
    """The deepest nesting of brackets outside strings."""
    deepest = depth = 0
    for char in _STRINGS.sub("", text):
        if char in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in "]}":
            depth -= 1
    return deepest


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A field given twice with one value has it; with different values it has none that can be used."""
    fields: dict[str, Any] = {}
    for key, value in pairs:
        same = key not in fields or (type(fields[key]) is type(value) and fields[key] == value)
        fields[key] = value if same else CONFLICT
    return fields


def _refuse_constant(name: str) -> Any:
    raise NotAnAnswerError(f"{name} is not JSON")
