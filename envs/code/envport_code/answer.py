"""The program in a model's answer, and how it is written. Nothing here runs a program, or compiles it: it is parsed.

To compile is to trust: CPython writes a `finally` block down once for each way out of it, so that nested ones double
with each level, and 700 bytes take minutes and gigabytes. What only the compiler refuses, such as a `return` outside of
a function, is a program here, and does not load in the sandbox.

How the program is found, in this order:

1. Everything up to the last `</think>` is thought and does not count. A thought that never ends has no answer after it.
2. More than `MAX_ANSWER_CHARS` after the thought: no program, and nothing is parsed.
3. The whole answer, where it is Python as it stands.
4. Of the closed fenced blocks marked python or py, or not marked at all, the last one that is Python. A fence is three
   or more backticks or tildes at the start of a line, indented or not; its indentation is taken off the block. A block
   ends at the first line of as many of the same characters with which it is Python, so that a fence inside a
   string ends nothing.
5. A block that is opened and never closed, as when the answer was cut off, where the rest of the text is Python.

Well formed is an answer with exactly one fenced block, marked or not, that is closed and is the program.
"""

from __future__ import annotations

import ast
import builtins
import re
import warnings
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_ANSWER_CHARS: Final = 16_384
"""Of the answer after its thought. No program that answers a problem comes near."""

STYLE_RULES: Final = (
    "an import is not used",
    "a name is that of a builtin",
    "a bare except",
    "a line of over 100 characters",
    "code that is never reached",
    "a function's name is not in snake_case",
)
"""What breaks each of the rules of style, in words; `broken_style_rules` has the rules."""

_MAX_CLOSERS: Final = 4
"""How many closing fences are tried for a block that is not Python up to the first."""
_MAX_LINE_CHARS: Final = 100
_MAX_MESSAGE_CHARS: Final = 100
_PYTHON: Final = frozenset({"", "py", "py3", "python", "python3"})
_FENCE: Final = re.compile(r"([ \t]*)(`{3,}|~{3,})([^`]*)")
_SNAKE_CASE: Final = re.compile(r"_*[a-z0-9]+(_[a-z0-9]+)*_*")
_BUILTINS: Final = frozenset(name for name in dir(builtins) if not name.startswith("_"))
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)
_FILE: Final = "<answer>"

