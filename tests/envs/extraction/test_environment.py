from __future__ import annotations

import json
import statistics
from collections import Counter
from pathlib import Path

import pytest
from envport_extraction import ExtractionEnv
from envport_extraction.errors import OptionError
from envport_extraction.events import FIELDS, Event, read_event
from envport_extraction.prompt import EXAMPLES, SYSTEM_PROMPT, compact_json
from envport_extraction.scoring import WEIGHTS
from envport_protocol import ToolError, UnknownTaskError, load_env, load_project

FOLDER = Path(__file__).parents[3] / "envs" / "extraction"
ENV = ExtractionEnv()
TASKS = [*ENV.tasks("train")[:250], *ENV.tasks("eval")[:250]]


async def reward(answer, task) -> float:
    parts = {name: one.score for name, one in (await ENV.compute_reward(answer, task.ground_truth)).items()}
    weights = {spec.name: spec.weight for spec in ENV.rewards()}
    assert all(0.0 <= score <= 1.0 for score in parts.values())
    return sum(weights[name] * score for name, score in parts.items())


async def mean_reward(answer_of) -> float:
    return statistics.fmean([await reward(answer_of(task), task) for task in TASKS])


def usual_event() -> Event:
    golds = [read_event(task.ground_truth) for task in TASKS]
    return Event(**{f: Counter(gold.value(f) for gold in golds).most_common(1)[0][0] for f in FIELDS})


async def test_the_oracle_scores_one_in_every_component_of_500_tasks():
    for task in TASKS:
        parts = await ENV.compute_reward(ENV.oracle(task), task.ground_truth)
        assert {name: one.score for name, one in parts.items()} == dict.fromkeys(WEIGHTS, 1.0)


async def test_answers_that_did_not_read_the_text_score_low():
    assert await mean_reward(lambda task: "") == 0.0
    assert await mean_reward(lambda task: "The force captured a leader.") == 0.0
    assert await mean_reward(lambda task: "{}") == 0.0
    nothing = json.dumps(dict.fromkeys(FIELDS, "unknown"))
    assert await mean_reward(lambda task: nothing) < 0.15
    for _, event in EXAMPLES:
        copied = compact_json(event)
        assert await mean_reward(lambda task, copied=copied: copied) < 0.28
    usual = compact_json(usual_event())
    assert await mean_reward(lambda task: usual) < 0.28
    quiet = Event(
        killq=False, min_killed=0, min_leaders_killed=0, captureq=False, min_captured=0, min_leaders_captured=0,
        airstrike=False, noshotsfired=False, killcaptureraid=False,
    )  # fmt: skip
    assert await mean_reward(lambda task: compact_json(quiet)) < 0.22
    consistent = Event(
        event_type=("detention",), target_group=("taliban",), killq=False, min_killed=0, min_leaders_killed=0,
        captureq=True, min_captured=3, min_leaders_captured=0, airstrike=False, noshotsfired=False,
        killcaptureraid=True,
    )  # fmt: skip
    assert await mean_reward(lambda task: compact_json(consistent)) < 0.29


async def test_answers_of_different_quality_get_different_rewards():
    task = next(
        task for task in TASKS if None not in task.ground_truth.values() and [] not in task.ground_truth.values()
    )
    answer = json.loads(ENV.oracle(task))
    growing = [json.dumps(dict(list(answer.items())[:n])) for n in range(len(answer) + 1)]
    rewards = [await reward(text, task) for text in growing]
    assert rewards == sorted(rewards)
    assert len(set(rewards)) == len(rewards)


def test_a_task_is_instructions_worked_examples_and_the_release():
    task = ENV.tasks("eval")[0]
    assert [message.role for message in task.messages] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert task.messages[0].content == SYSTEM_PROMPT
    for (text, event), asked, answered in zip(EXAMPLES, task.messages[1::2], task.messages[2::2], strict=False):
        assert asked.content == text
        told = {name: value for name, value in event.to_json().items() if value}
        assert read_event(json.loads(answered.content)).to_json() == Event().to_json() | told
    assert len(SYSTEM_PROMPT) < 500


def test_the_labels_are_nowhere_but_in_the_ground_truth():
    task = ENV.tasks("train")[0]
    assert set(task.metadata) == {"source", "rules_version", "seed", "template", "text_sha256"}


def test_splits_have_the_sizes_asked_for_and_others_are_unknown():
    env = ExtractionEnv(train_tasks=30, eval_tasks=7)
    assert [(name, len(env.tasks(name))) for name in env.splits()] == [("train", 30), ("eval", 7)]
    with pytest.raises(UnknownTaskError, match="no split 'test'; the splits are train, eval"):
        env.tasks("test")


@pytest.mark.parametrize(
    "options", [{"train_tasks": 0}, {"eval_tasks": "many"}, {"noise": 1.5}, {"noise": True}, {"eval_share": -0.1}]
)
def test_an_option_out_of_range_is_named(options):
    (name,) = options
    with pytest.raises(OptionError, match=f"{name} is .*; expected a"):
        ExtractionEnv(**options)


def test_the_folder_is_an_environment_with_its_own_rows_as_an_option(tmp_path):
    assert load_project(FOLDER).entry_point == "envport_extraction:ExtractionEnv"
    path = tmp_path / "rows.jsonl"
    rows = [{"text": f"Text {i}.", "event": {"province": ["logar"], "min_killed": i}} for i in range(40)]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    env = load_env(FOLDER, {"data": str(path), "eval_share": 0.5})
    sizes = [len(env.tasks(name)) for name in env.splits()]
    assert sum(sizes) == 40
    assert min(sizes) > 5


async def test_validate_event_tells_form_and_contradictions_but_not_truth():
    event = EXAMPLES[0][1]
    good = compact_json(event)
    assert await ENV.validate_event(good) == "ok"
    bad = json.dumps(
        event.to_json()
        | {"province": "pakty", "event_type": "raid", "min_killed": "two", "captureq": False, "deaths": 1}
    )
    assert (await ENV.validate_event(bad)).splitlines() == [
        f"- no field is called 'deaths'; the fields are {', '.join(FIELDS)}",
        "- min_killed is 'two'; expected a whole number of 0 or more, or \"unknown\"",
        "- event_type is 'raid'; expected one or more of airstrike, detention, captureandkill, insurgentskilled, "
        "exchangeoffire, civiliancasualty",
        "- no province is called 'pakty'; lookup_province finds the right name",
        "- captureq is false but min_captured is 2",
    ]
    assert await ENV.validate_event("{}") == "ok"
    assert (await ENV.validate_event("[]")).startswith("- a JSON list")


async def test_lookup_province_answers_with_real_names():
    assert await ENV.lookup_province("Paktia") == "paktya"
    assert await ENV.lookup_province("Sangin") == "helmand"
    assert await ENV.lookup_province("kandahaar") == "No such province. Nearest: kandahar, nangarhar."
    assert await ENV.lookup_province("zzzzzz") == "No such province."


async def test_misuse_of_a_tool_is_the_models_fault():
    with pytest.raises(ToolError, match="1 to 100 characters"):
        await ENV.lookup_province(" ")
    with pytest.raises(ToolError, match="1 to 100 characters"):
        await ENV.lookup_province("x" * 101)
    with pytest.raises(ToolError, match="at most 4096"):
        await ENV.validate_event(" " * 5000)


async def test_the_tools_are_offered_with_their_schemas():
    specs = {spec.name: spec.parameters["required"] for spec in ENV.list_tools()}
    assert specs == {"validate_event": ["json"], "lookup_province": ["name"]}
