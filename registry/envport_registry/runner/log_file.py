"""The end of a log file, and its growth."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_TAIL_BYTES = 4 * 2**20
"""At most so much of a file's end is read."""
_PAUSE_S = 0.2


def last_lines(path: Path, lines: int) -> list[str]:
    """The last `lines` lines; none when there is no such file."""
    text, _ = _tail(path)
    return text.decode(errors="replace").splitlines()[-lines:] if lines else []


def follow_lines(path: Path, lines: int, is_growing: Callable[[], bool]) -> Iterator[str]:
    """The last `lines` lines, then each line that is added, until `is_growing` says no."""
    text, position = _tail(path)
    whole = text[: text.rfind(b"\n") + 1]
    yield from whole.decode(errors="replace").splitlines()[-lines:] if lines else []
    position -= len(text) - len(whole)
    while True:
        growing = is_growing()
        added = _read_from(path, position)
        end = added.rfind(b"\n") + 1 if growing else len(added)
        yield from added[:end].decode(errors="replace").splitlines()
        position += end
        if not growing:
            return
        time.sleep(_PAUSE_S)


def _tail(path: Path) -> tuple[bytes, int]:
    """The file's end and the position after it."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            text = file.read(_TAIL_BYTES)
            return text, file.tell()
    except FileNotFoundError:
        return b"", 0


def _read_from(path: Path, position: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(position)
            return file.read(_TAIL_BYTES)
    except FileNotFoundError:
        return b""
