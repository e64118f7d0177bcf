"""Rollouts are kept whole, bounded, spread over the run, and dropped again where a run resumes from before them."""

from __future__ import annotations

import gzip
import json
import math
import random
from dataclasses import replace
from itertools import pairwise

import pytest
from envport_protocol.messages import MAX_REASON_CHARS, ComputeRewardAnswer, RewardScore
from envport_trainer.conversation.reasons import reasons_of
from envport_trainer.errors import TrainerError
from envport_trainer.recording import rollout_log
from envport_trainer.recording.logged_rollout import MAX_MESSAGE_CHARS, bounded, cut
from envport_trainer.recording.rollout_log import RolloutLog, read_rollouts, rollout_files
from envport_trainer.recording.run_facts import bare_url, read_run_facts, run_facts, write_run_facts

from .made_run import DIGEST, MANIFEST, URL, config, conversation, evaluated, row, trajectory


def files(folder) -> list[tuple[int, str]]:
    return [(place.step, place.kind) for place in rollout_files(folder)]


def test_reasons_are_kept_with_their_scores_and_bounded(tmp_path):
    reasons = reasons_of(
        ComputeRewardAnswer(
            reward=0.5,
            rewards={
                "fields": RewardScore(score=0.5, weight=1.0, reason="2 of 4 right"),
                "json": RewardScore(score=0.5, weight=1.0),
                "judge": RewardScore(score=None, weight=1.0, reason="a" * 3000),
            },
        )
    )
    log = RolloutLog(tmp_path)
    log.write(1, "train", [trajectory(reasons=reasons)])
    log.write_eval(1, evaluated(replace(row(0, 0.5, "x"), reasons=reasons)))
    cut_reason = "a" * 986 + " [1028 characters left out] " + "a" * 986
    assert len(cut_reason) <= MAX_REASON_CHARS
    for kind in ("train", "eval"):
        (kept,) = read_rollouts(tmp_path, 1, kind).rollouts
        assert kept.reasons == {"fields": "2 of 4 right", "judge": cut_reason}
        assert [(part.name, part.reason) for part in kept.components()] == [
            ("fields", "2 of 4 right"),
            ("json", None),
            ("judge", cut_reason),
        ]


def test_a_log_of_an_earlier_version_has_no_reasons(tmp_path):
    RolloutLog(tmp_path).write(1, "train", [trajectory()])
    path = rollout_files(tmp_path)[0].path
    head, line = gzip.decompress(path.read_bytes()).splitlines()
    earlier = {name: value for name, value in json.loads(line).items() if name != "reasons"}
    path.write_bytes(gzip.compress(head + b"\n" + json.dumps(earlier).encode() + b"\n"))
    (kept,) = read_rollouts(tmp_path, 1).rollouts
    assert (kept.reasons, [part.reason for part in kept.components()]) == ({}, [None, None])


def test_a_rollout_is_read_as_it_was_written(tmp_path):
    RolloutLog(tmp_path).write(12, "train", [trajectory(3, reward=0.7), trajectory(4)], {"r-0-3": 0.125})
    kept = read_rollouts(tmp_path, 12)
    assert (kept.step, kept.kind, kept.left_out, len(kept.rollouts)) == (12, "train", 0, 2)
    first, second = kept.rollouts
    assert (first.env, first.env_digest, first.task_id, first.rollout_id) == (URL, DIGEST, "task-0", "r-0-3")
    assert (first.reward, first.advantage, second.advantage) == (0.7, 0.125, None)
    assert (first.prompt_tokens, first.sampled_tokens, first.finish, first.tool_calls) == (2, 2, "stop", 1)
    assert first.messages == conversation("answer 3")
    shares = {part.name: part.share for part in first.components()}
    assert shares == {"fields": pytest.approx(0.45), "json": 0.25}
    assert sum(shares.values()) == pytest.approx(first.reward)
    assert [path.name for path in (tmp_path / "rollouts").iterdir()] == ["step-000012-train.jsonl.gz"]


def test_held_out_rollouts_keep_their_task_and_the_weights_of_their_environment(tmp_path):
    log = RolloutLog(tmp_path)
    log.write_eval(0, evaluated(row(0, 0.25, "before"), row(1, 0.5, "x")))
    log.write_eval(10, evaluated(row(0, 1.0, "after")))
    before, after = (read_rollouts(tmp_path, step, "eval").rollouts[0] for step in (0, 10))
    assert (before.task_id, before.reward, after.task_id, after.reward) == ("held-0", 0.25, "held-0", 1.0)
    assert {part.name: part.share for part in after.components()} == {"fields": 0.75, "json": 0.25}
    assert after.messages[-1] == {"role": "assistant", "content": "after"}


