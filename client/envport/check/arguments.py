"""Arguments for a tool, made from its JSON Schema: the same for the same seed."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

_TRIES = 12
_MAX_DEPTH = 12
_WORDS = ("river", "stone", "cloud", "paper", "seven", "north")
_SHORT = ("a", "A", "A1", "1", "12:30", "a-b", "a/b", "")
_FORMATS = {
    "date": "2024-05-17",
    "time": "12:30:00Z",
    "date-time": "2024-05-17T12:30:00Z",
    "email": "someone@example.org",
    "uri": "https://example.org/a",
    "uuid": "7f9c24e8-3b12-4fef-91e0-5b6c1a2d3e4f",
    "ipv4": "192.0.2.7",
    "hostname": "example.org",
}
_PIECE = re.compile(
    r"(?:\\(?P<escape>[^bB0-9])|\[(?P<set>[^\^\]\[\\][^\]\[\\]*)\]|(?P<char>[^\\\[\](){}*+?|.^$]))"
    r"(?P<times>\{\d+(?:,\d*)?\}|[*+?])?"
)
_CLASSES = {"d": "0123456789", "w": "abcdefghij0123456789", "s": " "}


class _UnmakeableError(Exception):
    """The schema has a form that is not known here, or nothing fits it."""


def arguments_for(schema: Mapping[str, Any], random: Random) -> dict[str, Any] | None:
    """Arguments that fit a tool's schema; None where none could be made."""
    validator = validator_of(schema)
    for _ in range(_TRIES if validator else 0):
        try:
            value = _Maker(schema, random).value(schema, 0)
        except (_UnmakeableError, RecursionError):
            continue
        if validator and isinstance(value, dict) and validator.is_valid(value):
            return cast("dict[str, Any]", value)
    return None


def validator_of(schema: Mapping[str, Any]) -> Draft202012Validator | None:
    """What tells whether arguments fit a schema; None where it is no schema."""
    return _validator(json.dumps(schema))


@lru_cache(maxsize=256)
def _validator(schema_text: str) -> Draft202012Validator | None:
    # Checking a schema takes longer than a call over HTTP.
    schema = json.loads(schema_text)
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError:
        return None
    return Draft202012Validator(schema)


