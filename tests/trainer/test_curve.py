"""The curve is a picture of what the metrics file says."""

from __future__ import annotations

import json

import pytest
from envport_trainer.errors import MetricsError
from envport_trainer.recording import curve as curve
from envport_trainer.recording.curve import draw_curve
from matplotlib.figure import Figure
from matplotlib.image import imread

LINES = [
    {"step": 0, "eval/reward": 0.25, "eval/reward_ci95": 0.125},
    {"step": 1, "reward": 0.25, "reward_se": 0.125, "reward_groups": 8, "rewards/fields": 0.5},
    {"step": 2, "reward": 0.5, "rewards/fields": 0.75},
    {"step": 3, "reward": None, "eval/reward": 0.75, "eval/reward_ci95": 0.25},
]


@pytest.fixture
def metrics(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return path


def test_the_picture_is_whole_and_nothing_else_is_left(metrics, tmp_path):
    draw_curve(metrics, tmp_path / "out/curve.png")
    assert imread(tmp_path / "out/curve.png").shape == (700, 800, 4)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["curve.png"]


def test_rewards_have_a_band_of_95_percent_and_evaluations_their_interval():
    axes = Figure().subplots()
    curve._draw_reward(axes, LINES, "title")
    training, evaluations = axes.containers[0], axes.lines[0]
    assert evaluations.get_xydata().tolist() == [[1, 0.25], [2, 0.5]]
    assert training.lines[0].get_xydata().tolist() == [[0, 0.25], [3, 0.75]]
    band = next(c for c in axes.collections if len(c.get_paths()[0].vertices) > 4).get_paths()[0].vertices.tolist()
    half = 2.3646243 * 0.125  # Student's t of 7 degrees of freedom; step 2 had one group alone, and has no interval
    corners = sorted({(x, round(y, 6)) for x, y in band})
    assert corners == [(1, round(0.25 - half, 6)), (1, round(0.25 + half, 6)), (2, 0.5)]
    assert [label.get_text() for label in axes.get_legend().get_texts()] == [
        "training, mean of the step, 95 %",
        "held out, 95 %",
    ]


def test_a_failed_drawing_leaves_the_earlier_picture(metrics, tmp_path, monkeypatch):
    image = tmp_path / "curve.png"
    image.write_bytes(b"earlier")
    monkeypatch.setattr("matplotlib.backends.backend_agg.FigureCanvasAgg.print_png", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        draw_curve(metrics, image)
    assert image.read_bytes() == b"earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curve.png", "metrics.jsonl"]


def test_a_picture_that_does_not_reach_the_disk_leaves_the_earlier_one(metrics, tmp_path, monkeypatch):
    image = tmp_path / "curve.png"
    image.write_bytes(b"earlier")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("envport_trainer.recording.atomic_files.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        draw_curve(metrics, image)
    assert image.read_bytes() == b"earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curve.png", "metrics.jsonl"]


def test_metrics_without_a_reward_are_told(tmp_path):
    with pytest.raises(MetricsError, match="holds no reward yet"):
        draw_curve(tmp_path / "metrics.jsonl", tmp_path / "curve.png")
