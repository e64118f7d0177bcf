"""HumanEval's 164 problems: each reference scores 1, and no wrong or dishonest program does that its tests can tell."""

from __future__ import annotations

import asyncio

from envport_code.grading.grader import Grader
from envport_code.loaders import load_humaneval
from envport_code.scoring import Scorer
from envport_sandbox import Sandbox

from .mutations import CHEATS, WRONG, Mutant, cheats, judged, passes_plainly, wrong_programs

SAMPLED = 7
SAMPLED_CHEATS = 14
"""Mutants of a kind, spread over all problems; `python tests/envs/code/py` tries all."""


problems = load_humaneval()


def sample(mutants: list[Mutant], kinds: tuple[str, ...], count: int) -> list[Mutant]:
    chosen: list[Mutant] = []
    for kind in kinds:
        its = [mutant for mutant in mutants if mutant.kind == kind]
        assert len(its) >= count, kind
        chosen += its[len(its) // count // 2 :: len(its) // count][:count]
    return chosen


async def test_each_reference_scores_1():
    assert len(problems) == 164
    async with Sandbox(slots=4) as sandbox:
        scorer = Scorer(Grader(sandbox), style=False)
        scores = await asyncio.gather(
            *(scorer.score(p, f"```python\n{p.reference}\n```", p.problem_id) for p in problems)
        )
    right = {"tests_passed": 1.0, "all_passed": 1.0, "runs": 1.0, "format": 1.0}
    plain = [{name: result.score for name, result in its.items()} for its in scores]
    wrong = {p.problem_id: its for p, its in zip(problems, plain, strict=True) if its | right != its}
    assert wrong == {}


def test_the_oracle_tells_right_from_wrong():
    right = [Mutant("right", problem, problem.reference) for problem in problems]
    assert passes_plainly(right) == [True] * 164
    wrong = [Mutant("wrong", p, f"def {p.entry[0]}(*args): return 'wrong'") for p in problems]
    assert passes_plainly(wrong) == [False] * 164


async def test_a_wrong_program_scores_below_1_exactly_where_a_test_can_tell():
    chosen = sample(wrong_programs(problems), WRONG, SAMPLED)
    found = await judged(chosen)
    assert [one for one in found if not one.right] == []
    assert {one.passes_plainly for one in found} == {True, False}
    assert sum(one.reward < 1.0 for one in found) > len(chosen) / 2


async def test_a_dishonest_program_scores_below_1_always():
    found = await judged(sample(cheats(problems), CHEATS, SAMPLED_CHEATS))
    assert [one for one in found if not one.reward < 1.0] == []
