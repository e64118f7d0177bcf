"""Each form of tool calls is read as its family writes it; what is malformed is told; hostile text is read quickly."""

from __future__ import annotations

import pytest
from envport_protocol.messages import ToolSpec
from envport_trainer.conversation.tool_formats import FORMATS, MAX_CALLS, ToolCall
from envport_trainer.conversation.tool_formats.xml import with_types

LOOK, COUNT = ToolCall("look", {"at": "door"}), ToolCall("count", {"n": 3})
READ = {
    "hermes": [
        ('So <tool_call>\n{"name": "look", "arguments": {"at": "door"}}\n</tool_call>', [LOOK]),
        ('<tool_call>{"name": "count", "arguments": {"n": 3}}', [COUNT]),
        ('{"name": "look", "arguments": {"at": "door"}}', []),
    ],
    "llama": [
        ('{"name": "look", "parameters": {"at": "door"}}', [LOOK]),
        (' {"name": "look", "arguments": {"at": "door"}}\n', [LOOK]),
        ('<|python_tag|>{"name": "look", "parameters": {"at": "door"}}', [LOOK]),
        (
            '<|python_tag|>{"name":"look","parameters":{"at":"door"}}; {"name":"count","parameters":{"n":3}}',
            [LOOK, COUNT],
        ),
        ('<function=look>{"at": "door"}</function><function=count>{"n": 3}', [LOOK, COUNT]),
        ('{"answer": 3}', []),
        ('{"name": "a house"}', []),
        ("I would say {3}.", []),
        ("", []),
    ],
    "mistral": [
        ('[TOOL_CALLS][{"name": "look", "arguments": {"at": "door"}}]', [LOOK]),
        (
            'Hm.[TOOL_CALLS] [{"name":"look","arguments":{"at":"door"}}, {"name":"count","arguments":{"n":3}}]',
            [LOOK, COUNT],
        ),
        ('[TOOL_CALLS]look[ARGS]{"at": "door"}[TOOL_CALLS]count[ARGS]{"n": 3}', [LOOK, COUNT]),
        ('[TOOL_CALLS]look{"at": "door"}', [LOOK]),
        (
            '[TOOL_CALLS]look[CALL_ID]a1B2c3D4e[ARGS]{"at": "door"}',
            [ToolCall("look", {"at": "door"}, call_id="a1B2c3D4e")],
        ),
        ('[{"name": "look", "arguments": {"at": "door"}}]', []),
    ],
    "json": [
        ('{"name": "look", "arguments": {"at": "door"}}', [LOOK]),
        ('[{"name": "look", "parameters": {"at": "door"}}, {"name": "count", "arguments": {"n": 3}}]', [LOOK, COUNT]),
        ('I look.\n```json\n{"name": "look", "arguments": {"at": "door"}}\n```\nThen I see.', [LOOK]),
        ('```python\nprint(1)\n```\n```\n{"name": "count", "arguments": {"n": 3}}\n```', [COUNT]),
        ('{"answer": 3}', []),
        ("[1, 2]", []),
        ("The set {1}.", []),
    ],
    "xml": [
        ("<tool_call>\n<function=look>\n<parameter=at>\ndoor\n</parameter>\n</function>\n</tool_call>", [LOOK]),
        ("<tool_call><function=count><parameter=n>3</parameter></function>", [ToolCall("count", {"n": "3"})]),
        ("<function=look><parameter=at>door</parameter></function>", [LOOK]),
        ("<tool_call>look\n<arg_key>at</arg_key>\n<arg_value>door</arg_value>\n</tool_call>", [LOOK]),
        ("<tool_call>look</tool_call>", [ToolCall("look", {})]),
        (
            "<tool_call><function=look><parameter=at>\n a <b>\n\n</parameter></function>",
            [ToolCall("look", {"at": " a <b>\n"})],
        ),
        ("no call", []),
    ],
}


@pytest.mark.parametrize(("form", "text", "calls"), [(form, *case) for form, cases in READ.items() for case in cases])
def test_calls_are_read_and_answers_are_none(form: str, text: str, calls: list[ToolCall]):
    assert FORMATS[form].read(text) == calls


