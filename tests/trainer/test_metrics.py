"""One line for each step, safe against a crash, and dropped again where a run resumes from before it."""

from __future__ import annotations

import math

import pytest
from envport_trainer.errors import MetricsError
from envport_trainer.recording.metrics import MetricsLog, read_metrics
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def test_each_step_is_one_line_and_one_point_in_tensorboard(tmp_path):
    with MetricsLog(tmp_path) as log:
        log.write(1, {"reward": 0.25, "rewards/fields": 0.5})
        log.write(2, {"reward": 0.5, "grad_norm": math.nan})
        assert log.path.read_text() == (
            '{"step": 1, "reward": 0.25, "rewards/fields": 0.5}\n{"step": 2, "reward": 0.5, "grad_norm": null}\n'
        )
    assert points(tmp_path) == {"reward": [(1, 0.25), (2, 0.5)], "rewards/fields": [(1, 0.5)]}


def points(folder) -> dict[str, list[tuple[int, float]]]:
    board = EventAccumulator(str(folder / "tensorboard"))
    board.Reload()
    return {tag: [(event.step, event.value) for event in board.Scalars(tag)] for tag in board.Tags()["scalars"]}


def test_values_that_come_late_join_their_step(tmp_path):
    with MetricsLog(tmp_path) as log:
        log.write(1, {"reward": 0.25})
        log.write(2, {"reward": 0.5})
        log.amend(2, {"eval/reward": 0.75})
        log.write(3, {"reward": 1.0})
    assert read_metrics(tmp_path / "metrics.jsonl") == [
        {"step": 1, "reward": 0.25},
        {"step": 2, "reward": 0.5, "eval/reward": 0.75},
        {"step": 3, "reward": 1.0},
    ]
    assert points(tmp_path)["eval/reward"] == [(2, 0.75)]


def test_the_file_is_readable_for_all_as_the_others_of_a_run(tmp_path):
    with MetricsLog(tmp_path) as log:
        assert log.path.stat().st_mode & 0o777 == 0o644
        log.write(1, {"reward": 0.25})
        log.amend(1, {"eval/reward": 0.75})
        assert log.path.stat().st_mode & 0o777 == 0o644


def test_a_resumed_run_drops_the_steps_after_its_checkpoint(tmp_path):
    with MetricsLog(tmp_path) as log:
        for step in (1, 2, 3):
            log.write(step, {"reward": step / 4})
    with MetricsLog(tmp_path, resume_step=2) as log:
        log.write(3, {"reward": 0.125})
    assert read_metrics(tmp_path / "metrics.jsonl") == [
        {"step": 1, "reward": 0.25},
        {"step": 2, "reward": 0.5},
        {"step": 3, "reward": 0.125},
    ]
    assert points(tmp_path) == {"reward": [(1, 0.25), (2, 0.5), (3, 0.125)]}


def test_a_new_run_begins_with_an_empty_file(tmp_path):
    with MetricsLog(tmp_path) as log:
        log.write(1, {"reward": 1.0})
    MetricsLog(tmp_path).close()
    assert read_metrics(tmp_path / "metrics.jsonl") == []


@pytest.mark.parametrize("torn", ['{"step": 2, "rew', '{"step": 2, "reward": 1.0}', "\x00\x00\x00\n"])
def test_a_line_cut_off_by_a_crash_is_repaired(tmp_path, torn):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "reward": 0.5}\n' + torn)
    assert read_metrics(path) == [{"step": 1, "reward": 0.5}]
    with MetricsLog(tmp_path, resume_step=1) as log:
        log.write(2, {"reward": 0.75})
    assert path.read_text() == '{"step": 1, "reward": 0.5}\n{"step": 2, "reward": 0.75}\n'
    assert sorted(p.name for p in tmp_path.iterdir()) == ["metrics.jsonl", "tensorboard"]


def test_a_file_of_something_else_is_told_and_kept(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('dear diary\n{"step": 1}\n')
    with pytest.raises(MetricsError, match="line 1: expected a JSON object with a step"):
        MetricsLog(tmp_path, resume_step=1)
    assert path.read_text() == 'dear diary\n{"step": 1}\n'


def test_there_are_no_lines_where_there_is_no_file(tmp_path):
    assert read_metrics(tmp_path / "none.jsonl") == []
