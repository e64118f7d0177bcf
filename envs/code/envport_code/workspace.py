"""The files of a rollout. They are kept here, as values, and lie in a folder only while a program of it runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from envport_protocol import ToolError
from envport_sandbox import Quota, QuotaError
from envport_sandbox.scratch import check_files

if TYPE_CHECKING:
    from collections.abc import Mapping

QUOTA: Final = Quota(total_mb=4, files=100)


class Workspace:
    """One rollout's files by relative path, within the quota."""

    def __init__(self, files: Mapping[str, bytes] | None = None) -> None:
        self.files: dict[str, bytes] = dict(files or {})
        self.turn = asyncio.Lock()
        """Held by each call that uses the files: a turn's calls come at once, and see each other's files in order."""

    def write(self, path: str, content: str) -> None:
        """
        Raises:
            ToolError: no path inside of the folder, or over the quota.
        """
        changed = self.files | {path: content.encode("utf-8", "replace")}
        try:
            check_files(changed, QUOTA)
        except QuotaError as error:
            raise ToolError(f"The file was not written: {error}.") from error
        self.files = changed

    def read(self, path: str) -> str:
        """
        Raises:
            ToolError: there is no such file.
        """
        content = self.files.get(path.removeprefix("./"))
        if content is None:
            known = ", ".join(sorted(self.files)[:20]) or "none"
            raise ToolError(f"There is no file {path[:100]!r}. Files: {known}.")
        return content.decode(errors="replace")

    def listing(self) -> str:
        """A line a file: its size in bytes and its path."""
        return "\n".join(f"{len(content):>9,} {path}" for path, content in sorted(self.files.items())) or "(no files)"