NO_JSON, NO_OBJECT = "not JSON: ", "a tool call is one JSON object: "
NO_ARGUMENTS = "the arguments of a tool call are one JSON object"
MALFORMED = [
    ("hermes", "<tool_call>look(door)</tool_call>", NO_JSON),
    ("hermes", '<tool_call>{"name": "look"} and more</tool_call>', "'and more' follows it"),
    ("hermes", '<tool_call>["look"]</tool_call>', NO_OBJECT),
    ("llama", '<|python_tag|>look.call(at="door")', NO_JSON),
    ("llama", '{"name": "look", "parameters": {"at": }}', NO_JSON),
    ("llama", '{"name": "look", "parameters": "door"}', NO_ARGUMENTS),
    ("llama", '{"name": 3, "parameters": {}}', '{"name": "...", "parameters": {...}}'),
    ("llama", "<function=look>door</function>", NO_JSON),
    ("llama", '<function=look at>{"at": 1}</function>', "<function=NAME>{...}</function>"),
    ("mistral", "[TOOL_CALLS]", NO_JSON),
    ("mistral", '[TOOL_CALLS][{"name": "look", "arg', NO_JSON),
    ("mistral", "[TOOL_CALLS][3]", NO_OBJECT),
    ("mistral", "[TOOL_CALLS]look[ARGS]door", NO_JSON),
    ("mistral", "[TOOL_CALLS]look[ARGS][1]", NO_ARGUMENTS),
    ("mistral", "[TOOL_CALLS]look at it{}", "[TOOL_CALLS]NAME[ARGS]{...}"),
    ("json", '{"name": "look", "arguments": {"at": }}', NO_JSON),
    ("json", '```json\n{"name": "look", "arguments": {\n```', NO_JSON),
    ("json", '{"name": "look", "arguments": null}', NO_ARGUMENTS),
    ("xml", "<tool_call><function=look><parameter=at>door</function></tool_call>", "<function=NAME>"),
    ("xml", "<tool_call><function=look>door</function></tool_call>", "<function=NAME>"),
    ("xml", '<tool_call>{"name": "look"}</tool_call>', "<function=NAME>"),
    ("xml", "<tool_call>look<arg_key>at</arg_key>door</tool_call>", "<function=NAME>"),
    ("xml", "<tool_call></tool_call>", "<function=NAME>"),
]


@pytest.mark.parametrize(("form", "text", "problem"), MALFORMED)
def test_a_malformed_call_says_what_is_wrong(form: str, text: str, problem: str):
    (call,) = FORMATS[form].read(text)
    assert (call.name, call.arguments) == ("", {})
    assert problem in str(call.problem)


def test_good_calls_beside_a_malformed_one_are_kept():
    calls = FORMATS["mistral"].read('[TOOL_CALLS][{"name": "look", "arguments": {"at": "door"}}, 3]')
    assert calls[0] == LOOK
    assert calls[1].problem


SCHEMA = {
    "text": {"type": "string"},
    "n": {"type": "integer"},
    "deep": {"type": "object"},
    "either": {"type": ["string", "null"]},
    "any": {},
}


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("text", "3", "3"),
        ("text", "null", "null"),
        ("n", "3", 3),
        ("n", "three", "three"),
        ("deep", '{"a": [1]}', {"a": [1]}),
        ("either", "3", "3"),
        ("either", "null", None),
        ("any", "true", True),
        ("any", "door", "door"),
        ("any", '"door"', '"door"'),
        ("unknown", "3", 3),
    ],
)
def test_a_tagged_argument_has_the_type_of_the_schema(key: str, text: str, value: object):
    tool = ToolSpec(name="look", parameters={"type": "object", "properties": SCHEMA})
    assert with_types([ToolCall("look", {key: text})], [tool]) == [ToolCall("look", {key: value})]


def test_an_argument_of_an_unknown_tool_or_an_odd_schema_is_read_without_one():
    odd = ToolSpec(name="odd", parameters={"properties": {"n": 3}})
    calls = [ToolCall("gone", {"n": "3"}), ToolCall("odd", {"n": "3"})]
    assert [call.arguments for call in with_types(calls, [odd])] == [{"n": 3}, {"n": 3}]


PIECES = [
    "<tool_call>",
    "</tool_call>",
    "<tool_call></tool_call>",
    "<function=",
    "<function=a>",
    "<function=a>{",
    "<parameter=",
    "<parameter=a>",
    "<arg_key>",
    "<arg_key>a</arg_key><arg_value>",
    "[TOOL_CALLS]",
    "[TOOL_CALLS][",
    "[TOOL_CALLS]a[ARGS]{",
    "<|python_tag|>",
    "```",
    "```json\n{",
    "[",
    "{",
    '{"name": "a", "arguments": {}};',
    '{"name":"arguments"',
    " ",
    "\\",
    '"',
    "[{}, ",
    "a",
]
HOSTILE_BYTES = 2**20


@pytest.mark.timeout(30)
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("start", ["", '{"name": "a", "arguments": ', "<tool_call>", "[TOOL_CALLS]", "<|python_tag|>"])
def test_a_megabyte_of_hostile_text_gives_a_bounded_number_of_calls(form: str, start: str):
    for piece in PIECES:
        text = start + piece * (HOSTILE_BYTES // len(piece))
        assert len(FORMATS[form].read(text)) <= MAX_CALLS
        assert isinstance(FORMATS[form].content(text), str)
