"""A server under many rollouts stays as large as it was, and a held rollout is small."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def soak(tmp_path, *options):
    """Exit status and the report of a run of the benchmark."""
    report = tmp_path / "soak.json"
    command = [sys.executable, ROOT / "benchmarks/soak.py", "--json", report, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert report.exists(), done.stderr
    return done.returncode, json.loads(report.read_text())


def test_a_server_is_no_larger_after_thousands_of_rollouts(tmp_path):
    status, report = soak(tmp_path, "--rollouts", "2400", "--samples", "5", "--hold", "0", "--slack", "20")
    assert (report["found"], status) == ([], 0)
    assert report["samples"][-1]["rollouts"] == 2400


def test_an_environment_that_frees_nothing_is_found(tmp_path):
    status, report = soak(tmp_path, "--rollouts", "640", "--samples", "2", "--slack", "20", "--hold", "0", "--broken")
    assert status == 1
    assert "objects grow" in report["found"]
    assert "rollouts are left" in report["found"]


def test_a_held_rollout_takes_little_memory(tmp_path):
    _, report = soak(tmp_path, "--rollouts", "32", "--samples", "2", "--hold", "960")
    assert 1.0 < report["kib_held"] < 20.0
