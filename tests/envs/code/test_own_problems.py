"""This project's own problems: enough of them, and each with a reference that passes and wrong answers that do not."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

from envport_code.grading.grader import Grader
from envport_code.problem import CallCase, CodeCase, Problem, SessionCase, StdinCase
from envport_code.problems.catalogue import own_problems
from envport_code.prompt import render_prompt
from envport_code.scoring import Scorer, reward_specs
from envport_sandbox import Sandbox

PROBLEMS = own_problems()
WEIGHTS = {spec.name: spec.weight for spec in reward_specs(style=False)}


def test_there_are_enough_on_every_level():
    levels = Counter(problem.level for problem in PROBLEMS)
    assert len(PROBLEMS) >= 120
    assert {level: count >= 30 for level, count in levels.items()} == {1: True, 2: True, 3: True}
    assert len({problem.problem_id for problem in PROBLEMS}) == len(PROBLEMS)
    kinds = Counter(type(case) for problem in PROBLEMS for case in problem.hidden)
    assert set(kinds) == {CallCase, SessionCase, StdinCase}
    assert CodeCase not in kinds


def test_each_has_what_a_problem_needs():
    for problem in PROBLEMS:
        assert len(problem.visible) >= 2, problem.problem_id
        assert len(problem.hidden) >= 5, problem.problem_id
        assert len(problem.wrong) >= 2, problem.problem_id
        assert len(set(map(repr, problem.hidden))) == len(problem.hidden), problem.problem_id
        assert problem.entry == () or problem.entry[0] in problem.statement, problem.problem_id


def test_a_prompt_tells_no_hidden_case():
    for problem in PROBLEMS:
        text = json.dumps(render_prompt(problem, worked_example=False))
        assert problem.reference.strip() not in text
        for case in problem.hidden:
            if isinstance(case, StdinCase) and len(case.stdin) > 20 and case not in problem.visible:
                assert json.dumps(case.stdin)[1:-1] not in text, problem.problem_id


async def test_every_reference_scores_one():
    async with Sandbox() as sandbox:
        scorer = Scorer(Grader(sandbox), style=False)

        async def score(problem: Problem) -> tuple[str, dict[str, float]]:
            scores = await scorer.score(problem, f"```python\n{problem.reference}\n```", problem.problem_id)
            return problem.problem_id, {name: result.score for name, result in scores.items()}

        scores = dict(await asyncio.gather(*map(score, PROBLEMS)))
    assert {name: found for name, found in scores.items() if found != dict.fromkeys(WEIGHTS, 1.0)} == {}


async def test_every_reference_passes_the_visible_cases():
    async with Sandbox() as sandbox:
        grader = Grader(sandbox)
        grades = await asyncio.gather(*(grader.grade(p, p.reference, p.visible, p.problem_id) for p in PROBLEMS))
    assert [p.problem_id for p, grade in zip(PROBLEMS, grades, strict=True) if not grade.all_passed] == []


async def test_no_wrong_answer_passes():
    async with Sandbox() as sandbox:
        grader = Grader(sandbox)

        async def passes(problem: Problem, number: int) -> bool:
            return (await grader.grade(problem, problem.wrong[number], problem.hidden, problem.problem_id)).all_passed

        wrong = [(problem, number) for problem in PROBLEMS for number in range(len(problem.wrong))]
        passed = await asyncio.gather(*(passes(problem, number) for problem, number in wrong))
    assert [(p.problem_id, n) for (p, n), yes in zip(wrong, passed, strict=True) if yes] == []