# Not by `catch_warnings` around each parse: it sets and restores the filters of all threads.
warnings.filterwarnings("ignore", module=re.escape(_FILE))


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found. Either there is a program, or `fault` says why not."""

    source: str
    """The program, parsed but not run; empty where there is none."""
    fault: str | None
    """Why there is no program, in words for the model."""
    well_formed: bool
    """The answer had the form that was asked for: one closed block that is Python."""


@dataclass(frozen=True, slots=True)
class _Block:
    text: str
    fault: str | None
    closed: bool


def find_program(completion: str) -> Answer:
    """The program in `completion`, by the rules above. Never raises.

    The whole is parsed, and blocks of it that overlap. Of the shapes tried at `MAX_ANSWER_CHARS` the worst, an f-string
    of thousands of fields, takes 0.05 s of computing for one parse and 0.2 s in all (Python 3.11). A parse holds the
    interpreter's lock, so in a thread it lets others in between two parses, and not within one.
    """
    answer = completion.rpartition("</think>")[2]
    if answer.lstrip().startswith("<think>"):
        return _no_program("the answer ends within its <think> part")
    if len(answer) > MAX_ANSWER_CHARS:
        return _no_program(f"the answer has {len(answer):,} characters; at most {MAX_ANSWER_CHARS:,} are read")
    if not answer.strip():
        return _no_program("the answer is empty")
    answer = answer.replace("\r\n", "\n").replace("\r", "\n")
    fault = python_fault(answer)
    if fault is None:
        return Answer(answer.strip("\n") + "\n", None, well_formed=False)
    return _last_program(answer.split("\n"), f"the answer has no ```python block; as a whole, {fault}")


def python_fault(source: str) -> str | None:
    """Why `source` is not Python; None where it is."""
    parsed = _parsed(source)
    return parsed if isinstance(parsed, str) else None


def broken_style_rules(source: str) -> list[str]:
    """What of STYLE_RULES `source` breaks; all for what is not Python or too long. Never raises.

    1. Every import is used.
    2. No variable, parameter, function or class has the name of a builtin.
    3. No bare `except:`.
    4. No line is longer than 100 characters.
    5. Nothing stands after a `return`, `raise`, `break` or `continue` of the same block.
    6. Functions have snake_case names.
    """
    parsed = _parsed(source) if len(source) <= MAX_ANSWER_CHARS else "too long"
    if isinstance(parsed, str):
        return list(STYLE_RULES)
    nodes = list(ast.walk(parsed))
    kept = (
        _imported(nodes) <= _read(nodes),
        _bound(nodes).isdisjoint(_BUILTINS),
        not any(isinstance(node, ast.ExceptHandler) and node.type is None for node in nodes),
        all(len(line) <= _MAX_LINE_CHARS for line in source.splitlines()),
        not any(_has_dead_code(node) for node in nodes),
        all(_SNAKE_CASE.fullmatch(node.name) for node in nodes if isinstance(node, _FUNCTIONS)),
    )
    return [rule for rule, is_kept in zip(STYLE_RULES, kept, strict=True) if not is_kept]


def _parsed(source: str) -> ast.Module | str:
    """The program, or why it is none."""
    if not source.strip():
        return "the program is empty"
    if "\0" in source:
        return "the program has a NUL character"
    try:
        return ast.parse(source, _FILE)
    except SyntaxError as error:
        return f"the program is not Python: line {error.lineno or 1}: {error.msg[:_MAX_MESSAGE_CHARS]}"
    except (RecursionError, MemoryError):
        return "the program is nested too deeply"
    except UnicodeEncodeError:
        return "the program has half of a surrogate pair, which is no character"
    except (ValueError, OverflowError):
        return "the program holds a value that Python refuses to read"


def _last_program(lines: list[str], fault: str) -> Answer:
    """The program in the last block that holds one; a closed block is preferred to a broken-off one."""
    blocks: list[_Block] = []
    index = 0
    while index < len(lines):
        fence = _FENCE.fullmatch(lines[index])
        index += 1
        if fence is not None:
            block, index = _read_block(lines, index, fence)
            blocks.append(block)
    backwards = blocks[::-1]
    for block in (*(b for b in backwards if b.closed), *(b for b in backwards if not b.closed)):
        if block.fault is None:
            return Answer(block.text, None, well_formed=len(blocks) == 1 and block.closed)
    faults = [block.fault for block in blocks if block.fault is not None]
    return _no_program(faults[-1] if faults else fault)


def _read_block(lines: list[str], start: int, fence: re.Match[str]) -> tuple[_Block, int]:
    """The block whose opening fence stands before line `start`, and the line after it."""
    indent, marks, language = fence.groups()
    first: tuple[_Block, int] | None = None
    for closer in islice(_closers(lines, start, marks), _MAX_CLOSERS):
        text = _without_indent(lines[start:closer], len(indent))
        fault = _block_fault(text, language)
        first = first or (_Block(text, fault, closed=True), closer + 1)
        if fault is None:
            return _Block(text, None, closed=True), closer + 1
        if language.strip().lower() not in _PYTHON:
            break
    if first is not None:
        return first
    text = _without_indent(lines[start:], len(indent))
    fault = _block_fault(text, language)
    return _Block(text, fault and f"{fault}; its block is never closed", closed=False), len(lines)


def _closers(lines: list[str], start: int, marks: str) -> Iterator[int]:
    for index in range(start, len(lines)):
        line = lines[index].strip()
        if len(line) >= len(marks) and line == marks[0] * len(line):
            yield index


def _block_fault(text: str, language: str) -> str | None:
    if language.strip().lower() not in _PYTHON:
        return f"the block is marked {language.strip()[:20]}, not python"
    return python_fault(text)


def _without_indent(lines: list[str], indent: int) -> str:
    """The lines without the fence's indentation, as far as they have it."""
    return "".join(line[min(indent, len(line) - len(line.lstrip(" \t"))) :] + "\n" for line in lines)


def _no_program(fault: str) -> Answer:
    return Answer("", fault, well_formed=False)


def _imported(nodes: list[ast.AST]) -> set[str]:
    """The names that imports bind, but for `from __future__` and `*`."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module != "__future__":
            names |= {alias.asname or alias.name for alias in node.names if alias.name != "*"}
    return names


def _read(nodes: list[ast.AST]) -> set[str]:
    """The names that are read anywhere."""
    return {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def _bound(nodes: list[ast.AST]) -> set[str]:
    """The names that are given by assignments, parameters, functions and classes; a class's own members are its own."""
    members = {id(member) for node in nodes if isinstance(node, ast.ClassDef) for member in node.body}
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, (*_FUNCTIONS, ast.ClassDef)) and id(node) not in members:
            names.add(node.name)
    return names


def _has_dead_code(node: ast.AST) -> bool:
    blocks = [getattr(node, name, None) for name in ("body", "orelse", "finalbody")]
    return any(
        isinstance(statement, (ast.Return, ast.Raise, ast.Break, ast.Continue))
        for block in blocks
        if isinstance(block, list)
        for statement in block[:-1]
    )
