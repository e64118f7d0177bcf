"""Tool specs from dicts and functions, and the check of arguments."""

from __future__ import annotations

import time
from datetime import date  # noqa: TC003 - a tool's hint, read when it runs
from enum import StrEnum
from typing import Literal

import pytest
from envport_protocol import BaseEnv, ToolError, ToolResult, ToolSpec, tool
from envport_protocol.errors import EnvDefinitionError
from envport_protocol.hosting.author import Author
from envport_protocol.messages import RunToolAnswer, TextContent
from envport_protocol.results import run_tool_answer
from envport_protocol.tools import as_tool_spec, method_tools, parameters_schema
from envport_protocol.toolset import ToolSet
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError


class Unit(StrEnum):
    KM = "km"
    MILE = "mile"


class Typed(BaseEnv):
    @tool
    async def distance(
        self, rollout_id: str, start: str, to: list[str], unit: Unit = Unit.KM, json: bool = False
    ) -> str:
        """Measures the way
        between places.

        In a second paragraph.

        Args:
            start: Where it begins,
                told at length.
            to (list): The places.

        Returns:
            A number.
        """
        return f"{rollout_id} {start} {to} {unit!r} {json}"

    @tool(name="pick", description="Picks one")
    def choose(self, which: Literal["a", "b"]) -> str:
        return which


DISTANCE_SCHEMA = {
    "type": "object",
    "properties": {
        "start": {"type": "string", "description": "Where it begins, told at length."},
        "to": {"type": "array", "items": {"type": "string"}, "description": "The places."},
        "unit": {"$ref": "#/$defs/Unit", "default": "km"},
        "json": {"type": "boolean", "default": False},
    },
    "required": ["start", "to"],
    "additionalProperties": False,
    "$defs": {"Unit": {"type": "string", "enum": ["km", "mile"]}},
}


def test_a_tool_method_becomes_a_schema_from_its_hints_and_docstring():
    distance, pick = Typed().list_tools()
    assert (distance.name, distance.description) == (
        "distance",
        "Measures the way between places.\n\nIn a second paragraph.",
    )
    assert distance.parameters == DISTANCE_SCHEMA
    assert (pick.name, pick.description) == ("pick", "Picks one")
    assert pick.parameters["properties"] == {"which": {"type": "string", "enum": ["a", "b"]}}


async def test_a_tool_method_can_be_called_without_a_server_and_gets_typed_values():
    said = await Typed().run_tool("r1", "distance", start="x", to=["y"], unit="mile")
    assert said == "r1 x ['y'] <Unit.MILE: 'mile'> False"
    assert await Typed().run_tool(rollout_id="r1", tool_name="pick", which="b") == "b"
    with pytest.raises(ToolError, match="no tool 'nix'"):
        await Typed().run_tool("r1", "nix")


@pytest.mark.parametrize(
    ("prose", "expected"),
    [
        ("The query", ("string", True)),
        ("int, how many", ("integer", True)),
        ("integer", ("integer", True)),
        ("How many results (int, optional)", ("integer", False)),
        ("(optional) float between 0 and 1", ("string", False)),
        ("number: the limit, default 5", ("number", False)),
        ("bool - whether to sort", ("boolean", True)),
        ("list of strings", ("array", True)),
        ("dict[str, int], counts", ("object", True)),
        ("list the files in this folder", ("string", True)),
        ("text to look for", ("string", True)),
        ("integral part", ("string", True)),
    ],
)
def test_prose_parameters_are_typed_where_they_say_so_else_strings(prose, expected):
    schema = parameters_schema({"x": prose})
    json_type, required = expected
    assert schema == {
        "type": "object",
        "properties": {"x": {"type": json_type, "description": prose}},
        "required": ["x"] if required else [],
        "additionalProperties": False,
    }


def test_a_tool_may_be_written_in_any_of_the_usual_forms():
    schema = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
    wanted = ToolSpec(name="find", description="Finds", parameters=schema)
    plain = {"name": "find", "description": "Finds", "parameters": schema}
    assert as_tool_spec(wanted) is wanted
    assert as_tool_spec(plain) == wanted
    assert as_tool_spec({"type": "function", "function": plain}) == wanted
    assert as_tool_spec({"name": "find", "description": "Finds", "input_schema": schema}) == wanted
    assert as_tool_spec({"name": "find", "description": "Finds", "inputSchema": schema}) == wanted
    half = as_tool_spec(
        {"name": "find", "description": "Finds", "parameters": {"q": {"type": "str", "description": "w"}}}
    )
    assert half.parameters["properties"] == {"q": {"type": "string", "description": "w"}}
    assert as_tool_spec({"name": "now"}).parameters == {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ({"description": "no name"}, "name is ''"),
        ({"name": "two words"}, "name is 'two words'"),
        ({"name": "x", "parameters": 3}, "parameters are 3; expected a dict"),
        ("search", "name is ''"),
    ],
)
def test_a_tool_that_is_none_is_refused_with_what_was_seen(raw, told):
    with pytest.raises(EnvDefinitionError, match=told):
        as_tool_spec(raw)


def test_a_set_of_tools_refuses_doubles_broken_schemas_and_names_of_the_server():
    with pytest.raises(EnvDefinitionError, match="two tools are named 'a'"):
        ToolSet([{"name": "a"}, {"name": "a"}])
    with pytest.raises(EnvDefinitionError, match=r"the schema of tool 'a' is none: properties\.x\.type"):
        ToolSet([{"name": "a", "parameters": {"type": "object", "properties": {"x": {"type": "strnig"}}}}])
    with pytest.raises(EnvDefinitionError, match="declares the parameter 'rollout_id'"):
        ToolSet([{"name": "a", "parameters": {"rollout_id": "the id"}}])


