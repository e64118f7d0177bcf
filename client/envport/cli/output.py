"""What commands print: results on stdout, as a table for people or as JSON for programs; remarks on stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
"""The `--json` of every command that reports something."""


def print_json(value: Any) -> None:
    """One JSON document on stdout, keys in the order given, two spaces of indent."""
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode())


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str = "nothing") -> None:
    """A table on stdout, or the line `empty` when there are no rows. None shows as `-`; cells are never cut."""
    cells = [["-" if cell is None else printable(str(cell)) for cell in row] for row in rows]
    if not cells:
        print(empty)
        return
    widths = [max(len(row[i]) for row in [list(columns), *cells]) for i in range(len(columns))]
    for row in [list(columns), *cells]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def printable(text: str) -> str:
    """`text` on one line without control characters: what came over the network must not steer a terminal."""
    return "".join(char if char.isprintable() else " " for char in text).strip()


def remark(text: str) -> None:
    """One line for the person on stderr, so that stdout stays what a program can read."""
    print(printable(text), file=sys.stderr, flush=True)
