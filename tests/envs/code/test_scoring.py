"""Scores of answers, with a grader that runs nothing."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from envport_code import scoring
from envport_code.answer import find_program
from envport_code.grading.grade import CaseResult, Grade, Verdict
from envport_code.problem import Problem
from envport_code.problems.writing import call

PROBLEM = Problem(
    problem_id="sums/add",
    level=1,
    statement="Add.",
    entry=("f",),
    hidden=(call(1, 1, gives=2),),
    reference="def f(a, b):\n    return a + b\n",
)


class FakeGrader:
    async def grade(self, problem, source, cases, turn=""):
        return Grade((CaseResult(Verdict.PASSED),) * len(cases), 0.01)


@pytest.mark.parametrize(("length", "beside"), [(100, False), (10_000, True)])
async def test_only_a_long_answer_is_parsed_beside_the_loop(monkeypatch, length: int, beside: bool):
    threads: list[int] = []

    def find(completion: str):
        threads.append(threading.get_ident())
        return find_program(completion)

    monkeypatch.setattr(scoring, "find_program", find)
    answer = f"```python\n{PROBLEM.reference}{'#' * length}\n```"
    scores = await scoring.Scorer(FakeGrader(), style=False).score(PROBLEM, answer, "")
    names = ("tests_passed", "all_passed", "runs", "format", "efficiency")
    assert {name: result.score for name, result in scores.items()} == dict.fromkeys(names, 1.0)
    assert (threads != [threading.get_ident()]) is beside


def test_what_two_timeouts_cost_is_told():
    told = {spec.name: spec.description for spec in scoring.reward_specs(style=False)}
    assert "After two that ran out of time the rest count so too, unrun." in told["tests_passed"]


SECRET_IN, SECRET_OUT = "hidden-input-4711", "hidden-output-0815"
HIDDEN = replace(
    PROBLEM, hidden=tuple(call(f"{SECRET_IN}-{number}", gives=f"{SECRET_OUT}-{number}") for number in range(5))
)


class GivenGrader:
    """Tells these verdicts, each with what the program gave instead; the reference passes in 0.25 s."""

    def __init__(self, *verdicts: Verdict, cpu_s: float = 0.5) -> None:
        self._results = tuple(CaseResult(verdict, f"instead: {SECRET_OUT}") for verdict in verdicts)
        self._cpu_s = cpu_s

    async def grade(self, problem, source, cases, turn=""):
        if source == problem.reference:
            return Grade((CaseResult(Verdict.PASSED),) * len(cases), 0.25)
        return Grade(self._results, self._cpu_s)


PASSED, WRONG = Verdict.PASSED, Verdict.WRONG


async def explained(answer: str, *verdicts: Verdict, style: bool = False) -> dict[str, tuple[float, str | None]]:
    results = await scoring.Scorer(GivenGrader(*verdicts), style=style).score(HIDDEN, answer, "")
    return {name: (result.score, result.reason) for name, result in results.items()}


async def test_where_all_pass_each_component_says_so():
    assert await explained("```python\nimport os\n\n\ndef Add():\n    pass\n```", *[PASSED] * 5, style=True) == {
        "tests_passed": (1.0, "all 5 hidden cases passed"),
        "all_passed": (1.0, "all 5 hidden cases passed"),
        "runs": (1.0, "came to an answer in 5 of 5 hidden cases"),
        "format": (1.0, "one closed block that is Python"),
        "efficiency": (1.0, "0.50 s of computing, the reference 0.25 s"),
        "style": (4 / 6, "broken: an import is not used; a function's name is not in snake_case"),
    }


async def test_the_first_failure_is_told_by_its_number_and_its_ending():
    assert await explained("x = 1\n", PASSED, PASSED, WRONG, PASSED, Verdict.TIMEOUT, style=True) == {
        "tests_passed": (0.6, "3 of 5 hidden cases passed; first failure: case 3, wrong answer"),
        "all_passed": (0.0, "3 of 5 hidden cases passed; first failure: case 3, wrong answer"),
        "runs": (1.0, "came to an answer in 4 of 5 hidden cases"),
        "format": (0.0, "not exactly one closed block that is Python"),
        "efficiency": (0.0, "not measured: not every hidden case passed"),
        "style": (0.0, "not measured: not every hidden case passed"),
    }
    late = await explained("x = 1\n", PASSED, PASSED, PASSED, Verdict.TIMEOUT, PASSED)
    assert late["tests_passed"] == (0.8, "4 of 5 hidden cases passed; first failure: case 4, timed out")


async def test_a_program_that_never_answers_says_how_it_ended():
    told = await explained("x = 1\n", *[Verdict.NOT_LOADED] * 5)
    assert told["runs"] == (0.0, "came to an answer in 0 of 5 hidden cases; case 1: the program did not load")


async def test_an_answer_without_a_program_is_quoted_in_part():
    reason = "no program in the answer: 'the answer is empty'"
    names = ("tests_passed", "all_passed", "runs", "format", "efficiency")
    assert await explained("") == dict.fromkeys(names, (0.0, reason))
    (told,) = {reason for _, reason in (await explained("```\x1b]0;evil\u202e<script>\nx\n```")).values()}
    assert told == r"no program in the answer: 'the block is marked \x1b]0;evil\u202e<script>, not python'"


@pytest.mark.parametrize("verdict", Verdict)
async def test_nothing_of_a_hidden_case_stands_in_a_reason(verdict):
    for verdicts in ([verdict] * 5, [PASSED, verdict, WRONG, verdict, PASSED]):
        told = await explained(f"print({SECRET_IN!r})\n", *verdicts, style=True)
        for _, reason in told.values():
            assert SECRET_IN not in (reason or "")
            assert SECRET_OUT not in (reason or "")
