from __future__ import annotations

import subprocess
import sys

import pytest
from envport_code.answer import MAX_ANSWER_CHARS, STYLE_RULES, Answer, broken_style_rules, find_program

ADD = "def f(a, b):\n    return a + b\n"


def found(source, *, well_formed):
    return Answer(source, None, well_formed)


def refused(fault):
    return Answer("", fault, well_formed=False)


@pytest.mark.parametrize("mark", ["python", "py", "Python", "python3", " python ", ""])
def test_one_closed_block_of_python_is_well_formed(mark):
    assert find_program(f"Here it is:\n\n```{mark}\n{ADD}```\nDone.") == found(ADD, well_formed=True)


@pytest.mark.parametrize(
    "answer",
    [
        f"~~~python\n{ADD}~~~",
        f"````python\n{ADD}````",
        f"```python\n{ADD}`````",
        f"```python\r\n{ADD}```".replace("\n", "\r\n").replace("\r\r", "\r"),
        f"1. So:\n\n   ```python\n   {ADD.replace(chr(10), chr(10) + '   ').rstrip(' ')}   ```",
    ],
    ids=["tildes", "four backticks", "a longer closing fence", "CRLF", "an indented fence"],
)
def test_other_ways_of_fencing_are_read_alike(answer):
    assert find_program(answer) == found(ADD, well_formed=True)


def test_a_fence_inside_a_string_ends_nothing():
    source = 'def f(a, b):\n    """Adds.\n\n```\nf(1, 2)\n```\n    """\n    return a + b\n'
    assert find_program(f"```python\n{source}```") == found(source, well_formed=True)
    assert find_program(source) == found(source, well_formed=False)


def test_of_several_blocks_the_last_that_is_python_counts():
    other = "def g():\n    pass\n"
    assert find_program(f"```python\n{other}```\nbetter:\n```python\n{ADD}```") == found(ADD, well_formed=False)
    assert find_program(f"```python\n{ADD}```\nbetter:\n```python\ndef\n```") == found(ADD, well_formed=False)
    assert find_program(f"```python\n{ADD}```\nrun:\n```bash\nls\n```") == found(ADD, well_formed=False)
    assert find_program(f"```python\n{ADD}```\nIt prints:\n```\n3 apples\n```") == found(ADD, well_formed=False)


def test_a_block_that_is_never_closed_counts_where_no_other_does():
    assert find_program(f"So:\n```python\n{ADD}") == found(f"{ADD}\n", well_formed=False)
    assert find_program(f"```python\n{ADD}```\nand:\n```python\nx = 1") == found(ADD, well_formed=False)
    assert find_program("```python\ndef f(a, b):\n    return (a +") == refused(
        "the program is not Python: line 2: '(' was never closed; its block is never closed"
    )


def test_without_a_fence_the_whole_answer_counts_if_it_is_python():
    assert find_program(f"\n{ADD}\n\n") == found(ADD, well_formed=False)
    assert find_program("Sorry,\nI cannot do that.") == refused(
        "the answer has no ```python block; as a whole, the program is not Python: line 2: invalid syntax"
    )


def test_what_is_thought_does_not_count():
    block = f"```python\n{ADD}```"
    assert find_program(f"<think>Maybe\n```python\nx = 1\n```\n</think>\n{block}") == found(ADD, well_formed=True)
    assert find_program(f"it was opened by the prompt\n```python\n</think>{chr(10)}{block}") == found(
        ADD, well_formed=True
    )
    assert find_program(f"<think>{block}") == refused("the answer ends within its <think> part")


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("", "the answer is empty"),
        (" \n\t\n", "the answer is empty"),
        ("```python\n```", "the program is empty"),
        ("```python\nx = '\0'\n```", "the program has a NUL character"),
        ("```python\nx = '\ud800'\n```", "the program has half of a surrogate pair, which is no character"),
        ("```javascript\nlet x = 1\n```", "the block is marked javascript, not python"),
        ("```python\nx = 1\n\nreturn x +\n```", "the program is not Python: line 3: invalid syntax"),
        (f"```python\nx = {'-' * 5000}1\n```", "the program is nested too deeply"),
        (
            f"```python\nx = {'[' * 90}{'(' * 150}\n```",
            "the program is not Python: line 1: too many nested parentheses",
        ),
    ],
)
def test_what_holds_no_program_is_refused_with_the_reason(answer, fault):
    assert find_program(answer) == refused(fault)


def test_more_than_the_longest_answer_is_not_read():
    answer = f"```python\n{ADD}```"
    longest = answer + " " * (MAX_ANSWER_CHARS - len(answer))
    assert find_program(longest) == found(ADD, well_formed=True)
    assert find_program(f"{longest} ") == refused("the answer has 16,385 characters; at most 16,384 are read")
    assert find_program("x" * 10_000_000) == refused("the answer has 10,000,000 characters; at most 16,384 are read")
    assert find_program(f"<think>{'x' * 10_000_000}</think>{answer}") == found(ADD, well_formed=True)


