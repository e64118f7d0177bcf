"""The same values reach every tracker by name, under one id for a resumed run, and no tracker ends a run."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import math
import os
import sqlite3
import struct
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
import wandb
from envport_trainer.errors import TrainerError
from envport_trainer.recording import trackers
from envport_trainer.recording.metrics import MetricsLog
from envport_trainer.recording.trackers import Trackers
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


def steps(folder: Path, names: tuple[str, ...], first: int, last: int, **more: Any) -> None:
    with Trackers(names, folder, "first", {"lr": 0.5}, **more) as all_of_them:
        for step in range(first, last + 1):
            all_of_them.write(step, {"reward": step / 4, "loss": math.nan})


def test_tensorboard_gets_each_finite_value_at_its_step(tmp_path):
    steps(tmp_path, ("tensorboard",), 1, 2)
    steps(tmp_path, ("tensorboard",), 2, 3, resume_step=1)
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    assert board.Tags()["scalars"] == ["reward"]
    assert [(event.step, event.value) for event in board.Scalars("reward")] == [(1, 0.25), (2, 0.5), (3, 0.75)]
    assert [path.name for path in tmp_path.iterdir()] == ["tensorboard"]


def records(path: Path) -> Iterator[Any]:
    """The records of a `.wandb` file: blocks of 32 KiB, each record in parts of checksum, length, kind and bytes."""
    from wandb.proto import wandb_internal_pb2

    content, at, parts = path.read_bytes(), 7, b""
    while at + 7 <= len(content):
        if (rest := 32768 - at % 32768) < 7:
            at += rest
            continue
        length, kind = struct.unpack_from("<HB", content, at + 4)
        parts += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield wandb_internal_pb2.Record.FromString(parts)
            parts = b""


def wandb_points(path: Path) -> list[dict[str, float]]:
    rows = [record.history.item for record in records(path) if record.WhichOneof("record_type") == "history"]
    plain = [{item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in row} for row in rows]
    return [{name: value for name, value in row.items() if name[0] != "_"} for row in plain]


def test_wandb_gets_the_values_on_our_step_and_a_resumed_run_goes_on_under_its_id(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr(sys, "argv", ["envport", "train", "--env-token=the-secret"])
    steps(tmp_path, ("wandb",), 1, 3)
    steps(tmp_path, ("wandb",), 2, 3, resume_step=1)
    wandb.teardown()  # its service writes the last lines of a file after `finish`
    first, second = sorted(tmp_path.glob("wandb/offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime_ns)
    assert wandb_points(first) == [{"step": step, "reward": step / 4} for step in (1, 2, 3)]
    assert wandb_points(second) == [{"step": step, "reward": step / 4} for step in (2, 3)]
    runs = [
        record.run for path in (first, second) for record in records(path) if record.WhichOneof("record_type") == "run"
    ]
    run_id = json.loads((tmp_path / "trackers.json").read_text())["run_id"]
    assert {(run.run_id, run.display_name, run.project) for run in runs} == {(run_id, "first", "envport")}
    assert ("lr", "0.5") in {(update.key, update.value_json) for update in runs[0].config.update}
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"the-secret" in path.read_bytes()]
    assert capfd.readouterr().out == ""


def test_trackio_gets_the_values_and_a_resumed_run_goes_on_under_its_name(tmp_path):
    # In a process of its own: trackio reads its folder when it is imported.
    code = (
        "import sys; from pathlib import Path; from envport_trainer.recording.trackers import Trackers\n"
        "for span, resume in ((range(1, 4), None), (range(3, 5), 2)):\n"
        "    with Trackers(('trackio',), Path(sys.argv[1]), 'first', {'lr': 0.5}, resume_step=resume) as all_of_them:\n"
        "        for step in span: all_of_them.write(step, {'reward': step / 4})\n"
    )
    environment = os.environ | {"TRACKIO_DIR": str(tmp_path / "trackio"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env=environment, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    with contextlib.closing(sqlite3.connect(tmp_path / "trackio" / "envport.db")) as store:
        points = store.execute("select run_name, step, metrics from metrics order by id").fetchall()
        assert len(set(store.execute("select run_id from metrics").fetchall())) == 1
    name = f"first-{json.loads((tmp_path / 'trackers.json').read_text())['run_id']}"
    expected = [(name, step, {"reward": step / 4}) for step in (1, 2, 3, 3, 4)]
    assert [(run, step, json.loads(values)) for run, step, values in points] == expected


def test_a_new_run_in_the_same_folder_has_an_id_of_its_own(tmp_path, monkeypatch):
    fake = FakeTracker()
    monkeypatch.setitem(trackers._MAKERS, "wandb", fake.make)
    for resume in (None, 3, None):
        Trackers(("wandb",), tmp_path, "x", {}, resume_step=resume).close()
    first, resumed, new = fake.ids
    assert first == resumed
    assert first != new


@pytest.mark.parametrize(("name", "extra"), [("wandb", "wandb"), ("trackio", "trackio"), ("tensorboard", "train")])
def test_a_missing_package_is_told_with_its_extra(tmp_path, monkeypatch, name, extra):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(TrainerError) as told:
        Trackers((name,), tmp_path, "x", {})
    assert f"pip install 'envport[{extra}]'" in str(told.value)
    assert f"the tracker {name} needs the package {name!r}" in str(told.value)


def test_wandb_without_a_login_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setattr("wandb.init", refuse)
    with pytest.raises(
        TrainerError, match="does not come up: no API key; run `wandb login`, or set WANDB_MODE=offline"
    ):
        Trackers(("wandb",), tmp_path, "x", {})


def refuse(**_: Any) -> None:
    raise RuntimeError("no API\nkey")


class FakeTracker:
    """Fails as often as it is told to, or hangs when it is closed."""

    def __init__(self, *, fail: bool = False, hang: threading.Event | None = None) -> None:
        self.fail, self.hang = fail, hang
        self.ids: list[str] = []
        self.points: list[tuple[int, dict[str, float]]] = []

    def make(self, _: Any, run_id: str) -> FakeTracker:
        self.ids.append(run_id)
        return self

    def write(self, step: int, values: Any) -> None:
        if self.fail:
            raise ConnectionError("the network is down")
        self.points.append((step, dict(values)))

    def close(self) -> None:
        if self.hang is not None:
            self.hang.wait()


def test_a_tracker_that_fails_is_warned_of_once_and_the_others_go_on(tmp_path, monkeypatch, caplog):
    broken, sound = FakeTracker(fail=True), FakeTracker()
    monkeypatch.setitem(trackers._MAKERS, "wandb", broken.make)
    monkeypatch.setitem(trackers._MAKERS, "trackio", sound.make)
    with caplog.at_level(logging.WARNING):
        steps(tmp_path, ("wandb", "trackio"), 1, 3)
    assert sound.points == [(1, {"reward": 0.25}), (2, {"reward": 0.5}), (3, {"reward": 0.75})]
    assert [r.message for r in caplog.records] == [
        "wandb failed, the training goes on without it for now: the network is down"
    ]


def test_a_tracker_that_comes_back_gets_the_later_steps(tmp_path, monkeypatch):
    fake = FakeTracker(fail=True)
    monkeypatch.setitem(trackers._MAKERS, "wandb", fake.make)
    with Trackers(("wandb",), tmp_path, "x", {}) as all_of_them:
        all_of_them.write(1, {"reward": 0.25})
        fake.fail = False
        all_of_them.write(2, {"reward": 0.5})
    assert fake.points == [(2, {"reward": 0.5})]


def test_a_tracker_that_hangs_at_the_end_is_left_behind(tmp_path, monkeypatch, caplog):
    never = threading.Event()
    monkeypatch.setattr(trackers, "CLOSE_WITHIN_S", 0.01)
    monkeypatch.setitem(trackers._MAKERS, "wandb", FakeTracker(hang=never).make)
    with caplog.at_level(logging.WARNING):
        Trackers(("wandb",), tmp_path, "x", {}).close()
    never.set()
    assert [r.message for r in caplog.records] == ["wandb did not end within 0 s; what was not sent stays here"]
    assert not isinstance(sys.stdout, io.StringIO)


def test_the_metrics_file_and_the_trackers_get_the_same_values(tmp_path, monkeypatch):
    fake = FakeTracker()
    monkeypatch.setitem(trackers._MAKERS, "wandb", fake.make)
    with MetricsLog(tmp_path, trackers=Trackers(("wandb",), tmp_path, "x", {})) as log:
        log.write(1, {"reward": 0.5})
        log.amend(1, {"eval/reward": 0.75})
    assert fake.points == [(1, {"reward": 0.5}), (1, {"eval/reward": 0.75})]
    assert not (tmp_path / "tensorboard").exists()
