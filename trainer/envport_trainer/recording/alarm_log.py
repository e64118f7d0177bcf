"""The alarms of a run: `alarms.jsonl`, one line for each."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from envport_trainer.recording.atomic_files import replace_file
from envport_trainer.recording.metrics import read_metrics

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from envport_trainer.alarms.watch import Alarm

ALARMS_FILE = "alarms.jsonl"


class AlarmLog:
    """Appends to `folder`. With `resume_step` the lines up to that step stay; else none does."""

    def __init__(self, folder: Path, *, resume_step: int | None = None) -> None:
        self._path = folder / ALARMS_FILE
        folder.mkdir(parents=True, exist_ok=True)
        kept = [] if resume_step is None else [line for line in read_metrics(self._path) if line["step"] <= resume_step]
        replace_file(self._path, "".join(json.dumps(line) + "\n" for line in kept).encode())
        self._earlier = {(line["step"], line.get("name")) for line in kept}

    def has(self, alarm: Alarm) -> bool:
        """Whether an earlier process of the run wrote it down."""
        return (alarm.step, alarm.name) in self._earlier

    def write(self, alarms: Sequence[Alarm]) -> None:
        """Append `alarms`; when it returns they are on the disk."""
        if not alarms:
            return
        with self._path.open("a", encoding="utf-8") as file:
            for alarm in alarms:
                line = {"step": alarm.step, "name": alarm.name, "severity": alarm.severity, "text": alarm.text}
                file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