def test_hints_that_cannot_become_a_schema_are_refused():
    class Odd(BaseEnv):
        @tool
        def many(self, *words: str) -> str:
            return ""

    with pytest.raises(EnvDefinitionError, match=r"the parameter \*words"):
        Odd().list_tools()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "The arguments do not fit find: 'q' is a required property. Expected: q (string), k (integer, optional)."),
        (
            {"q": 3},
            "The arguments do not fit find: q: 3 is not of type 'string'. Expected: q (string), k (integer, optional).",
        ),
        ({"q": "x", "rollout_id": "r2"}, "find takes no argument 'rollout_id'."),
        ({"q": "x", "self": 1}, "find takes no argument 'self'."),
    ],
)
def test_arguments_that_do_not_fit_are_told_to_the_model(arguments, told):
    schema = {"type": "object", "properties": {"q": {"type": "string"}, "k": {"type": "integer"}}, "required": ["q"]}
    with pytest.raises(ToolError) as caught:
        ToolSet([{"name": "find", "parameters": schema}]).check("find", arguments)
    assert str(caught.value) == told


FEW = "The arguments do not fit sum: numbers.0: 'x' is not of type 'integer'. Expected: numbers (array)."
MANY = "The arguments do not fit sum, and are too large to say where. Expected: numbers (array)."


@pytest.mark.parametrize(
    ("count", "item", "told"),
    [(1, "x", FEW), (800_000, "x", MANY), (1, "x" * 400_000, MANY), (40_000, {"a": 1}, MANY)],
    ids=["few", "many values", "a long value", "many that are to differ"],
)
@pytest.mark.parametrize("kind", ["plain", "optional", "of a pattern that Python alone knows"])
def test_arguments_of_any_size_are_soon_refused(count, item, told, kind):
    numbers = {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}
    if kind == "optional":
        numbers = {"type": "array", "anyOf": [numbers, {"type": "null"}]}
    elif kind != "plain":
        numbers["items"] = {"type": "integer", "pattern": "(?i:x)(?P<a>y)(?(a)z)"}
    schema = {"type": "object", "properties": {"numbers": numbers}, "required": ["numbers"]}
    tools = ToolSet([{"name": "sum", "parameters": schema}])
    arguments = {"numbers": [item] * count}
    began = time.process_time()
    with pytest.raises(ToolError) as caught:
        tools.check("sum", arguments)
    assert time.process_time() - began < 0.5
    assert str(caught.value) == told


def test_of_what_jsonschema_has_to_judge_alone_no_more_is_taken_than_it_can():
    word = {"type": "string", "pattern": r"\A\w+\Z"}
    items = {"type": "array", "items": {"type": "object"}, "uniqueItems": True}
    schema = {"type": "object", "properties": {"word": word, "items": items}}
    tools = ToolSet([{"name": "f", "parameters": schema}])
    tools.check("f", {"items": [{"a": number} for number in range(100)]})
    began = time.process_time()
    with pytest.raises(ToolError, match="too large"):
        tools.check("f", {"items": [{"a": number} for number in range(20_000)]})
    assert time.process_time() - began < 0.5


def test_a_typed_tool_tells_how_many_values_do_not_fit_where_they_are_many():
    class Dated(BaseEnv):
        @tool
        def sort(self, days: list[date]) -> str:
            return ""

    sort = method_tools(Dated())["sort"]
    with pytest.raises(ToolError, match=r"sort: days\.0: "):
        sort.typed({"days": ["x", "y"]})
    with pytest.raises(ToolError, match="sort: 100000 of the values in its arguments do not fit"):
        sort.typed({"days": ["x"] * 100_000})


def test_equal_schemas_are_compiled_once(monkeypatch):
    def spec(kind):
        return {"name": "once", "parameters": {"type": "object", "properties": {"compiled_once": {"type": kind}}}}

    def refuse(_):
        raise SchemaError("compiled again")

    first = spec("string")
    ToolSet([first])
    first["parameters"]["properties"]["compiled_once"]["type"] = "integer"
    monkeypatch.setattr(Draft202012Validator, "check_schema", refuse)
    ToolSet([spec("string")]).check("once", {"compiled_once": "x"})
    with pytest.raises(EnvDefinitionError, match="compiled again"):
        ToolSet([spec("integer")])


def test_a_long_misfit_is_cut():
    with pytest.raises(ToolError) as caught:
        ToolSet([{"name": "f", "parameters": {"n": "int"}}]).check("f", {"n": "x" * 100_000})
    assert len(str(caught.value)) < 700


def test_what_a_tool_gives_becomes_text():
    def texts(value):
        return [block.text for block in run_tool_answer(value).content]

    assert texts("plain") == ["plain"]
    assert texts(None) == []
    assert texts({"a": [1, "é"]}) == ['{"a": [1, "é"]}']
    assert texts([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]) == ["one", "two"]
    assert texts(["a", 1]) == ['["a", 1]']
    assert texts([]) == ["[]"]
    assert texts(3.5) == ["3.5"]
    answer = run_tool_answer(ToolResult("over", rewards={"step": 0.5}, done=True))
    assert answer == RunToolAnswer(content=[TextContent(text="over")], rewards={"step": 0.5}, done=True)


async def test_a_tool_that_nothing_runs_is_a_wrong_definition():
    class Idle(BaseEnv):
        def list_tools(self):
            return [{"name": "find", "description": "Finds."}]

    with pytest.raises(EnvDefinitionError, match="names the tool 'find', but nothing runs it"):
        await Author(Idle()).open()
