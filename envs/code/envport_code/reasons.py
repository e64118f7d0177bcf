"""Why a submission got its scores: a line for each component.

Of the hidden cases a line has numbers and kinds of ending alone. Nothing that a case gives to a program, expects of it
or got from it stands in one, for lines land in logs that people copy from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from envport_code.grading.grade import Verdict
from envport_code.shown import cut_middle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envport_code.answer import Answer
    from envport_code.grading.grade import Grade

NOT_MEASURED: Final = "not measured: not every hidden case passed"
NO_REFERENCE: Final = "there is no reference to compare with"
_MAX_FAULT_CHARS: Final = 200
_ANSWERED: Final = (Verdict.PASSED, Verdict.WRONG)


def why_no_program(answer: Answer) -> str:
    """The fault of an answer without a program. It has words of the model in it, so it is quoted."""
    return f"no program in the answer: {cut_middle(answer.fault or '', _MAX_FAULT_CHARS)!r}"


def why_tests(grade: Grade) -> str:
    """How many hidden cases passed, and how the first of the others ended."""
    count = len(grade.results)
    if grade.all_passed:
        return f"all {count} hidden cases passed"
    number, verdict = next((n, r.verdict) for n, r in enumerate(grade.results, start=1) if not r.passed)
    return f"{grade.passed} of {count} hidden cases passed; first failure: case {number}, {verdict}"


def why_runs(grade: Grade) -> str:
    """In how many hidden cases the program came to an answer, right or wrong."""
    answered = sum(result.verdict in _ANSWERED for result in grade.results)
    told = f"came to an answer in {answered} of {len(grade.results)} hidden cases"
    return told if answered else f"{told}; case 1: {grade.results[0].verdict}"


def why_format(answer: Answer) -> str:
    """Whether the answer has the form that was asked for."""
    return "one closed block that is Python" if answer.well_formed else "not exactly one closed block that is Python"


def why_efficiency(cpu_s: float, reference_s: float) -> str:
    """What the program and the reference computed for all hidden cases."""
    return f"{cpu_s:.2f} s of computing, the reference {reference_s:.2f} s"


def why_style(broken: Sequence[str]) -> str:
    """Which rules are broken."""
    return f"broken: {'; '.join(broken)}" if broken else "every rule of style is kept"