def test_a_program_is_parsed_where_warnings_are_errors():
    program = (
        "from envport_code.answer import find_program; print(find_program(chr(39) + chr(92) + 'd' + chr(39)).fault)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("None\n", "")


def nested_finally(levels):
    tries = "".join(f"{' ' * n}try: pass\n{' ' * n}finally:\n" for n in range(1, levels + 1))
    return f"def f():\n{tries}{' ' * (levels + 1)}pass\n"


def returns_in_finally(count):
    inner = "   return\n" * count + "  finally:\n" + "   if a:return\n" * count
    return f"def f():\n try:\n  try:\n{inner} finally:\n" + "  a\n" * count


@pytest.mark.parametrize("source", [nested_finally(60), returns_in_finally(450)], ids=["nested", "cubic"])
def test_what_would_take_the_compiler_for_ever_is_only_parsed(source):
    # Compiled, the first doubles with each of its 60 levels, and the second has 90 million statements.
    assert find_program(f"```python\n{source}```") == found(source, well_formed=True)
    assert len(broken_style_rules(source)) < 6


def test_nothing_is_run(tmp_path):
    source = f"open({str(tmp_path / 'ran')!r}, 'w')\nraise SystemExit\n"
    assert find_program(f"```python\n{source}```") == found(source, well_formed=True)
    assert broken_style_rules(source) == []
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "piece",
    ["`", "```\n", "```python\n", "```python\nbad(\n```\n", "~~~\n```\n", "<think>", "</think>", "(", "a+", "-",
     "{1:", "f'{", "if 1:\n ", "lambda:", "'''", "\\\n", "\r", "\t```", "#", "[x for x in "],
)  # fmt: skip
def test_hostile_repetition_is_read_in_bounded_work(piece, monkeypatch):
    import envport_code.answer as module

    parsed = []
    real = module.python_fault
    monkeypatch.setattr(module, "python_fault", lambda source: parsed.append(len(source)) or real(source))
    answer = find_program(piece * (MAX_ANSWER_CHARS // len(piece)))
    assert (answer.source == "") != (answer.fault is None)
    assert sum(parsed) <= (1 + 1 + 2 + 3 + 4) * MAX_ANSWER_CHARS  # the whole, and each block with up to three more
    assert len(broken_style_rules(answer.source)) <= 6


@pytest.mark.parametrize(
    ("source", "broken"),
    [
        (ADD, 0),
        ("import os\n", 1),
        ("import os.path as p, sys\nfrom a import b\nprint(p, sys, b)\n", 0),
        ("from __future__ import annotations\nfrom os import *\n", 0),
        ("def f(list):\n    return list\n", 1),
        ("sum = 0\n", 1),
        ("for id in []:\n    pass\n", 1),
        ("class A:\n    def list(self):\n        return 1\n", 0),
        ("try:\n    pass\nexcept:\n    pass\n", 1),
        ("try:\n    pass\nexcept ValueError:\n    pass\n", 0),
        (f"x = '{'a' * 94}'\n", 0),
        (f"x = '{'a' * 95}'\n", 1),
        ("def f():\n    return 1\n    print(2)\n", 1),
        ("while True:\n    break\nelse:\n    raise ValueError\n    x = 1\n", 1),
        ("def f(n):\n    if n:\n        return 1\n    return 2\n", 0),
        ("def addTwo(a, b):\n    return a + b\n", 1),
        ("def __init__(a): ...\ndef _private_2(a): ...\n", 0),
        ("import os\ndef Bad(list):\n    try:\n        return 1\n        x = 2\n    except:\n        pass\n", 5),
    ],
)
def test_so_many_of_six_rules_of_style_are_broken(source, broken):
    assert len(STYLE_RULES) == 6
    assert len(broken_style_rules(source)) == broken


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ("import os\n", "an import is not used"),
        ("sum = 0\n", "a name is that of a builtin"),
        ("try:\n    pass\nexcept:\n    pass\n", "a bare except"),
        (f"x = '{'a' * 95}'\n", "a line of over 100 characters"),
        ("def f():\n    return 1\n    print(2)\n", "code that is never reached"),
        ("def addTwo(a, b):\n    return a + b\n", "a function's name is not in snake_case"),
    ],
)
def test_the_rule_that_is_broken_is_told(source, rule):
    assert broken_style_rules(source) == [rule]


@pytest.mark.parametrize(
    "source", ["", "def", "\0", "x = '\ud800'", "-" * 9000 + "1", "x = 1\n" * MAX_ANSWER_CHARS, "a+" * 30_000 + "a"]
)
def test_what_is_not_python_has_no_style(source):
    assert broken_style_rules(source) == list(STYLE_RULES)
