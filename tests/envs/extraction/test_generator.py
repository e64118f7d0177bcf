from __future__ import annotations

import datetime
import random
import re
from collections import Counter

import pytest
from envport_extraction.events import Event, contradictions, read_event
from envport_extraction.gazetteer import PROVINCES, canonical_province
from envport_extraction.generator import draw_record, task_random
from envport_extraction.phrases import NUMBER_WORDS, say_day, say_number
from envport_extraction.tasks import GeneratedTasks
from envport_extraction.templates import EVAL_TEMPLATES, TEMPLATES, TRAIN_TEMPLATES
from envport_extraction.wording import word_record

TRAIN = GeneratedTasks("train", size=3000, seed=0)
EVAL = GeneratedTasks("eval", size=1000, seed=0)
RECORDS = [draw_record(task_random("train", 0, index)) for index in range(2000)]


def release(task):
    """The text of a task's release, as the model reads it."""
    return task.messages[-1].content


def test_a_task_is_the_same_every_time_and_by_any_way_of_asking():
    again = GeneratedTasks("train", size=20, seed=0)
    assert again[7] == TRAIN[7] == TRAIN[:8][-1] == list(again)[7]
    assert TRAIN[-1] == TRAIN[2999]
    assert GeneratedTasks("train", size=20, seed=1)[7].messages != TRAIN[7].messages


def test_an_index_past_the_end_is_refused():
    with pytest.raises(IndexError, match="has 3000 tasks"):
        TRAIN[3000]


def test_the_splits_share_no_text_and_no_template():
    train, held_out = (list(tasks) for tasks in (TRAIN, EVAL))
    digests = [{task.metadata["text_sha256"] for task in tasks} for tasks in (train, held_out)]
    styles = [{task.metadata["template"] for task in tasks} for tasks in (train, held_out)]
    assert digests[0] & digests[1] == set()
    assert styles == [{t.template_id for t in TRAIN_TEMPLATES}, {t.template_id for t in EVAL_TEMPLATES}]
    assert styles[0] & styles[1] == set()
    assert len({task.task_id for task in train + held_out}) == 4000
    assert len(digests[0]) == 3000


def test_there_are_two_dozen_templates_and_each_tells_the_whole_record():
    assert len({t.template_id for t in TEMPLATES}) == len({t.lead for t in TEMPLATES}) == len(TEMPLATES) >= 24
    for template in TEMPLATES:
        lead = template.lead.lower()
        for slots in (("{op}",), ("{place}",), ("{when}",), ("{did}", "{done}", "{outcome}", "{outcome_first}")):
            assert sum(lead.count(slot) for slot in slots) == 1, template


def test_no_record_contradicts_itself():
    assert [contradictions(record.event) for record in RECORDS] == [[]] * len(RECORDS)


def test_every_value_is_legal_and_every_kind_of_unknown_occurs():
    events = [record.event for record in RECORDS]
    assert all(canonical_province(name) == name for event in events for name in event.province)
    for field in ("start_date", "province", "target_group"):
        share = sum(event.value(field) in (None, ()) for event in events) / len(events)
        assert 0.01 < share < 0.3, field


def test_no_usual_value_is_right_in_most_records():
    types = Counter(record.event.event_type for record in RECORDS)
    assert types[("detention",)] / len(RECORDS) < 0.5
    for flag in ("killq", "captureq", "killcaptureraid"):
        assert 0.35 < sum(record.event.value(flag) is True for record in RECORDS) / len(RECORDS) < 0.65, flag


def test_the_text_names_the_province_unless_only_a_district_or_a_region_tells_it():
    for index, record in enumerate(RECORDS):
        text = release(TRAIN[index]).replace("KABUL", "")
        spellings = (record.province, *PROVINCES[record.province].aliases)
        named = re.search(rf"\b({'|'.join(spellings)})\b", text.lower()) is not None
        if record.place == "region":
            assert record.event.province == ()
            assert not named
        elif record.place == "district":
            assert record.event.province == (record.province,)
            assert record.district in text
        else:
            assert named


def test_the_text_says_that_no_shot_was_fired_exactly_where_that_is_so():
    for index, record in enumerate(RECORDS):
        text = release(TRAIN[index])
        said = any(
            words in text for words in ("shots were fired", "not fire its", "a shot being fired", "firing a shot")
        )
        assert said == record.event.noshotsfired


def meant(wording):
    """The least number that a wording means, read independently of how it was written; None for no number."""
    vague = {"a couple of": 2, "several": 3, "multiple": 3, "a number of": 3, "a few": 3, "numerous": 4, "a dozen": 12}
    words = vague | {word: number for number, word in enumerate(NUMBER_WORDS) if number}
    if wording.startswith("at least "):
        return meant(wording.removeprefix("at least "))
    if wording.startswith("more than "):
        below = meant(wording.removeprefix("more than "))
        return below and below + 1
    if wording.startswith("between "):
        return meant(wording.removeprefix("between ").split(" and ")[0])
    return int(wording) if wording.isdigit() else words.get(wording)


@pytest.mark.parametrize("least", range(1, 21))
def test_every_wording_of_a_number_means_that_least_number(least):
    rng = random.Random(least)
    assert {meant(say_number(rng, least)) for _ in range(300)} == {least}


def test_a_leader_and_the_others_add_up_to_the_captured():
    checked = 0
    for index, record in enumerate(RECORDS):
        if record.kind != "detain" or record.head is None:
            continue
        head, _, others = word_record(random.Random(index), record).did.partition(" and ")
        words = others.split()
        wordings = [meant(" ".join(words[:n])) for n in range(len(words), 0, -1)]
        number = next(filter(None, wordings), 1 if words else 0)
        assert 1 + number == record.event.min_captured, (head, others)
        assert ("leader" in head or "commander" in head) == (record.event.min_leaders_captured == 1)
        checked += 1
    assert checked > 200


def test_days_are_named_as_seen_from_the_dateline():
    friday = datetime.date(2012, 1, 27)
    ways = {
        n: {say_day(random.Random(s), friday - datetime.timedelta(n), friday) for s in range(300)} for n in (0, 1, 9)
    }
    assert ways[0] == {"today", "earlier today", "this morning", "on Jan. 27", "on January 27"}
    assert ways[1] == {
        "yesterday", "yesterday evening", "Thursday", "on Thursday", "late Thursday", "on Jan. 26", "on January 26",
    }  # fmt: skip
    assert ways[9] == {"on Jan. 18", "on January 18"}


def test_releases_are_short():
    lengths = sorted(len(release(task).split()) for task in TRAIN[:1000])
    assert 55 <= lengths[500] <= 75
    assert lengths[-1] <= 130


def test_noise_faults_the_gold_of_training_tasks_and_nothing_else():
    clean, noisy = GeneratedTasks("train", size=400, seed=3), GeneratedTasks("train", size=400, seed=3, noise=1.0)
    assert [task.messages for task in noisy] == [task.messages for task in clean]
    changed = sum(a.ground_truth != b.ground_truth for a, b in zip(clean, noisy, strict=True))
    assert 300 < changed <= 400
    assert all(isinstance(read_event(task.ground_truth), Event) for task in noisy)
    some = GeneratedTasks("train", size=400, seed=3, noise=0.25)
    faulted = sum(a.ground_truth != b.ground_truth for a, b in zip(clean, some, strict=True))
    assert 60 < faulted < 120
