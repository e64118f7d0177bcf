"""Scores worked out by hand.

A balance of one event leaves the base weights, which add up to 16, but for fields that hold nothing: of the gold below
these are 0.5 + 1.5 + 0.75 + 1 + 1 = 4.75, which count 0.3. All weights together: 11.25 + 0.3 x 4.75 = 12.675.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from envport_extraction.balance import BASE_WEIGHTS, Balance
from envport_extraction.events import FIELDS, Event
from envport_extraction.prompt import compact_json
from envport_extraction.scoring import WEIGHTS, score_completion

GOLD = Event(
    start_date="2012-01-27",
    province=("helmand",),
    event_type=("detention",),
    target_group=("taliban",),
    killq=False,
    min_killed=0,
    min_leaders_killed=0,
    airstrike=False,
    captureq=True,
    min_captured=4,
    min_leaders_captured=1,
    noshotsfired=False,
    killcaptureraid=True,
)
BALANCE = Balance([GOLD])
NOTHING = dict.fromkeys(WEIGHTS, 0.0)
ALL = 12.675


def scores(event: Event, gold: Event = GOLD) -> dict[str, float]:
    return score_completion(compact_json(event), gold, BALANCE)


def total(parts: dict[str, float]) -> float:
    return sum(WEIGHTS[name] * score for name, score in parts.items())


def test_the_weights_of_the_components_add_up_to_one():
    assert sum(WEIGHTS.values()) == pytest.approx(1.0)
    assert sum(BASE_WEIGHTS.values()) == 16.0
    assert set(BASE_WEIGHTS) == set(FIELDS)


def test_the_gold_scores_exactly_one_in_every_component():
    assert scores(GOLD) == dict.fromkeys(WEIGHTS, 1.0)


def test_what_is_no_json_scores_nothing():
    assert score_completion("A raid in Helmand.", GOLD, BALANCE) == NOTHING
    assert score_completion(compact_json(GOLD) + " I hope this helps.", GOLD, BALANCE) == NOTHING


def test_an_object_without_any_field_of_an_event_scores_nothing():
    assert score_completion("{}", GOLD, BALANCE) == NOTHING
    assert score_completion('{"deaths":0,"name":"Raid"}', GOLD, BALANCE) == NOTHING


def test_a_field_that_no_event_has_costs_a_tenth():
    parts = score_completion(json.dumps(GOLD.to_json() | {"deaths": 0, "region": "south"}), GOLD, BALANCE)
    expected = dict.fromkeys(WEIGHTS, 1.0) | {"no_invention": 0.8, "all_fields_right": 0.0}
    assert parts == {name: pytest.approx(score) for name, score in expected.items()}


def test_a_wrong_date_costs_more_than_none_and_a_near_one_is_half_right():
    wrong = scores(replace(GOLD, start_date="2011-01-27"))
    left = (ALL - 2) / ALL
    assert wrong == {
        "valid_json": 1.0,
        "fields": pytest.approx(left),
        "no_invention": pytest.approx(left * left),
        "province": 1.0,
        "counts": pytest.approx(1.0),
        "all_fields_right": 0.0,
    }
    none = scores(replace(GOLD, start_date=None))
    assert none["fields"] == none["no_invention"] == pytest.approx(left)
    near = scores(replace(GOLD, start_date="2012-02-03"))
    assert near["fields"] == pytest.approx((ALL - 1) / ALL)
    assert near["no_invention"] == pytest.approx(((ALL - 1) / ALL) ** 2)
    assert scores(replace(GOLD, start_date="2012-02-04")) == wrong
    assert total(none) == pytest.approx(0.1 + 0.6 * left + 0.3)


def test_a_wrong_count_costs_its_weight_and_earns_by_how_near_it_is():
    parts = scores(replace(GOLD, min_captured=3))
    left = (ALL - 1.5) / ALL
    assert parts["fields"] == pytest.approx(left)
    assert parts["no_invention"] == pytest.approx(left * left)
    counts = 0.3 * 1.5 + 0.3 * 0.75 + 0.75 + 1.5
    assert parts["counts"] == pytest.approx((counts - 1.5 + 1.5 * 0.4 * 3 / 4) / counts)


def test_counts_that_do_not_fit_their_flags_earn_nothing():
    counts = 0.3 * 1.5 + 0.3 * 0.75 + 0.75 + 1.5
    assert scores(replace(GOLD, captureq=False))["counts"] == pytest.approx((counts - 1.5) / counts)
    assert scores(replace(GOLD, min_captured=0))["counts"] == pytest.approx((counts - 1.5) / counts)
    unsure = replace(GOLD, captureq=None)
    assert scores(GOLD, unsure)["counts"] == pytest.approx(1.0)
    said = score_completion(json.dumps(GOLD.to_json() | {"captureq": False}), unsure, BALANCE)
    assert said["counts"] == pytest.approx((counts - 1.5) / counts)


def test_leaving_out_is_right_where_there_is_nothing_to_tell():
    told = GOLD.to_answer()
    assert list(told) == [
        "start_date", "province", "event_type", "target_group", "captureq", "min_captured", "min_leaders_captured",
        "killcaptureraid",
    ]  # fmt: skip
    in_full = json.dumps(GOLD.to_json())
    assert score_completion(in_full, GOLD, BALANCE) == dict.fromkeys(WEIGHTS, 1.0)


@pytest.mark.parametrize("field", FIELDS)
def test_inventing_costs_more_than_saying_unknown_and_both_less_than_the_truth(field):
    invented = {
        "start_date": "1999-01-01", "province": "kabul", "event_type": "airstrike", "target_group": "imu",
        "killq": True, "min_killed": 9, "min_leaders_killed": 9, "airstrike": True, "captureq": False,
        "min_captured": 0, "min_leaders_captured": 0, "noshotsfired": True, "killcaptureraid": False,
    }  # fmt: skip
    gold = GOLD.to_json()
    left_out = {name: value for name, value in gold.items() if name != field}
    texts = [gold | {field: invented[field]}, left_out, gold | {field: "unknown"}, gold]
    wrong, missing, unknown, right = (total(score_completion(json.dumps(t), GOLD, BALANCE)) for t in texts)
    assert wrong < unknown < right == pytest.approx(1.0)
    assert missing == (unknown if gold[field] else right)


def test_a_real_province_in_another_spelling_is_right_and_a_wrong_or_invented_one_is_not():
    gold = replace(GOLD, province=("paktya",))
    text = compact_json(gold)
    assert score_completion(text.replace("paktya", "Paktia Province"), gold, BALANCE)["province"] == 1.0
    assert score_completion(text.replace("paktya", "kabul"), gold, BALANCE)["province"] == 0.0
    assert score_completion(text.replace("paktya", "southern afghanistan"), gold, BALANCE)["province"] == 0.0


def test_lists_are_graded_by_f1():
    gold = replace(GOLD, province=("khost", "paktya"))
    assert scores(replace(gold, province=("khost",)), gold)["province"] == pytest.approx(2 / 3)
    both_and_one_more = scores(replace(gold, province=("khost", "paktya", "kabul")), gold)
    assert both_and_one_more["province"] == pytest.approx(4 / 5)
    right, wrong = (ALL - 2 + 2 * 4 / 5) / ALL, 2 * (1 / 3) / ALL
    assert both_and_one_more["fields"] == pytest.approx(right)
    assert both_and_one_more["no_invention"] == pytest.approx(right * (1 - wrong))


def test_where_the_gold_is_unknown_any_value_is_an_invention():
    gold = replace(GOLD, province=())
    weights = ALL - 2 + 0.3 * 2
    assert scores(gold, gold) == dict.fromkeys(WEIGHTS, 1.0)
    answer = gold.to_answer()
    said = score_completion(json.dumps(answer | {"province": "unknown"}), gold, BALANCE)
    assert said == dict.fromkeys(WEIGHTS, 1.0)
    invented = score_completion(json.dumps(answer | {"province": "kabul"}), gold, BALANCE)
    assert invented["fields"] == pytest.approx((weights - 0.6) / weights)
    assert invented["no_invention"] == pytest.approx(((weights - 0.6) / weights) ** 2)


@pytest.mark.parametrize(
    "noisy",
    [
        replace(GOLD, killq=True),
        replace(GOLD, min_leaders_captured=9),
        replace(GOLD, target_group=()),
        replace(GOLD, target_group=("some attack network", "taliban")),
        Event(),
        Event(province=("helmand",)),
    ],
)
def test_gold_with_the_faults_of_hand_made_labels_still_scores_one(noisy):
    assert scores(noisy, noisy) == dict.fromkeys(WEIGHTS, 1.0)


def test_rare_values_weigh_more_than_usual_ones():
    usual, rare = replace(GOLD, airstrike=False), replace(GOLD, airstrike=True)
    balance = Balance([usual] * 3 + [rare])
    # Shares 3/4 and 1/4; the mean of 1 - p is 2 * 3/16 = 3/8.
    assert balance.weight("airstrike", False) == pytest.approx(0.3 * (1 / 4) / (3 / 8))
    assert balance.weight("airstrike", True) == pytest.approx(1.0 * (3 / 4) / (3 / 8))
    assert Balance([usual] * 99 + [rare]).weight("airstrike", True) == 3.0
    assert Balance([usual] * 99 + [rare]).weight("airstrike", False) == pytest.approx(0.3 * 50 / 99)
