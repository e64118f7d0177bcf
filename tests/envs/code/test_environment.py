"""The environment behind a real server: tools, files, rewards, and what it does with bad input."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from envport import Rollout, connect
from envport_code import CodeEnv
from envport_code.errors import OptionError, TaskFileError
from envport_code.problems.catalogue import own_problems
from envport_code.scoring import reward_specs
from envport_protocol import UnknownTaskError, load_project
from envport_protocol.errors import EnvDefinitionError
from envport_sandbox import InfrastructureError

FOLDER = Path(__file__).parents[3] / "envs" / "code"
NOTHING = {"tests_passed": 0.0, "all_passed": 0.0, "runs": 0.0, "format": 0.0, "efficiency": 0.0}


def text_of(answer) -> str:
    return "".join(block.text for block in answer.content)


async def use(rollout: Rollout, tool: str, **arguments: object) -> str:
    return text_of(await rollout.run_tool(tool, arguments))


@pytest.fixture
def problem():
    return next(problem for problem in own_problems() if problem.level == 1 and problem.entry)


@pytest.fixture
async def rollout(serve_env, problem):
    url = serve_env(CodeEnv(eval_share=0, slots=2))
    async with connect(url) as env, await env.start_rollout(task_id=problem.problem_id) as started:
        yield started


def test_the_folder_declares_what_its_container_needs():
    config = load_project(FOLDER)
    assert (config.resources.network, config.resources.scratch_folders, config.resources.shm_mb) == (False, 8, 1)


def test_splits_share_no_problem_and_levels_can_be_chosen():
    env = CodeEnv()
    train, held_out = ({task.task_id for task in env.tasks(split)} for split in env.splits())
    assert train & held_out == set()
    assert train | held_out == {problem.problem_id for problem in own_problems()}
    assert 0.1 < len(held_out) / len(train | held_out) < 0.4
    hard = CodeEnv(level=3)
    assert {task.metadata["level"] for split in hard.splits() for task in hard.tasks(split)} == {3}


def test_procedural_tasks_never_run_out():
    env = CodeEnv("procedural", train_tasks=10**9, eval_tasks=5, level=2)
    assert len(env.tasks("train")) == 10**9
    assert env.tasks("train")[10**9 - 1].task_id == "procedural/train-2-0-999999999"
    mixed = CodeEnv("procedural")
    assert [task.metadata["level"] for task in mixed.tasks("train")[:4]] == [1, 2, 3, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": 4}, "level is 4; expected 1, 2 or 3"),
        ({"eval_share": 2}, "eval_share is 2; expected a number from 0 to 1"),
        ({"train_tasks": 0}, "train_tasks is 0; expected a whole number from 1"),
        ({"slots": 0}, "slots is 0; expected a whole number from 1 to 64"),
        ({"slots": True}, "slots is True"),
        ({"cpu_s": 0}, "cpu_s is 0; expected a number above 0"),
        ({"cpu_s": -1}, "cpu_s is -1; expected a number above 0"),
        ({"memory_mb": "much"}, "memory_mb is 'much'; expected a whole number above 0"),
        ({"tools": "no"}, "tools is 'no'; expected true or false"),
        ({"worked_example": 1}, "worked_example is 1; expected true or false"),
        ({"seed": "x"}, "seed is 'x'; expected a whole number"),
        ({"data": "mine.jsonl"}, "data is given, and problems is 'own', which reads no file"),
        ({"problems": "nope"}, "problems is 'nope'; expected one of own, procedural, problems, humaneval"),
        ({"isolation": "hope"}, "isolation is 'hope'; expected 'process' or 'container'"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], message: str):
    with pytest.raises(OptionError, match=message):
        CodeEnv(**options)


def test_a_file_of_problems_that_cannot_be_used_is_refused(tmp_path: Path):
    (tmp_path / "broken.jsonl").write_text(
        '{"id": "a", "statement": "s", "hidden": [{"stdin": "", "stdout": ""}]}\n{"id"'
    )
    with pytest.raises(TaskFileError, match=r"broken.jsonl:2: not JSON"):
        CodeEnv("problems", data=str(tmp_path / "broken.jsonl"))


def test_of_few_problems_one_is_held_out(tmp_path: Path):
    row = '{"id": "a/%d", "statement": "s", "hidden": [{"stdin": "", "stdout": ""}]}'
    (tmp_path / "two.jsonl").write_text("\n".join(row % number for number in range(2)))
    env = CodeEnv("problems", data=str(tmp_path / "two.jsonl"))
    assert (env.splits(), len(env.tasks("train")), len(env.tasks("eval"))) == (["train", "eval"], 1, 1)


def test_a_file_is_checked_by_its_references(tmp_path: Path):
    rows = (
        '{"id": "a/right", "statement": "s", "entry": "f", "hidden": [{"args": [2], "gives": 4}],'
        ' "reference": "def f(x): return 2 * x"}\n'
        '{"id": "a/wrong", "statement": "s", "entry": "g", "hidden": [{"args": [2], "gives": 4}],'
        ' "reference": "def f(x): return 2 * x"}\n'
        '{"id": "a/none", "statement": "s", "hidden": [{"stdin": "", "stdout": ""}]}\n'
    )
    (tmp_path / "mine.jsonl").write_text(rows)
    command = [sys.executable, "-m", "envport_code", str(tmp_path / "mine.jsonl")]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (checked.returncode, checked.stdout.splitlines()) == (
        1,
        [
            "a/wrong: its reference fails 1 of 1 cases; hidden case 1: raised an exception. "
            "NameError: the program defines no 'g'",
            "a/none: it has no reference, so nothing shows that its tests can be passed",
        ],
    )


def test_an_unknown_split_is_told():
    with pytest.raises(UnknownTaskError, match="there is no split 'test'; the splits are train, eval"):
        CodeEnv().tasks("test")


def test_weights_add_up_to_one():
    for style in (False, True):
        assert sum(spec.weight for spec in reward_specs(style=style)) == pytest.approx(1.0)


async def test_a_program_is_run_and_its_files_persist(rollout: Rollout):
    assert (
        await use(rollout, "run_python", code="print(input() * 2); open('a.txt', 'w').write('kept')", stdin="ab\n")
        == "abab"
    )
    assert await use(rollout, "run_python", code="print(open('a.txt').read())") == "kept"
    assert await use(rollout, "list_files") == "        4 a.txt"
    assert await use(rollout, "read_file", path="a.txt") == "kept"
    assert await use(rollout, "write_file", path="data/in.csv", content="1,2\n") == "Wrote 4 characters to data/in.csv."
    assert await use(rollout, "run_python", code="print(open('data/in.csv').read().strip())") == "1,2"
    assert await use(rollout, "run_python", code="import os; os.remove('a.txt')") == "(no output)"
    assert await use(rollout, "list_files") == "        4 data/in.csv"


async def test_the_calls_of_one_turn_see_each_others_files_in_their_order(rollout: Rollout):
    slow = "import time; time.sleep(0.3); open('a.txt', 'w').write('slow')"
    said = await asyncio.gather(
        use(rollout, "run_python", code=slow),
        use(rollout, "write_file", path="b.txt", content="written"),
        use(rollout, "run_python", code="print(open('a.txt').read(), open('b.txt').read())"),
        use(rollout, "list_files"),
    )
    assert said[2:] == ["slow written", "        4 a.txt\n        7 b.txt"]


async def test_one_rollout_does_not_see_the_files_of_another(serve_env, problem):
    url = serve_env(CodeEnv(eval_share=0))
    async with connect(url) as env:
        first = await env.start_rollout(task_id=problem.problem_id)
        second = await env.start_rollout(task_id=problem.problem_id)
        await use(first, "write_file", path="mine", content="x")
        assert await use(second, "list_files") == "(no files)"
        fork = await first.fork()
        await use(first, "write_file", path="later", content="y")
        assert await use(fork, "list_files") == "        1 mine"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero\n(exit status 1)"),
        ("while True: pass", "(stopped: it ran longer than 1 s of computing or 2 s in all)"),
        ("x = 'a' * 10**10", "(stopped: it needed more than 256 MiB of memory)"),
        ("while True: print('y' * 500)", "(stopped: it printed more than 1024 KiB)"),
        (
            "for n in range(1000): open(str(n), 'w').close()",
            "(its files were not kept: it left more than 100 files or folders",
        ),
        ("import os; os.kill(os.getpid(), 15)", "(ended by signal 15)"),
        ("def f(: pass", "SyntaxError: invalid syntax\n(exit status 1)"),
        ("\0", "source code string cannot contain null bytes\n(exit status 1)"),
    ],
)
async def test_how_a_program_failed_is_told(serve_env, problem, code: str, said: str):
    url = serve_env(CodeEnv(eval_share=0, cpu_s=1, memory_mb=256))
    async with connect(url) as env, await env.start_rollout(task_id=problem.problem_id) as rollout:
        assert said in await use(rollout, "run_python", code=code)
        assert await use(rollout, "run_python", code="print(1)") == "1"
        assert await use(rollout, "list_files") == "(no files)"


async def test_the_middle_of_long_output_is_left_out(rollout: Rollout):
    shown = await use(rollout, "run_python", code="print('a' * 50_000 + 'b' * 50_000)")
    assert len(shown) < 4100
    assert shown.startswith("aaa")
    assert "… [96,001 characters left out] …" in shown
    assert shown.endswith("bbb")


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        (
            "run_python",
            {"code": "#" * 2_000_000},
            "The code has 2,000,000 characters; at most 1,048,576 bytes are taken.",
        ),
        ("run_tests", {"code": "#" * 20_000}, "The code has 20,000 characters; at most 16,384 bytes are taken."),
        ("write_file", {"path": "../x", "content": ""}, "is no path inside of the folder"),
        ("write_file", {"path": "/etc/passwd", "content": ""}, "is no path inside of the folder"),
        ("write_file", {"path": "big", "content": "x" * 3_000_000}, None),
        ("read_file", {"path": "nothing"}, "There is no file 'nothing'. Files: none."),
        ("read_file", {"path": "../../etc/passwd"}, "There is no file '../../etc/passwd'."),
    ],
)
async def test_a_bad_call_is_told_to_the_model(
    rollout: Rollout, tool: str, arguments: dict[str, object], said: str | None
):
    answer = await rollout.run_tool(tool, arguments)
    if said is None:
        assert answer.outcome == "ok"
        answer = await rollout.run_tool(tool, {"path": "more", "content": "x" * 3_000_000})
        said = "The file was not written: 6,000,000 bytes of files; a folder holds at most 4 MiB."
    assert answer.outcome == "tool_error"
    assert said in text_of(answer)


async def test_a_body_of_ten_megabytes_is_refused_by_the_server(rollout: Rollout):
    with pytest.raises(Exception, match=r"413|large|bytes"):
        await rollout.run_tool("run_python", {"code": "#" * 10_000_000})
    assert await use(rollout, "run_python", code="print(1)") == "1"


async def test_visible_tests_are_run_and_hidden_ones_are_not_told(rollout: Rollout, problem):
    right = await use(rollout, "run_tests", code=problem.reference)
    assert right.startswith(f"{len(problem.visible)} of {len(problem.visible)} visible tests passed.")
    broken = await use(rollout, "run_tests", code="raise ValueError('odd')")
    assert f"0 of {len(problem.visible)} visible tests passed." in broken
    assert "failed (the program did not load)" in broken
    assert "ValueError: odd" in broken


ODD = "\\ud800 \\x00 \\x1b[31m"


@pytest.mark.parametrize(
    "does",
    [
        f"raise ValueError('{ODD}')",
        f"return '{ODD}'",
        "import json, os; frame = json.dumps({'raised': ODD, 'bases': [], 'message': ODD}).encode();"
        " os.write(4, len(frame).to_bytes(4, 'big') + frame)".replace("ODD", f"'{ODD}'"),
        "import json, os; frame = json.dumps({'unsendable': ODD}).encode();"
        " os.write(4, len(frame).to_bytes(4, 'big') + frame)".replace("ODD", f"'{ODD}'"),
    ],
)
async def test_what_a_program_says_can_always_be_told(rollout: Rollout, problem, does: str):
    told = await use(rollout, "run_tests", code=f"def {problem.entry[0]}(*args):\n    {does}\n")
    assert told.startswith(f"0 of {len(problem.visible)} visible tests passed.")
    assert not set(told) & {"\x00", "\x1b", "\ud800"}


async def test_a_server_whose_sandbox_cannot_start_says_so():
    env = CodeEnv()

    async def refuse() -> None:
        raise InfrastructureError("no place for folders")

    env._sandbox.start = refuse
    with pytest.raises(EnvDefinitionError, match="no program is run here: no place for folders"):
        await env.start_serving()


async def test_a_long_answer_is_scored_too(rollout: Rollout, problem):
    scored = await rollout.compute_reward(f"```python\n{problem.reference}\n{'# more' * 1000}\n```")
    assert scored.rewards["tests_passed"].score == 1.0


async def test_right_and_wrong_answers_are_scored(rollout: Rollout, problem):
    right = await rollout.compute_reward(f"```python\n{problem.reference}\n```")
    assert {name: found.score for name, found in right.rewards.items()} == dict.fromkeys(NOTHING, 1.0)
    assert right.reward == pytest.approx(1.0)


async def test_parts_of_an_answer_earn_parts(serve_env, problem):
    url = serve_env(CodeEnv(eval_share=0, style=True))

    async def scored(completion: str) -> dict[str, float]:
        async with connect(url) as env, await env.start_rollout(task_id=problem.problem_id) as rollout:
            rewards = (await rollout.compute_reward(completion)).rewards
            return {name: found.score for name, found in rewards.items()}

    nothing = NOTHING | {"style": 0.0}
    assert await scored("") == nothing
    assert await scored("I do not know.") == nothing
    assert await scored("```python\ndef f(:\n```") == nothing
    assert await scored("```python\nx = 1\n```") == nothing | {"format": 1.0}
    unfenced = await scored(problem.reference)
    assert (unfenced["tests_passed"], unfenced["all_passed"], unfenced["format"]) == (1.0, 1.0, 0.0)
    assert unfenced["style"] > 0.5
    wrong = await scored(f"```python\n{problem.wrong[0]}\n```")
    assert 0 <= wrong["tests_passed"] < 1
    assert (wrong["all_passed"], wrong["efficiency"], wrong["style"], wrong["format"]) == (0.0, 0.0, 0.0, 1.0)


async def test_an_answer_slower_than_the_reference_earns_less(serve_env, problem):
    slow = problem.reference + "\nfor _ in range(10**7): pass\n"
    url = serve_env(CodeEnv(eval_share=0))
    async with connect(url) as env, await env.start_rollout(task_id=problem.problem_id) as rollout:
        scores = (await rollout.compute_reward(f"```python\n{slow}\n```")).rewards
    assert scores["all_passed"].score == 1.0
    assert 0 < scores["efficiency"].score < 0.5


async def test_without_tools_there_are_none(serve_env):
    async with connect(serve_env(CodeEnv(tools=False))) as env:
        assert await env.list_tools() == []
