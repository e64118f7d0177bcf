"""The tools of an environment or of one rollout, their schemas compiled once.

A call that fits is let through by jsonschema-rs, in a fraction of the time that jsonschema takes. jsonschema judges the
others: what is wrong, in words for the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import jsonschema_rs
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match

from envport_protocol.errors import EnvDefinitionError, ToolError
from envport_protocol.tools import INJECTED, as_tool_spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from envport_protocol.messages import ToolSpec

_MAX_TEXT = 500


class ToolSet:
    """Tools by name, each with a compiled validator of its arguments.

    Raises:
        EnvDefinitionError: two tools of one name, a schema that is none, a parameter that the server fills in itself.
    """

    def __init__(self, raw: Iterable[Any]) -> None:
        self.specs: list[ToolSpec] = [as_tool_spec(item) for item in raw]
        self._validators = {spec.name: _validator(spec) for spec in self.specs}
        self._accepts = {name: _acceptor(validator) for name, validator in self._validators.items()}
        if len(self._validators) != len(self.specs):
            names = [spec.name for spec in self.specs]
            twice = sorted({name for name in names if names.count(name) > 1})
            raise EnvDefinitionError(f"two tools are named {twice[0]!r}; give each its own name")

    def check(self, name: str, arguments: Mapping[str, Any]) -> None:
        """Lets a fitting call pass.

        Raises:
            ToolError: no such tool, or the arguments do not fit its schema; the text is for the model.
        """
        validator = self._validators.get(name)
        if validator is None:
            known = ", ".join(self._validators) or "none"
            raise ToolError(_cut(f"There is no tool {name!r}. Available tools: {known}."))
        reserved = INJECTED & arguments.keys()
        if reserved:
            raise ToolError(f"{name} takes no argument {min(reserved)!r}.")
        if self._accepts[name](arguments):
            return
        error = best_match(validator.iter_errors(arguments))
        if error is not None:
            place = ".".join(map(str, error.absolute_path))
            text = f"{place}: {error.message}" if place else error.message
            raise ToolError(f"The arguments do not fit {name}: {_cut(text)}. Expected: {_signature(validator.schema)}.")


def _validator(spec: ToolSpec) -> Draft202012Validator:
    reserved = INJECTED & spec.parameters.get("properties", {}).keys()
    if reserved:
        raise EnvDefinitionError(
            f"tool {spec.name!r} declares the parameter {min(reserved)!r}, which the server fills in; leave it out"
        )
    try:
        Draft202012Validator.check_schema(spec.parameters)
    except SchemaError as error:
        place = ".".join(map(str, error.absolute_path)) or "parameters"
        raise EnvDefinitionError(f"the schema of tool {spec.name!r} is none: {place}: {error.message}") from error
    return Draft202012Validator(spec.parameters)


def _acceptor(validator: Draft202012Validator) -> Callable[[Mapping[str, Any]], bool]:
    try:
        return jsonschema_rs.Draft202012Validator(cast("dict[str, Any]", validator.schema), retriever=_fetch_nothing).is_valid
    except jsonschema_rs.ValidationError:  # such as a pattern of Python's own: jsonschema judges all calls then
        return lambda _: False


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
