"""What a run of the checks found, for programs and for people."""

from __future__ import annotations

import dataclasses
import json

import pytest
from envport.check import Finding, Report, Status

OK = Finding("start_repeats", 1, Status.PASSED, "twice the same", "the same", "keep it", 0.25)
BROKEN = Finding("nan_is_refused", 10, Status.FAILED, "a\x1b[31m 200", "422", "refuse it", 1.5)
UNUSED = Finding("fork_repeats", 1, Status.NOT_APPLICABLE, "it cannot fork", "the same", "keep it", 0.0)


def report(*findings: Finding) -> Report:
    return Report("http://127.0.0.1:1", "tally", "0.1.0", None, "1.0 to 1.1", 2.5, findings)


def test_a_report_without_failures_has_passed():
    assert report(OK, UNUSED).has_passed
    assert not report(OK, BROKEN).has_passed
    assert report(OK, BROKEN).failed == (BROKEN,)


def test_the_json_has_everything_and_the_counts():
    assert json.loads(json.dumps(report(OK, BROKEN, UNUSED).to_json())) == {
        "target": "http://127.0.0.1:1",
        "environment": "tally",
        "version": "0.1.0",
        "digest": None,
        "protocol": "1.0 to 1.1",
        "seconds": 2.5,
        "findings": [
            {
                "name": "start_repeats",
                "promise": 1,
                "status": "passed",
                "seen": "twice the same",
                "expected": "the same",
                "remedy": "keep it",
                "seconds": 0.25,
            },
            {
                "name": "nan_is_refused",
                "promise": 10,
                "status": "failed",
                "seen": "a\x1b[31m 200",
                "expected": "422",
                "remedy": "refuse it",
                "seconds": 1.5,
            },
            {
                "name": "fork_repeats",
                "promise": 1,
                "status": "not_applicable",
                "seen": "it cannot fork",
                "expected": "the same",
                "remedy": "keep it",
                "seconds": 0.0,
            },
        ],
        "counts": {"passed": 1, "failed": 1, "not_applicable": 1},
    }


def test_the_table_tells_each_check_then_what_failed_and_why_others_do_not_apply():
    assert report(OK, BROKEN, UNUSED).table().splitlines() == [
        "tally 0.1.0 at http://127.0.0.1:1, protocol 1.0 to 1.1",
        "",
        "1   ok      start_repeats   0.25 s",
        "10  FAILED  nan_is_refused  1.50 s",
        "1   n/a     fork_repeats    0.00 s",
        "",
        "FAILED nan_is_refused (promise 10: One error body)",
        "  seen: a [31m 200",
        "  expected: 422",
        "  remedy: refuse it",
        "",
        "not applicable:",
        "  fork_repeats: it cannot fork",
        "",
        "3 checks in 2.5 s: 1 passed, 1 failed, 1 not applicable",
    ]


def test_a_finding_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        OK.status = Status.FAILED  # type: ignore[misc]
