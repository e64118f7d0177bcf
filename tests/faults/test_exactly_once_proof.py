"""The proof of exactly once, played small, and that it finds a server that breaks the promise."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def proof(tmp_path, *options):
    """Exit status and the counts of a run of the benchmark."""
    report = tmp_path / "proof.json"
    command = [sys.executable, ROOT / "benchmarks/exactly_once_proof.py", "--json", report, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert report.exists(), done.stderr
    return done.returncode, json.loads(report.read_text())


def test_whole_rollouts_through_a_failing_network_run_once_and_lose_nothing(tmp_path):
    status, counts = proof(tmp_path, "--rollouts", "300", "--fault-rate", "0.2", "--seed", "7")
    assert counts["examples"] == []
    assert {name: counts[name] for name in counts if name not in ("examples", "faults", "requests")} == {
        "double_executions": 0,
        "lost_answers": 0,
        "wrong_answers": 0,
        "ids_not_spent": 0,
        "rollouts_left_open": 0,
    }
    assert status == 0
    assert len(counts["faults"]) == 11
    assert min(counts["faults"].values()) >= 10
    assert sum(counts["faults"].values()) > 0.15 * counts["requests"]


def test_the_proof_counts_what_a_server_that_forgets_finished_calls_runs_twice(tmp_path):
    status, counts = proof(tmp_path, "--rollouts", "60", "--broken", "forgets_calls")
    assert status == 1
    assert counts["double_executions"] > 5
    assert counts["ids_not_spent"] > 0


def test_the_proof_finds_ids_of_ended_rollouts_that_come_to_life_again(tmp_path):
    status, counts = proof(tmp_path, "--rollouts", "120", "--broken", "forgets_rollouts")
    assert status == 1
    assert counts["double_executions"] > 0
    assert counts["ids_not_spent"] > 0
    assert counts["rollouts_left_open"] > 0
