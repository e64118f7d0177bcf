"""The proof of exactly once, played small, and that it finds a server that breaks the promise."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from .ledger_env import Entry
from .verdict import Heard, judge

ROOT = Path(__file__).parents[2]


def proof(tmp_path, *options):
    """Exit status and the report of a run of the benchmark."""
    report = tmp_path / "proof.json"
    command = [sys.executable, ROOT / "benchmarks/exactly_once_proof.py", "--json", report, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert report.exists(), done.stderr
    return done.returncode, json.loads(report.read_text())


NONE = {
    "double_executions": 0,
    "lost_answers": 0,
    "wrong_answers": 0,
    "ids_not_spent": 0,
    "calls_left_running": 0,
    "rollouts_left_open": 0,
}


def test_whole_rollouts_through_a_failing_network_run_once_and_lose_nothing(tmp_path):
    status, report = proof(tmp_path, "--rollouts", "300", "--fault-rate", "0.2", "--seed", "7")
    assert (report["examples"], report["counts"], status) == ([], NONE, 0)
    assert len(report["faults"]) == 11
    assert min(report["faults"].values()) >= 10
    assert sum(report["faults"].values()) > 0.15 * report["requests"]


def test_several_workers_run_each_call_once_too(tmp_path):
    status, report = proof(tmp_path, "--rollouts", "200", "--workers", "2", "--seed", "8")
    assert (report["examples"], report["counts"], status) == ([], NONE, 0)


def test_the_proof_counts_what_a_server_that_forgets_finished_calls_runs_twice(tmp_path):
    status, report = proof(tmp_path, "--rollouts", "60", "--broken", "forgets_calls")
    assert status == 1
    assert report["counts"]["double_executions"] > 5
    assert report["counts"]["ids_not_spent"] > 0


def test_a_broken_server_has_one_worker(tmp_path):
    command = [sys.executable, ROOT / "benchmarks/exactly_once_proof.py", "--broken", "forgets_calls", "--workers", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "--broken breaks the server of one worker; leave out --workers" in done.stderr


def test_the_proof_finds_ids_of_ended_rollouts_that_come_to_life_again(tmp_path):
    status, report = proof(tmp_path, "--rollouts", "120", "--broken", "forgets_rollouts")
    assert status == 1
    assert report["counts"]["double_executions"] > 0
    assert report["counts"]["ids_not_spent"] > 0


def test_each_kind_of_breach_is_counted_by_itself():
    entries = [
        Entry("whole", "start", "a"),
        Entry("whole", "c0", "b"),
        Entry("whole", "failing", "-"),
        Entry("whole", "end", "-"),
        Entry("twice", "start", "c"),
        Entry("twice", "start", "d"),
        Entry("twice", "end", "-"),
        Entry("unheard", "c0", "e"),
        Entry("wrong", "c0", "f"),
        Entry("wrong", "hang", "g"),
    ]
    values = {("whole", "start"): "a", ("whole", "c0"): "b", ("twice", "start"): "d", ("wrong", "c0"): "g"}
    heard = Heard(values, {("whole", "failing"), ("wrong", "hang")}, ["one"], [])
    assert judge(entries[:4], Heard(dict([*values.items()][:2]), heard.may_have_run)).counts == NONE
    assert judge(entries, heard).counts == {
        "double_executions": 1,
        "lost_answers": 2,
        "wrong_answers": 1,
        "ids_not_spent": 0,
        "calls_left_running": 1,
        "rollouts_left_open": 1,
    }
