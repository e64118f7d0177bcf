"""Many more rollouts than a server has room for, at once: they are refused, come again, and all are played."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def overload(tmp_path, *options):
    """Exit status and the report of a run of the benchmark."""
    report = tmp_path / "overload.json"
    command = [sys.executable, ROOT / "benchmarks/overload.py", "--json", report, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert report.exists(), done.stderr
    return done.returncode, json.loads(report.read_text())


def test_ten_times_too_many_rollouts_are_all_played_and_never_too_many_held(tmp_path):
    status, report = overload(tmp_path, "--rollouts", "400", "--max-rollouts", "40", "--clients", "10")
    assert (report["ended"], report["failed"], report["left_open"], status) == (400, 0, 0, 0)
    assert report["most_open"] <= 40
    limits = [sample["limits"] for sample in report["samples"]]
    assert limits[0] == 400
    assert limits[-1] < 400


def test_one_client_alone_is_never_refused(tmp_path):
    status, report = overload(tmp_path, "--rollouts", "200", "--max-rollouts", "20", "--clients", "1")
    assert (report["ended"], report["refused"], status) == (200, 0, 0)
