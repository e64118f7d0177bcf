"""What a run of the checks found, as values, as JSON and as a table."""

from __future__ import annotations

import textwrap
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from envport.check.definition import PROMISES

_MARKS = {"passed": "ok", "failed": "FAILED", "not_applicable": "n/a"}


class Status(StrEnum):
    """How a check came out."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_APPLICABLE = "not_applicable"
    """Nothing to check: `seen` has the reason, which lies in the environment or in how it is reached."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    name: str
    promise: int
    """Its number in the protocol, 1 to 11."""
    status: Status
    seen: str
    expected: str
    remedy: str
    """What to do where it failed."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Report:
    """The results of all checks that ran, in their order."""

    target: str
    """The URL or the folder."""
    environment: str
    version: str
    digest: str | None
    protocol: str
    """The range that the server speaks, such as `1.0 to 1.1`."""
    seconds: float
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> tuple[Finding, ...]:
        """The findings that failed."""
        return self._of(Status.FAILED)

    @property
    def has_passed(self) -> bool:
        """Whether no check failed."""
        return not self.failed

    def to_json(self) -> dict[str, Any]:
        """The report as values that JSON has."""
        return {**asdict(self), "counts": {str(status): len(self._of(status)) for status in Status}}

    def table(self) -> str:
        """The report for a person: a line for each check, then each failed one and the reasons of those without use."""
        rows = [(f"{one.promise}", _MARKS[one.status], one.name, f"{one.seconds:.2f} s") for one in self.findings]
        head = ("", "", "CHECK", "TIME")
        widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
        lines = [f"{self.environment} {self.version} at {self.target}, protocol {self.protocol}", ""]
        lines += [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        ]
        lines += self._failures()
        lines += self._reasons()
        counts = ", ".join(f"{len(self._of(status))} {_WORDS[status]}" for status in Status)
        return "\n".join([*lines, "", f"{len(self.findings)} checks in {self.seconds:.1f} s: {counts}"])

    def _of(self, status: Status) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.status is status)

    def _failures(self) -> list[str]:
        lines: list[str] = []
        for finding in self.failed:
            lines += ["", f"FAILED {finding.name} (promise {finding.promise}: {PROMISES[finding.promise]})"]
            lines += _entry("seen", finding.seen) + _entry("expected", finding.expected)
            lines += _entry("remedy", finding.remedy)
        return lines

    def _reasons(self) -> list[str]:
        unused = self._of(Status.NOT_APPLICABLE)
        return (
            ["", "not applicable:", *(line for one in unused for line in _entry(one.name, one.seen))] if unused else []
        )


_WORDS = {Status.PASSED: "passed", Status.FAILED: "failed", Status.NOT_APPLICABLE: "not applicable"}


def _entry(label: str, text: str) -> list[str]:
    return textwrap.wrap(_printable(text), 110, initial_indent=f"  {label}: ", subsequent_indent="    ")


def _printable(text: str) -> str:
    """On one line and without control characters: what came over the network must not steer a terminal."""
    return "".join(char if char.isprintable() else " " for char in text)
