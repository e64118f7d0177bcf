"""Scores worked out by hand. A balance of one event leaves the base weights as they are; they add up to 16."""

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
    assert score_completion(json.dumps(GOLD.to_json() | {"killed": 0}), GOLD, BALANCE) == NOTHING


def test_an_empty_object_earns_the_gate_alone():
    assert score_completion("{}", GOLD, BALANCE) == NOTHING | {"valid_json": 1.0}


def test_a_wrong_date_costs_twice_and_an_unknown_one_once():
    wrong = scores(replace(GOLD, start_date="2012-01-28"))
    assert wrong == {
        "valid_json": 1.0,
        "fields": pytest.approx(14 / 16),
        "no_invention": pytest.approx(12 / 16),
        "province": 1.0,
        "counts": pytest.approx(1.0),
        "all_fields_right": 0.0,
    }
    unknown = scores(replace(GOLD, start_date=None))
    assert unknown["fields"] == unknown["no_invention"] == pytest.approx(14 / 16)
    assert (total(wrong), total(unknown)) == (pytest.approx(0.89375), pytest.approx(0.925))


def test_a_near_miss_of_a_count_earns_part():
    parts = scores(replace(GOLD, min_captured=3))
    assert parts["fields"] == pytest.approx(14.5 / 16)
    assert parts["no_invention"] == pytest.approx(13 / 16)
    assert parts["counts"] == pytest.approx((1.5 + 1.5 * 0.4 * 3 / 4 + 0.75 + 0.75) / 4.5)
    assert total(parts) == pytest.approx(0.8853125)


def test_counts_that_do_not_fit_their_flags_earn_nothing():
    parts = scores(replace(GOLD, captureq=False))
    assert parts["counts"] == pytest.approx((1.5 + 0.75 + 0.75) / 4.5)
    assert scores(replace(GOLD, min_captured=0, captureq=True, min_leaders_captured=1))["counts"] == pytest.approx(
        (1.5 + 0.75) / 4.5
    )


@pytest.mark.parametrize("field", FIELDS)
def test_inventing_costs_more_than_saying_unknown_and_both_less_than_the_truth(field):
    invented = {
        "start_date": "1999-01-01", "province": "kabul", "event_type": "airstrike", "target_group": "imu",
        "killq": True, "min_killed": 9, "min_leaders_killed": 9, "airstrike": True, "captureq": False,
        "min_captured": 0, "min_leaders_captured": 0, "noshotsfired": True, "killcaptureraid": False,
    }  # fmt: skip
    gold = GOLD.to_answer()
    left_out = {name: value for name, value in gold.items() if name != field}
    texts = [gold | {field: invented[field]}, left_out, gold | {field: "unknown"}, gold]
    wrong, missing, unknown, right = (total(score_completion(json.dumps(t), GOLD, BALANCE)) for t in texts)
    assert wrong < missing == unknown < right == pytest.approx(1.0)


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
    assert both_and_one_more["fields"] == pytest.approx((14 + 2 * 4 / 5) / 16)
    assert both_and_one_more["no_invention"] == pytest.approx((14 + 2 * 4 / 5 - 2 * 1 / 3) / 16)


def test_where_the_gold_is_unknown_saying_so_is_right_and_leaving_it_out_earns_nothing():
    gold = replace(GOLD, province=())
    answer = gold.to_answer()
    assert score_completion(json.dumps(answer), gold, BALANCE) == dict.fromkeys(WEIGHTS, 1.0)
    del answer["province"]
    assert score_completion(json.dumps(answer), gold, BALANCE)["fields"] == pytest.approx(14 / 16)
    invented = score_completion(json.dumps(answer | {"province": "kabul"}), gold, BALANCE)
    assert invented["no_invention"] == pytest.approx(12 / 16)


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


def test_a_rule_that_the_gold_itself_breaks_is_not_asked_for():
    noisy = replace(GOLD, min_leaders_captured=9)
    assert scores(replace(noisy, start_date=None), noisy)["counts"] == pytest.approx(1.0)
    assert scores(replace(GOLD, min_leaders_captured=9))["counts"] == pytest.approx((1.5 + 1.5 + 0.75) / 4.5)


def test_rare_values_weigh_more_than_usual_ones():
    usual, rare = replace(GOLD, airstrike=False), replace(GOLD, airstrike=True)
    balance = Balance([usual] * 3 + [rare])
    # Shares 3/4 and 1/4; the mean of 1 - p is 2 * 3/16 = 3/8.
    assert balance.weight("airstrike", False) == pytest.approx(1.0 * (1 / 4) / (3 / 8))
    assert balance.weight("airstrike", True) == pytest.approx(1.0 * (3 / 4) / (3 / 8))
    assert Balance([usual] * 99 + [rare]).weight("airstrike", True) == 3.0
    assert Balance([usual] * 99 + [rare]).weight("airstrike", False) == pytest.approx((1 / 100) / (2 * 99 / 10_000))
