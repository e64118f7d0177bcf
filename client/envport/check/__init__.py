"""Conformance checks: does a served environment keep the protocol's promises?

report = await envport.check.run("http://127.0.0.1:8000", project=Path("envs/extraction"))
assert report.has_passed, report.table()
"""

from __future__ import annotations

from envport.check.catalogue import CHECKS, UnknownCheckError
from envport.check.definition import PROMISES, Check
from envport.check.probe import Access
from envport.check.report import Finding, Report, Status
from envport.check.running import run

__all__ = ["CHECKS", "PROMISES", "Access", "Check", "Finding", "Report", "Status", "UnknownCheckError", "run"]