class _Maker:
    """Makes values for the parts of one schema."""

    def __init__(self, root: Mapping[str, Any], random: Random) -> None:
        self._root = root
        self._random = random

    def value(self, schema: Any, depth: int) -> Any:
        if depth > _MAX_DEPTH or schema is False:
            raise _UnmakeableError
        if not isinstance(schema, dict):
            return self._random.choice(_WORDS)
        whole = self._whole(cast("dict[str, Any]", schema), depth)
        if "const" in whole:
            return whole["const"]
        for key in ("enum", "examples"):
            if isinstance(whole.get(key), list) and whole[key]:
                return self._random.choice(whole[key])
        return self._of_type(_type_of(whole, self._random), whole, depth)

    def _whole(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        """The schema with what it refers to, and one of its alternatives, taken in."""
        parts = [self._referred(schema["$ref"])] if "$ref" in schema else []
        parts += schema.get("allOf", [])
        parts += [self._random.choice(schema[key]) for key in ("anyOf", "oneOf") if schema.get(key)]
        if not parts:
            return schema
        if depth > _MAX_DEPTH or not all(isinstance(part, dict) for part in parts):
            raise _UnmakeableError
        merged = {key: value for key, value in schema.items() if key not in ("$ref", "allOf", "anyOf", "oneOf")}
        for part in parts:
            merged = _merged(merged, self._whole(part, depth + 1))
        return merged

    def _referred(self, pointer: str) -> Any:
        found: Any = self._root
        if not pointer.startswith("#"):
            raise _UnmakeableError
        for name in pointer.removeprefix("#").strip("/").split("/"):
            found = found.get(name.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
        return found

    def _of_type(self, kind: str, schema: dict[str, Any], depth: int) -> Any:
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "integer" | "number":
                return self._number(schema, is_whole=kind == "integer")
            case "boolean":
                return self._random.random() < 0.5
            case "null":
                return None
            case _:
                return self._text(schema)

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        required = schema.get("required", [])
        properties = schema.get("properties", {})
        made: dict[str, Any] = {name: self.value(properties.get(name, True), depth + 1) for name in required}
        for name, inner in properties.items():
            if name not in made and depth < _MAX_DEPTH // 3 and self._random.random() < 0.5:
                made[name] = self.value(inner, depth + 1)
        return made

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        fixed = schema.get("prefixItems", [])
        least = max(schema.get("minItems", 1), len(fixed))
        count = min(least + self._random.randint(0, 1), schema.get("maxItems", least + 1))
        made = [self.value(inner, depth + 1) for inner in fixed[:count]]
        for _ in range(50):
            if len(made) >= count:
                break
            item = self.value(schema.get("items", True), depth + 1)
            if not (schema.get("uniqueItems") and item in made):
                made.append(item)
        return made

    def _number(self, schema: dict[str, Any], *, is_whole: bool) -> float:
        step = schema.get("multipleOf", 1 if is_whole else 0.5)
        low, high = schema.get("minimum"), schema.get("maximum")
        low = schema["exclusiveMinimum"] + step if "exclusiveMinimum" in schema else low
        high = schema["exclusiveMaximum"] - step if "exclusiveMaximum" in schema else high
        if low is None:
            low = 0 if high is None or high >= 0 else high - 5 * step
        high = low + 5 * step if high is None else high
        first, last = -(-low // step), high // step
        if first > last:
            return self._random.uniform(low, high) if low <= high and not is_whole else low
        value = self._random.randint(int(first), int(min(last, first + 10))) * step
        return int(value) if is_whole else value

    def _text(self, schema: dict[str, Any]) -> str:
        if schema.get("format") in _FORMATS:
            return _FORMATS[str(schema["format"])]
        if "pattern" in schema:
            return self._matching(schema["pattern"])
        text = self._random.choice(_WORDS)
        least: int = schema.get("minLength", 0)
        return (text * (1 + least // len(text)))[: schema.get("maxLength", max(least, len(text)))]

    def _matching(self, pattern: str) -> str:
        """Text for a plain sequence of characters, sets and counts; for others some common text that fits, if any."""
        core = pattern.removeprefix("^").removesuffix("$")
        text, place = "", 0
        while place < len(core):
            piece = _PIECE.match(core, place)
            if piece is None:
                return self._common(pattern)
            choices = _choices(piece)
            text += "".join(self._random.choice(choices) for _ in range(_count(piece["times"], self._random)))
            place = piece.end()
        return text

    def _common(self, pattern: str) -> str:
        try:
            fitting = [text for text in (*_WORDS, *_SHORT, *_FORMATS.values()) if re.search(pattern, text)]
        except re.error as error:
            raise _UnmakeableError from error
        if not fitting:
            raise _UnmakeableError
        return self._random.choice(fitting)


def _type_of(schema: dict[str, Any], random: Random) -> str:
    named = schema.get("type")
    if isinstance(named, list) and named:
        return random.choice([kind for kind in cast("list[str]", named) if kind != "null"] or ["null"])
    if isinstance(named, str):
        return named
    hints = {"properties": "object", "required": "object", "items": "array", "prefixItems": "array"}
    hints |= {"minimum": "number", "maximum": "number", "exclusiveMinimum": "number", "multipleOf": "number"}
    return next((kind for key, kind in hints.items() if key in schema), "string")


def _merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    merged = {**first, **second}
    if "properties" in first and "properties" in second:
        merged["properties"] = {**first["properties"], **second["properties"]}
    if "required" in first and "required" in second:
        merged["required"] = list(dict.fromkeys([*first["required"], *second["required"]]))
    return merged


def _choices(piece: re.Match[str]) -> str:
    if piece["escape"]:
        return _CLASSES.get(piece["escape"], piece["escape"])
    if piece["char"]:
        return piece["char"]
    spans = re.sub(
        r"(.)-(.)", lambda ends: "".join(map(chr, range(ord(ends[1]), ord(ends[2]) + 1))), piece["set"], flags=re.DOTALL
    )
    return spans or "a"


def _count(times: str | None, random: Random) -> int:
    if times is None:
        return 1
    if times in "*+?":
        return random.randint(0 if times in "*?" else 1, 1 if times == "?" else 4)
    low, comma, high = times.strip("{}").partition(",")
    return random.randint(int(low), int(high) if high else int(low) + (4 if comma else 0))
