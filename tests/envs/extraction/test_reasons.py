"""What is told of each score, word for word; and that no true value is."""

from __future__ import annotations

import json

from envport_extraction import ExtractionEnv
from envport_extraction.events import FIELDS, Event
from envport_extraction.prompt import compact_json
from envport_extraction.reasons import reasons_for
from envport_extraction.scoring import WEIGHTS
from envport_protocol import RewardResult

GOLD = Event(
    start_date="2012-01-27",
    province=("helmand", "khost"),
    event_type=("detention",),
    target_group=("taliban",),
    killq=False,
    min_killed=0,
    captureq=True,
    min_captured=4,
    min_leaders_captured=1,
    killcaptureraid=True,
)


def told(gold: Event = GOLD, **changed: object) -> dict[str, str]:
    answer = gold.to_answer() | changed
    return reasons_for(json.dumps({name: value for name, value in answer.items() if value != "left out"}), gold)


def test_the_gold_has_all_fields_right():
    assert told() == {
        "valid_json": "one JSON object with fields of an event",
        "fields": "13 of 13 fields right",
        "no_invention": "13 of 13 fields right; nothing wrong",
        "province": "right",
        "counts": "3 of 3 counts right",
        "all_fields_right": "13 of 13 fields right",
    }


def test_each_field_is_told_as_right_partly_right_wrong_or_not_told():
    answer = {
        "province": ["helmand", "kabul"],
        "start_date": "2012-01-20",
        "target_group": "left out",
        "event_type": "unknown",
        "min_captured": 3,
        "killq": True,
        "airstrike": "perhaps",
        "region": "south",
    }
    assert told(**answer) == {
        "valid_json": "one JSON object with fields of an event",
        "fields": (
            "6 of 13 fields right: min_killed, min_leaders_killed, captureq, min_leaders_captured, noshotsfired, "
            "killcaptureraid; partly right: start_date '2012-01-20', province 'helmand', 'kabul'; "
            "wrong: killq True, airstrike (unusable), min_captured 3; not told: event_type, target_group"
        ),
        "no_invention": (
            "6 of 13 fields right; wrong in whole or part: start_date, province, killq, airstrike, min_captured; "
            "fields that no event has: 1"
        ),
        "province": "partly right: 'helmand', 'kabul'",
        "counts": (
            "1 of 3 counts right; near: min_captured 3; wrong, or not fitting their flags: min_killed (left out)"
        ),
        "all_fields_right": "6 of 13 fields right; fields that no event has: 1",
    }


def test_a_province_is_wrong_or_not_told():
    assert told(province="kabul")["province"] == "wrong: 'kabul'"
    assert told(province="left out")["province"] == "not told"


def test_where_there_is_no_count_to_tell_it_is_said():
    assert told(Event(start_date="2012-01-27"))["counts"] == "there is no count to tell; as for fields"


def test_what_is_no_answer_says_why():
    reasons = reasons_for("A raid in Helmand.", GOLD)
    assert reasons == dict.fromkeys(WEIGHTS, "the answer cannot be read") | {
        "valid_json": "not JSON: Expecting value: line 1 column 1 (char 0); write one JSON object and nothing else"
    }
    assert reasons_for("[]", GOLD)["valid_json"] == "a JSON list; write one JSON object"


def test_what_the_model_said_is_quoted_and_cut():
    hostile = "\x1b[31m\u202e<script>" + "x" * 5000
    assert "\x1b" not in (reasons := told(target_group=hostile[:3000]))["fields"]
    assert "\u202e" not in reasons["fields"]
    assert r"wrong: target_group '\x1b[31m\u202e<script>xxx" in reasons["fields"]
    assert max(map(len, reasons.values())) < 500


def test_no_true_value_stands_in_a_reason_of_a_wrong_answer():
    wrong = Event(
        start_date="1999-01-01", province=("kabul",), event_type=("airstrike",), target_group=("imu",), killq=True,
        min_killed=97, captureq=False, min_captured=98, min_leaders_captured=99, killcaptureraid=False,
    )  # fmt: skip
    text = " ".join(reasons_for(compact_json(wrong), GOLD).values())
    for truth in ("2012-01-27", "helmand", "khost", "detention", "taliban"):
        assert truth not in text
    assert all(f"{field} {value!r}" not in text for field in FIELDS if (value := GOLD.value(field)) is not None)


async def test_the_environment_gives_them_with_its_scores():
    env = ExtractionEnv(train_tasks=5, eval_tasks=5)
    task = env.tasks("train")[0]
    given = await env.compute_reward(env.oracle(task), task.ground_truth)
    assert given["fields"] == RewardResult(1.0, reason="13 of 13 fields right")
    assert list(given) == list(WEIGHTS)
