"""The tools of an environment or of one rollout, each schema compiled once, however many rollouts have it.

A call that fits is let through by jsonschema-rs, in a fraction of the time that jsonschema takes. jsonschema judges the
others: what is wrong, in words for the model. It takes its time and collects what is wrong in all of the alternatives,
so it is asked about small arguments only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

import jsonschema_rs
import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match

from envport_protocol.errors import EnvDefinitionError, ToolError
from envport_protocol.tools import INJECTED, as_tool_spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from envport_protocol.messages import ToolSpec

_MAX_TEXT = 500
_MAX_ERRORS = 100
"""Of arguments, among which the one that tells most is looked for."""
_MAX_VALUES = 500
"""Of arguments, those within others included, of which it is told what is wrong. Keys count as values."""
_MAX_CHARACTERS = 2**18
"""In those."""
_MAX_JUDGED = 5_000
"""Values of arguments that jsonschema has to judge alone."""
_MAX_SCHEMAS = 1024
"""That are kept compiled."""


class ToolSet:
    """Tools by name, each with a compiled validator of its arguments.

    Raises:
        EnvDefinitionError: two tools of one name, a schema that is none, a parameter that the server fills in itself.
    """

    def __init__(self, raw: Iterable[Any]) -> None:
        self.specs: list[ToolSpec] = [as_tool_spec(item) for item in raw]
        self._schemas = {spec.name: _compiled(spec) for spec in self.specs}
        if len(self._schemas) != len(self.specs):
            names = [spec.name for spec in self.specs]
            twice = sorted({name for name in names if names.count(name) > 1})
            raise EnvDefinitionError(f"two tools are named {twice[0]!r}; give each its own name")

    def check(self, name: str, arguments: Mapping[str, Any]) -> None:
        """Lets a fitting call pass.

        Raises:
            ToolError: no such tool, or the arguments do not fit its schema; the text is for the model.
        """
        schema = self._schemas.get(name)
        if schema is None:
            known = ", ".join(self._schemas) or "none"
            raise ToolError(_cut(f"There is no tool {name!r}. Available tools: {known}."))
        reserved = INJECTED & arguments.keys()
        if reserved:
            raise ToolError(f"{name} takes no argument {min(reserved)!r}.")
        if schema.accepts(arguments):
            return
        expected = _signature(schema.validator.schema)
        if not _is_small(arguments, _MAX_VALUES):
            raise ToolError(f"The arguments do not fit {name}, and are too large to say where. Expected: {expected}.")
        error = best_match(islice(schema.validator.iter_errors(arguments), _MAX_ERRORS))
        if error is not None:
            place = ".".join(map(str, error.absolute_path))
            text = f"{place}: {error.message}" if place else error.message
            raise ToolError(f"The arguments do not fit {name}: {_cut(text)}. Expected: {expected}.")


@dataclass(frozen=True, slots=True)
class _Schema:
    """A schema of arguments, compiled twice."""

    accepts: Callable[[Mapping[str, Any]], bool]
    """Quick to say whether arguments fit."""
    validator: Draft202012Validator
    """Says why not."""


def _compiled(spec: ToolSpec) -> _Schema:
    reserved = INJECTED & spec.parameters.get("properties", {}).keys()
    if reserved:
        raise EnvDefinitionError(
            f"tool {spec.name!r} declares the parameter {min(reserved)!r}, which the server fills in; leave it out"
        )
    try:
        return _compiled_schema(spec.parameters)
    except SchemaError as error:
        place = ".".join(map(str, error.absolute_path)) or "parameters"
        raise EnvDefinitionError(f"the schema of tool {spec.name!r} is none: {place}: {error.message}") from error


def _compiled_schema(schema: dict[str, Any]) -> _Schema:
    try:
        text = orjson.dumps(schema)
    except TypeError:  # what is not JSON, or an integer of more than 64 bits
        return _compile(schema)
    return _kept(text)


@lru_cache(_MAX_SCHEMAS)
def _kept(text: bytes) -> _Schema:
    return _compile(orjson.loads(text))


def _compile(schema: dict[str, Any]) -> _Schema:
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    return _Schema(_acceptor(validator), validator)


def _acceptor(validator: Draft202012Validator) -> Callable[[Mapping[str, Any]], bool]:
    try:
        schema = cast("dict[str, Any]", validator.schema)
        return jsonschema_rs.Draft202012Validator(schema, retriever=_fetch_nothing).is_valid
    except jsonschema_rs.ValidationError:  # such as a pattern of Python's own

        def is_valid(arguments: Mapping[str, Any]) -> bool:
            return _is_small(arguments, _MAX_JUDGED, 2**63) and bool(validator.is_valid(arguments))

        return is_valid


def _is_small(arguments: Mapping[str, Any], max_values: int, max_characters: int = _MAX_CHARACTERS) -> bool:
    left: list[Any] = [arguments]
    values = characters = 0
    while left:
        value = left.pop()
        values += 1
        if isinstance(value, str):
            characters += len(value)
        elif isinstance(value, dict | list):
            if values + len(cast("list[Any]", value)) > max_values:
                return False
            left.extend(cast("list[Any]", value))
            if isinstance(value, dict):
                left.extend(cast("dict[str, Any]", value).values())
        if values > max_values or characters > max_characters:
            return False
    return True


def _fetch_nothing(uri: str) -> Any:
    raise ValueError(f"{uri} is outside of the schema")


def _signature(schema: Any) -> str:
    properties: Mapping[str, Any] = schema.get("properties", {})
    required = schema.get("required", ())
    parts = [
        f"{name} ({inner.get('type', 'any')}{'' if name in required else ', optional'})"
        for name, inner in properties.items()
        if isinstance(inner, dict)
    ]
    return ", ".join(parts) or "no arguments"


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "…"
