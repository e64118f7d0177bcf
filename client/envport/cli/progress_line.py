"""One line on stderr that says what is being done now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from envport.cli.output import printable, remark

if TYPE_CHECKING:
    from types import TracebackType


class ProgressLine:
    """Call it with what is being done. On a terminal the line is replaced each time and gone at the end; elsewhere
    each new kind of work (the text before the first colon) is one line."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._status = self._console.status("")
        self._last_kind = ""

    def __enter__(self) -> ProgressLine:
        if self._console.is_terminal:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._status.stop()

    def __call__(self, line: str) -> None:
        line = printable(line)
        if self._console.is_terminal:
            text = Text(line, no_wrap=True, overflow="ellipsis")
            text.truncate(max(10, self._console.width - 4), overflow="ellipsis")
            self._status.update(text)
            return
        kind = line.partition(": ")[0].partition(", ")[0]
        if kind != self._last_kind:
            self._last_kind = kind
            remark(kind)
