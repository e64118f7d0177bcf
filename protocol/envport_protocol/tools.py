"""What a tool is: from a plain dict as authors write them, or from a typed function by `@tool`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NotRequired, TypeVar, cast, get_type_hints, overload

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation
from typing_extensions import TypedDict

from envport_protocol.errors import EnvDefinitionError, ToolError
from envport_protocol.messages import ToolSpec

F = TypeVar("F", bound=Callable[..., Any])

INJECTED = frozenset({"self", "rollout_id", "tool_name"})
"""Names that the server fills in; never part of a tool's schema, never taken from the model."""

_MARK = "__envport_tool__"
_MAX_ERRORS = 5000
"""Of arguments, of which the first is looked for: all of them become dicts at once."""

_TYPE_WORDS = {
    "string": ("string", "str", "text"),
    "integer": ("integer", "int"),
    "number": ("number", "float", "double"),
    "boolean": ("boolean", "bool"),
    "array": ("array", "list"),
    "object": ("object", "dict", "mapping"),
}
_TYPE_OF_WORD = {word: json_type for json_type, words in _TYPE_WORDS.items() for word in words}
_WORDS = "|".join(_TYPE_OF_WORD)
_LEADING_TYPE = re.compile(rf"^\s*({_WORDS})(\s*\[[^\]]*\])?\s*($|[,:;.(\-–—|]|optional\b|of\b)", re.IGNORECASE)
_TYPE_IN_BRACKETS = re.compile(rf"[(\[]\s*(?:optional\s*,?\s*)?({_WORDS})\b[^)\]]*[)\]]", re.IGNORECASE)
_OPTIONAL = re.compile(r"\boptional\b|\bdefaults?\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ToolMark:
    """What `@tool` leaves on a function. None: taken from the function itself."""

    name: str | None
    description: str | None


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(*, name: str | None = None, description: str | None = None) -> Callable[[F], F]: ...
def tool(
    function: F | None = None, /, *, name: str | None = None, description: str | None = None
) -> F | Callable[[F], F]:
    """Makes a method a tool: name, description and JSON Schema come from its name, type hints and docstring.

    The part of the docstring before `Args:` is the description; each entry of `Args:` describes a parameter. A
    parameter `rollout_id` is filled in by the server and hidden from the model.
    """

    def mark(target: F) -> F:
        setattr(target, _MARK, ToolMark(name, description))
        return target

    return mark if function is None else mark(function)


class MethodTool:
    """A method marked by `@tool`, ready to be called with a model's arguments."""

    def __init__(self, method: Callable[..., Any], mark: ToolMark) -> None:
        doc = inspect.getdoc(method) or ""
        self.method = method
        parameters = _parameters(method)
        self.takes_rollout_id = "rollout_id" in inspect.signature(method).parameters
        self._adapter = _adapter(method, parameters, argument_texts(doc))
        schema = cast("dict[str, Any]", _without_titles(self._adapter.json_schema()))
        for parameter in parameters:
            if parameter.default is not parameter.empty and _is_plain(parameter.default):
                schema["properties"][parameter.name].setdefault("default", parameter.default)
        self.spec = ToolSpec(
            name=mark.name or getattr(method, "__name__", ""),
            description=mark.description or description_text(doc),
            parameters=schema,
        )

    def typed(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments as the method's hints have them: enums, dates, models.

        Raises:
            ToolError: they do not fit the hints.
        """
        try:
            return dict(self._adapter.validate_python(dict(arguments)))
        except ValidationError as error:
            count = error.error_count()
            if count > _MAX_ERRORS:
                raise ToolError(f"{self.spec.name}: {count} of the values in its arguments do not fit") from error
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"])) or "arguments"
            raise ToolError(f"{self.spec.name}: {place}: {first['msg']}") from error


def method_tools(env: object) -> dict[str, MethodTool]:
    """The `@tool` methods of an object by tool name, in the order they were written, those of base classes first."""
    found: dict[str, MethodTool] = {}
    for attribute in marked_attributes(type(env), _MARK):
        method = getattr(env, attribute)
        bound = MethodTool(method, getattr(method, _MARK))
        if bound.spec.name in found:
            raise EnvDefinitionError(f"two tools are named {bound.spec.name!r}; give one another name by @tool(name=…)")
        found[bound.spec.name] = bound
    return found


def marked_attributes(cls: type, mark: str) -> list[str]:
    """The attributes of a class that carry a decorator's mark, base classes first, each once."""
    names = (name for base in reversed(cls.__mro__) for name in vars(base))
    return [name for name in dict.fromkeys(names) if hasattr(getattr(cls, name, None), mark)]


def as_tool_spec(raw: Any) -> ToolSpec:
    """The spec of a tool as an author wrote it.

    Takes a ToolSpec; a dict with name, description and `parameters` (JSON Schema, or name -> prose), `input_schema` or
    `inputSchema`; the OpenAI form `{"type": "function", "function": {…}}`; an object with such attributes.

    Raises:
        EnvDefinitionError: it has no usable name or no readable parameters.
    """
    if isinstance(raw, ToolSpec):
        return raw
    fields = _fields(raw)
    if isinstance(fields.get("function"), Mapping):
        fields = fields["function"]
    parameters: Any = None
    for key in ("parameters", "input_schema", "inputSchema"):
        parameters = fields.get(key) if parameters is None else parameters
    try:
        return ToolSpec(
            name=fields.get("name") or "",
            description=fields.get("description") or "",
            parameters=parameters_schema(parameters),
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise EnvDefinitionError(
            f"a tool's {first['loc'][0]} is {first['input']!r}: {first['msg']}; a tool is a dict like "
            '{"name": "search", "description": "…", "parameters": {"query": "what to look for"}}'
        ) from error


def parameters_schema(parameters: Any) -> dict[str, Any]:
    """JSON Schema of a tool's parameters. A mapping of names to prose becomes one; what cannot be typed is a string."""
    if parameters is None:
        return {"type": "object", "properties": {}}
    if not isinstance(parameters, Mapping):
        raise EnvDefinitionError(f"a tool's parameters are {parameters!r}; expected a dict")
    given = cast("Mapping[str, Any]", parameters)
    if given.get("type") == "object" or isinstance(given.get("properties"), Mapping) or "$ref" in given:
        return {"type": "object", "properties": {}, **given}
    properties = {str(name): _property(value) for name, value in given.items()}
    required = [name for name, value in given.items() if not _is_optional(value)]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _property(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        schema = {
            key: item for key, item in cast("Mapping[str, Any]", value).items() if key not in {"required", "optional"}
        }
        word = schema.get("type")
        if isinstance(word, str):
            schema["type"] = _TYPE_OF_WORD.get(word.lower(), word)
        return (
            schema
            if schema.keys() & {"type", "anyOf", "oneOf", "allOf", "enum", "const", "$ref"}
            else {"type": "string", **schema}
        )
    if isinstance(value, type):
        return {"type": _TYPE_OF_WORD.get(value.__name__, "string")}
    text = str(value)
    match = _LEADING_TYPE.match(text) or _TYPE_IN_BRACKETS.search(text)
    return {"type": _TYPE_OF_WORD[match.group(1).lower()] if match else "string", "description": text}


def _is_optional(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "default" in value or value.get("required") is False or value.get("optional") is True
    return isinstance(value, str) and _OPTIONAL.search(value) is not None


def _fields(raw: Any) -> Mapping[str, Any]:
    if isinstance(raw, Mapping):
        return cast("Mapping[str, Any]", raw)
    if callable(raw) and hasattr(raw, _MARK):
        return MethodTool(raw, getattr(raw, _MARK)).spec.model_dump()
    names = ("name", "description", "parameters", "input_schema", "inputSchema")
    return {name: getattr(raw, name) for name in names if hasattr(raw, name)}


def _parameters(method: Callable[..., Any]) -> list[inspect.Parameter]:
    parameters = [p for p in inspect.signature(method).parameters.values() if p.name not in INJECTED]
    for parameter in parameters:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise EnvDefinitionError(
                f"tool {getattr(method, '__qualname__', method)!s} has the parameter {parameter}; a model can only "
                "give named arguments: write each as a plain parameter"
            )
    return parameters


def _adapter(
    method: Callable[..., Any], parameters: list[inspect.Parameter], texts: Mapping[str, str]
) -> TypeAdapter[dict[str, Any]]:
    what = getattr(method, "__qualname__", str(method))
    try:
        hints = get_type_hints(method, include_extras=True)
        fields: dict[str, Any] = {}
        for parameter in parameters:
            hint: Any = hints.get(parameter.name, str)
            if parameter.name in texts:
                hint = Annotated[hint, Field(description=texts[parameter.name])]
            fields[parameter.name] = hint if parameter.default is parameter.empty else NotRequired[hint]
        make_typed_dict = cast("Any", TypedDict)
        arguments = make_typed_dict("Arguments", fields)
        setattr(arguments, "__pydantic_config__", ConfigDict(extra="forbid"))  # noqa: B010 - not declared on TypedDict
        adapter: TypeAdapter[dict[str, Any]] = TypeAdapter(arguments)
    except (NameError, TypeError, PydanticSchemaGenerationError, PydanticUndefinedAnnotation) as error:
        raise EnvDefinitionError(f"the type hints of tool {what} cannot become a JSON Schema: {error}") from error
    return adapter


def description_text(doc: str) -> str:
    """The part of a docstring before its first Google section, on one line per paragraph."""
    head = re.split(r"(?m)^(?:Args|Arguments|Returns|Raises|Yields|Examples?|Notes?):\s*$", doc, maxsplit=1)[0]
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in head.strip().split("\n\n"))


def argument_texts(doc: str) -> dict[str, str]:
    """Parameter name -> text, from the `Args:` section of a Google docstring."""
    section = re.search(r"(?m)^(?:Args|Arguments):[ \t]*\n((?:[ \t]+.*\n?|[ \t]*\n)*)", doc)
    texts: dict[str, str] = {}
    if section is None:
        return texts
    lines = inspect.cleandoc("\n" + section.group(1)).splitlines()
    name = ""
    for line in lines:
        entry = re.match(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.*)$", line)
        if entry:
            name = entry.group(1)
            texts[name] = entry.group(2).strip()
        elif name and line.strip():
            texts[name] = f"{texts[name]} {line.strip()}".strip()
    return texts


def _without_titles(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_titles(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    bare: dict[str, Any] = {}
    for key, value in cast("dict[str, Any]", schema).items():
        if key in {"properties", "$defs"}:
            bare[key] = {name: _without_titles(inner) for name, inner in value.items()}
        elif key in {"default", "enum", "const", "examples"}:
            bare[key] = value
        elif key != "title":
            bare[key] = _without_titles(value)
    return bare


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)
