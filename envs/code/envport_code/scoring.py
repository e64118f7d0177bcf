"""The reward's components, and the score of one submission by them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, TypeVar

from envport_protocol import RewardResult, RewardSpec

from envport_code.answer import STYLE_RULES, broken_style_rules, find_program
from envport_code.reasons import (
    NO_REFERENCE,
    NOT_MEASURED,
    why_efficiency,
    why_format,
    why_no_program,
    why_runs,
    why_style,
    why_tests,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from envport_code.grading.grade import Grade
    from envport_code.grading.grader import Grader
    from envport_code.problem import Problem

_T = TypeVar("_T")

_LONG_CHARS: Final = 2000
"""Longer answers are parsed in a thread."""
_MEASURED: Final = 4096
"""Problems whose reference's time is kept."""
_FREE_S: Final = 0.02
"""Seconds of computing that are the interpreter's start, and noise."""
_GENEROUS: Final = 2.0
"""Times the reference's computing that is as good as the reference's own."""
_DESCRIPTIONS: Final = {
    "tests_passed": "Share of the hidden tests that pass. After two that ran out of time the rest count so too, unrun.",
    "all_passed": "1 where every hidden test passes.",
    "runs": "1 where the program loads and comes to an answer in at least one hidden test.",
    "format": "1 where the answer is one closed ```python block that is Python.",
    "efficiency": "Where all pass: 1 up to twice the reference's time of computing, then in proportion less.",
    "style": "Share kept of six rules of style, where all pass; see the readme.",
}
_WEIGHTS: Final = {"tests_passed": 0.4, "all_passed": 0.4, "runs": 0.05, "format": 0.05, "efficiency": 0.1}
_STYLE_WEIGHT: Final = 0.05


def reward_specs(*, style: bool) -> list[RewardSpec]:
    """The components; their weights sum to 1, so the reward lies between 0 and 1."""
    weights = dict(_WEIGHTS)
    if style:
        weights |= {"efficiency": weights["efficiency"] - _STYLE_WEIGHT, "style": _STYLE_WEIGHT}
    return [
        RewardSpec(name=name, weight=weight, min=0.0, max=1.0, description=_DESCRIPTIONS[name])
        for name, weight in weights.items()
    ]


class Scorer:
    """Scores completions."""

    def __init__(self, grader: Grader, *, style: bool) -> None:
        self._grader = grader
        self._style = style
        self._reference_s: OrderedDict[str, float] = OrderedDict()

    async def score(self, problem: Problem, completion: str, turn: str) -> dict[str, RewardResult]:
        """The components of one answer, with their reasons.

        Raises:
            UngradedError: it could not be graded, and not by its own fault.
        """
        answer = await _parsing(find_program, completion)
        if not answer.source:
            names = [spec.name for spec in reward_specs(style=self._style)]
            return dict.fromkeys(names, RewardResult(0.0, why_no_program(answer)))
        grade = await self._grader.grade(problem, answer.source, problem.hidden, turn)
        results = {
            "tests_passed": RewardResult(grade.passed / len(grade.results), why_tests(grade)),
            "all_passed": RewardResult(float(grade.all_passed), why_tests(grade)),
            "runs": RewardResult(float(grade.ran), why_runs(grade)),
            "format": RewardResult(float(answer.well_formed), why_format(answer)),
            "efficiency": await self._efficiency(problem, grade, turn),
        }
        if self._style:
            results["style"] = await _style(grade, answer.source)
        return results

    async def _efficiency(self, problem: Problem, grade: Grade, turn: str) -> RewardResult:
        if not grade.all_passed:
            return RewardResult(0.0, NOT_MEASURED)
        if not problem.reference:
            return RewardResult(1.0, NO_REFERENCE)
        reference_s = await self._reference_time(problem, turn)
        enough = _GENEROUS * reference_s + _FREE_S
        score = min(1.0, enough / grade.cpu_s) if grade.cpu_s > 0 else 1.0
        return RewardResult(score, why_efficiency(grade.cpu_s, reference_s))

    async def _reference_time(self, problem: Problem, turn: str) -> float:
        """Seconds of computing that the reference takes for all hidden cases."""
        reference_s = self._reference_s.get(problem.problem_id)
        if reference_s is None:
            reference_s = (await self._grader.grade(problem, problem.reference, problem.hidden, turn)).cpu_s
            self._reference_s[problem.problem_id] = reference_s
            if len(self._reference_s) > _MEASURED:
                self._reference_s.popitem(last=False)
        return reference_s


async def _style(grade: Grade, source: str) -> RewardResult:
    if not grade.all_passed:
        return RewardResult(0.0, NOT_MEASURED)
    broken = await _parsing(broken_style_rules, source)
    return RewardResult((len(STYLE_RULES) - len(broken)) / len(STYLE_RULES), why_style(broken))


async def _parsing(parse: Callable[[str], _T], text: str) -> _T:
    return parse(text) if len(text) <= _LONG_CHARS else await asyncio.to_thread(parse, text)
