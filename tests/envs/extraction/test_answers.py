from __future__ import annotations

import pytest
from envport_extraction.answers import Mark, NotAnAnswerError, read_answer
from envport_extraction.events import FIELDS, Event, FieldError, contradictions, read_event


def test_bare_and_fenced_objects_are_answers():
    bare = read_answer('{"min_killed":2,"province":"Paktia"}')
    assert bare.given == dict.fromkeys(FIELDS, Mark.LEFT_OUT) | {"min_killed": 2, "province": ("paktya",)}
    assert read_answer('```json\n{"min_killed":2,"province":["paktya"]}\n```') == bare
    assert read_answer('\n```\n{"min_killed": 2, "province": "paktya "}\n```\n') == bare


@pytest.mark.parametrize(
    "text",
    [
        "",
        "none",
        "[]",
        "[{}]",
        '"text"',
        "null",
        '{"min_killed": 2} That is all.',
        'Here it is: {"min_killed": 2}',
        '{"min_killed": 2}{}',
        '{"min_killed": 2',
        '{"deaths": 2}',
        '{"min_killed": NaN}',
        '{"min_killed": -Infinity}',
        "{'min_killed': 2}",
        '{"name": "x' + "x" * 5000 + '"}',
        '{"province":' + "[" * 2000 + "]" * 2000 + "}",
        '{"province": [[["helmand"]]]}',
        '{"min_killed": ' + "9" * 5000 + "}",
    ],
)
def test_anything_else_is_not_an_answer(text):
    with pytest.raises(NotAnAnswerError):
        read_answer(text)


def test_brackets_inside_strings_are_not_nesting():
    assert read_answer('{"target_group":"[[[[ \\" [[["}').given["target_group"] == ('[[[[ " [[[',)


def test_a_title_is_accepted_and_passed_over():
    assert read_answer('{"name":"Raid","airstrike":true}').strange_fields == 0
    assert read_answer('{"name":"Raid","airstrike":true,"deaths":1}').strange_fields == 1


@pytest.mark.parametrize("raw", ["null", '"unknown"', '"Unknown "', '"??"', '""', "[]", '[""]', '";"', '["unknown"]'])
def test_unknown_can_be_said_in_many_ways(raw):
    assert read_answer('{"target_group":' + raw + "}").given["target_group"] is Mark.UNKNOWN


@pytest.mark.parametrize(
    ("field", "raw"),
    [
        ("min_killed", '"2"'),
        ("min_killed", "2.5"),
        ("min_killed", "-1"),
        ("min_killed", "true"),
        ("min_killed", "1000000000"),
        ("killq", "1"),
        ("killq", '"true"'),
        ("start_date", '"Jan. 27, 2012"'),
        ("start_date", '"2012-02-30"'),
        ("start_date", "20120127"),
        ("province", "7"),
        ("province", '["helmand", 7]'),
        ("province", '{"a": 1}'),
    ],
)
def test_a_value_of_the_wrong_form_is_unusable(field, raw):
    assert read_answer('{"' + field + '":' + raw + "}").given[field] is Mark.UNUSABLE


def test_a_field_given_twice_counts_only_with_one_value():
    assert read_answer('{"min_killed":2,"min_killed":2}').given["min_killed"] == 2
    assert read_answer('{"min_killed":2,"min_killed":3}').given["min_killed"] is Mark.UNUSABLE
    assert read_answer('{"killq":true,"killq":1}').given["killq"] is Mark.UNUSABLE


def test_labels_are_read_as_people_write_them():
    labels = {
        "name": "3",
        "event_type": ["airstrike;detention"],
        "province": ["sar_e_pul"],
        "target_group": ["Criminal; taliban"],
        "start_date": "",
    }
    assert read_event(labels) == Event(
        event_type=("airstrike", "detention"), province=("sar-e pul",), target_group=("criminals", "taliban")
    )


def test_a_stranger_among_the_fields_is_named():
    with pytest.raises(FieldError, match="'killed'; the fields are start_date, province"):
        read_event({"killed": 2})


def test_contradictions_are_found_and_unknown_contradicts_nothing():
    event = Event(killq=False, min_killed=2, min_leaders_killed=3, captureq=True, min_captured=0)
    assert contradictions(event) == [
        "killq is false but min_killed is 2",
        "captureq is true but min_captured is 0",
        "min_leaders_killed is 3, more than min_killed, which is 2",
    ]
    assert contradictions(Event()) == []