def test_an_attempt_that_was_not_scored_keeps_its_reason_and_no_reward(tmp_path):
    from envport_trainer.evaluation.result import EvalRow

    RolloutLog(tmp_path).write_eval(3, evaluated(EvalRow(index=7, error="the environment failed")))
    (kept,) = read_rollouts(tmp_path, 3, "eval").rollouts
    assert (kept.task_id, kept.reward, kept.error) == ("#7", None, "the environment failed")


def test_a_resumed_run_drops_the_steps_after_its_checkpoint_and_a_new_run_all(tmp_path):
    log = RolloutLog(tmp_path)
    log.write_eval(0, evaluated(row(0, 0.5, "x")))
    for step in (1, 2, 3):
        log.write(step, "train", [trajectory()])
    log.write_eval(3, evaluated(row(0, 0.5, "x")))
    (tmp_path / "rollouts" / "mine.txt").write_text("not of a run")
    RolloutLog(tmp_path, resume_step=2)
    assert files(tmp_path) == [(0, "eval"), (1, "train"), (2, "train")]
    RolloutLog(tmp_path)
    assert [path.name for path in (tmp_path / "rollouts").iterdir()] == ["mine.txt"]


def test_the_bound_holds_and_what_stays_is_spread_over_the_run(tmp_path):
    noise = random.Random(0)
    log = RolloutLog(tmp_path, max_bytes=40_000)
    for step in range(1, 65):
        text = "".join(noise.choices("abcdefghijklmnop", k=4000))
        log.write(step, "train", [trajectory(messages=conversation(text))])
        if step % 16 == 0:
            log.write_eval(step, evaluated(row(0, 0.5, text)))
        assert sum(place.path.stat().st_size for place in rollout_files(tmp_path)) <= 40_000
    steps = [step for step, kind in files(tmp_path) if kind == "train"]
    assert (steps[0], steps[-1]) == (1, 64)
    assert len(steps) >= 8
    assert max(after - before for before, after in pairwise(steps)) <= 20
    assert [step for step, kind in files(tmp_path) if kind == "eval"] == [16, 32, 48, 64]


def test_a_step_too_large_for_the_bound_keeps_its_first_rollouts_and_says_so(tmp_path):
    noise = random.Random(0)
    texts = ["".join(noise.choices("abcdefghijklmnop", k=4000)) for _ in range(20)]
    log = RolloutLog(tmp_path, max_bytes=64_000)
    log.write(1, "train", [trajectory(n, messages=conversation(text)) for n, text in enumerate(texts)])
    kept = read_rollouts(tmp_path, 1)
    assert 1 <= len(kept.rollouts) < 20
    assert kept.left_out == 20 - len(kept.rollouts)
    assert kept.rollouts[0].messages[-1]["content"] == texts[0]
    assert rollout_files(tmp_path)[0].path.stat().st_size <= 8_000


def test_long_texts_lose_their_middle_and_long_conversations_too():
    assert cut("a" * 10, 10) == "a" * 10
    assert cut("abcdefghijkl", 10) == "abcdefghij"
    assert cut("b" * 50 + "e" * 50, 40) == "bbbbbbb [87 characters left out] eeeeee"
    (kept,) = bounded([{"role": "tool", "content": "x" * 30_000}])
    assert kept["content"] == "x" * 9986 + " [10029 characters left out] " + "x" * 9985
    assert len(kept["content"]) == MAX_MESSAGE_CHARS
    many = bounded([{"role": "user", "content": str(n)} for n in range(301)])
    assert len(many) == 201
    assert [m["content"] for m in many[99:102]] == ["99", "[101 messages left out]", "201"]


def test_values_that_json_does_not_know_become_null(tmp_path):
    odd = {"m": math.nan, "n": math.inf}
    RolloutLog(tmp_path).write(1, "train", [trajectory(metrics=odd, messages=[{"role": "user", "content": "\ud800"}])])
    (kept,) = read_rollouts(tmp_path, 1).rollouts
    assert kept.metrics == {"m": None, "n": None}
    assert kept.messages == [{"role": "user", "content": "\ufffd"}]


def test_a_write_that_breaks_off_leaves_the_earlier_file(tmp_path, monkeypatch):
    from envport_trainer.recording import atomic_files

    log = RolloutLog(tmp_path)
    log.write(1, "train", [trajectory(reward=0.25)])

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic_files.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        log.write(1, "train", [trajectory(reward=0.75)])
    assert read_rollouts(tmp_path, 1).rollouts[0].reward == 0.25
    assert len(list((tmp_path / "rollouts").iterdir())) == 1


