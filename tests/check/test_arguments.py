"""Arguments made from a tool's schema fit it, and are the same for the same seed."""

from __future__ import annotations

import random

import pytest
from envport.check.arguments import arguments_for
from jsonschema import Draft202012Validator


def an_object(**properties):
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


MAKEABLE = {
    "no parameters": {"type": "object", "properties": {}},
    "no type at all": {"properties": {"a": {}}, "required": ["a"]},
    "plain types": an_object(
        a={"type": "string"}, b={"type": "integer"}, c={"type": "number"}, d={"type": "boolean"}, e={"type": "null"}
    ),
    "bounds": an_object(
        a={"type": "integer", "minimum": 3, "maximum": 4},
        b={"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5},
        c={"type": "number", "minimum": 0.1, "maximum": 0.2},
        d={"type": "integer", "maximum": -7},
        e={"type": "integer", "minimum": 10, "multipleOf": 7},
    ),
    "texts": an_object(
        a={"type": "string", "minLength": 30},
        b={"type": "string", "maxLength": 2},
        c={"type": "string", "minLength": 4, "maxLength": 4},
        d={"type": "string", "format": "date"},
    ),
    "patterns": an_object(
        a={"type": "string", "pattern": r"^[A-Z]{2}\d{3}$"},
        b={"type": "string", "pattern": r"^[a-z0-9_]+$"},
        c={"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"},
        d={"type": "string", "pattern": "river|stone"},
    ),
    "choices": an_object(a={"enum": ["x", 1, None]}, b={"const": {"k": [1]}}, c={"type": ["null", "integer"]}),
    "alternatives": an_object(
        a={"anyOf": [{"type": "integer"}, {"type": "null"}]},
        b={"oneOf": [{"type": "string", "minLength": 2}, {"type": "integer"}]},
        c={"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 3}]},
    ),
    "references": {
        **an_object(a={"$ref": "#/$defs/Pair"}),
        "$defs": {"Pair": an_object(x={"$ref": "#/$defs/X"}), "X": {"type": "integer", "minimum": 5}},
    },
    "arrays": an_object(
        a={"type": "array", "items": {"type": "integer"}, "minItems": 3},
        b={"type": "array", "items": {"enum": [1, 2, 3]}, "uniqueItems": True, "minItems": 3, "maxItems": 3},
        c={"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False},
        d={"type": "array"},
    ),
    "examples": an_object(a={"type": "string", "examples": ["Kandahar"]}),
    "a tree": {
        "type": "object",
        "properties": {"name": {"type": "string"}, "child": {"$ref": "#"}},
        "required": ["name"],
    },
}
UNMAKEABLE = {
    "a pattern of its own": an_object(a={"type": "string", "pattern": r"^(?=.*q)(?=.*z)[a-z]{9}$"}),
    "nothing fits": an_object(a=False),
    "without an end": {**an_object(child={"$ref": "#"})},
    "an address elsewhere": an_object(a={"$ref": "https://example.org/schema"}),
    "no schema": {"type": "objekt"},
    "no object": {"type": "string"},
}


@pytest.mark.parametrize("schema", MAKEABLE.values(), ids=MAKEABLE)
def test_what_is_made_fits_the_schema(schema):
    for seed in range(20):
        made = arguments_for(schema, random.Random(seed))
        assert made is not None
        assert list(Draft202012Validator(schema).iter_errors(made)) == []


@pytest.mark.parametrize("schema", UNMAKEABLE.values(), ids=UNMAKEABLE)
def test_what_cannot_be_made_is_told(schema):
    assert arguments_for(schema, random.Random(0)) is None


def test_the_same_seed_makes_the_same_and_another_makes_another():
    schema = an_object(**{f"p{number}": {"type": "integer"} for number in range(8)})
    assert arguments_for(schema, random.Random(7)) == arguments_for(schema, random.Random(7))
    assert len({str(arguments_for(schema, random.Random(seed))) for seed in range(8)}) > 1
