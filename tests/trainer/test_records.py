"""What a resumed run is told of the alarms that an earlier process of it wrote down."""

from __future__ import annotations

import io

import pytest
from envport_trainer.alarms.watch import Alarm, Watch
from envport_trainer.recording.alarm_log import AlarmLog
from envport_trainer.recording.progress import TrainProgress
from envport_trainer.runs.records import Records
from rich.console import Console

from .made_run import MANIFEST, config


@pytest.mark.parametrize(("severity", "told"), [("stop", True), ("warn", False)])
def test_an_alarm_that_was_to_stop_the_run_is_remarked_when_it_is_resumed(tmp_path, monkeypatch, severity, told):
    alarm = Alarm("entropy", 3, severity, "entropy fell", {})
    monkeypatch.setattr(Watch, "look", lambda *_: [alarm])
    AlarmLog(tmp_path).write([alarm])
    seen = io.StringIO()
    progress = TrainProgress(6, done=3, console=Console(file=seen, width=400))
    records = Records(config(tmp_path), [MANIFEST], "cpu", progress, step=3)
    with records:
        assert records.look_for_alarms() is None
    remark = "step 3: the run was to stop here for the alarm entropy, and goes on since it was resumed: entropy fell"
    assert (remark in seen.getvalue()) is told
    assert (tmp_path / "alarms.jsonl").read_text().count("entropy fell") == 1