def test_a_step_that_was_not_kept_is_told_with_those_that_were(tmp_path):
    with pytest.raises(TrainerError, match="no train rollouts of step 1; no train rollouts were kept"):
        read_rollouts(tmp_path, 1)
    log = RolloutLog(tmp_path)
    for step in (1, 2):
        log.write(step, "train", [trajectory()])
    with pytest.raises(TrainerError, match="no train rollouts of step 9; there are steps 1, 2"):
        read_rollouts(tmp_path, 9)


@pytest.mark.parametrize(
    "content", [b"", b"dear diary", gzip.compress(b"{}\n"), gzip.compress(b'{"left_out": 0}\n[1]\n')]
)
def test_a_file_of_something_else_is_told(tmp_path, content):
    (tmp_path / "rollouts").mkdir()
    (tmp_path / "rollouts" / "step-000001-train.jsonl.gz").write_bytes(content)
    with pytest.raises(TrainerError, match=r"step-000001-train\.jsonl\.gz is no file of rollouts .*; move it away"):
        read_rollouts(tmp_path, 1)


def test_fields_of_a_later_version_are_passed_over(tmp_path):
    RolloutLog(tmp_path).write(1, "train", [trajectory()])
    path = rollout_files(tmp_path)[0].path
    head, line = gzip.decompress(path.read_bytes()).splitlines()
    path.write_bytes(gzip.compress(head + b"\n" + json.dumps(json.loads(line) | {"colour": "red"}).encode() + b"\n"))
    assert read_rollouts(tmp_path, 1).rollouts[0].rollout_id == "r-0-0"


def test_the_same_rollouts_make_the_same_file(tmp_path):
    for name in ("one", "other"):
        RolloutLog(tmp_path / name).write(1, "train", [trajectory()])
    one, other = (rollout_files(tmp_path / name)[0].path.read_bytes() for name in ("one", "other"))
    assert one == other


def test_the_default_bound_is_a_quarter_of_a_gigabyte():
    assert rollout_log.MAX_BYTES == 268_435_456


def test_the_facts_of_a_run_hold_no_password_and_no_token(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "the-secret")
    env = {"url": "https://me:hunter2@envs.example:9/a?key=k3y#f", "token_env": "MY_TOKEN"}
    write_run_facts(tmp_path, run_facts(config(tmp_path, envs=[env]), [MANIFEST], "cpu"))
    text = (tmp_path / "run.json").read_text()
    assert not any(secret in text for secret in ("hunter2", "the-secret", "k3y"))
    facts = read_run_facts(tmp_path)
    assert facts is not None
    assert facts["config"]["envs"][0]["url"] == facts["environments"][0]["url"] == "https://envs.example:9/a"
    environment = facts["environments"][0]
    assert (environment["name"], environment["version"], environment["digest"]) == ("extraction", "1.2.0", DIGEST)
    assert [(part["name"], part["weight"]) for part in environment["rewards"]] == [("fields", 0.75), ("json", 0.25)]
    assert {"python", "envport", "torch", "transformers"} <= facts["versions"].keys()
    assert (facts["model"], facts["device"].split()[0]) == ("models/tiny", "cpu")


def test_a_resumed_run_keeps_the_time_of_its_first_start(tmp_path):
    facts = run_facts(config(tmp_path), [MANIFEST], "cpu")
    write_run_facts(tmp_path, facts | {"started_at": "2026-01-01T00:00:00+00:00"})
    write_run_facts(tmp_path, facts | {"started_at": "2026-01-02T00:00:00+00:00"}, resumed=True)
    kept = read_run_facts(tmp_path)
    assert kept is not None
    assert kept["started_at"] == "2026-01-01T00:00:00+00:00"
    assert kept["resumed_at"] == ["2026-01-02T00:00:00+00:00"]
    write_run_facts(tmp_path, facts)
    assert (read_run_facts(tmp_path) or {})["resumed_at"] == []


@pytest.mark.parametrize("content", [None, b"", b"[]", b"\xff"])
def test_facts_that_cannot_be_read_are_none(tmp_path, content):
    if content is not None:
        (tmp_path / "run.json").write_bytes(content)
    assert read_run_facts(tmp_path) is None


def test_a_plain_url_stays_as_it_is():
    assert bare_url("http://127.0.0.1:8000") == "http://127.0.0.1:8000"
    assert bare_url("http://[::1]:8000/x/") == "http://[::1]:8000/x/"
