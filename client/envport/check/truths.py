"""The environment's own code: what its tasks hold and a server must not tell, and its oracle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from envport_protocol import BaseEnv
from envport_protocol.calling import invoke
from envport_protocol.hosting.taskbook import TaskBook
from envport_protocol.project import load_env

if TYPE_CHECKING:
    from pathlib import Path

    from envport_protocol import EnvTask


class Truths:
    """The tasks of an environment as its author made them. Enter its `of` once; it is only read afterwards."""

    def __init__(self, env: BaseEnv, book: TaskBook) -> None:
        self._book = book
        self._oracle: Any = getattr(env, "oracle", None)

    @classmethod
    async def of(cls, env: BaseEnv | Path) -> Truths:
        """Those of an environment, or of the one in this folder.

        Raises:
            EnvportError: its code cannot be loaded, or its tasks cannot be read.
        """
        made = env if isinstance(env, BaseEnv) else load_env(env)
        book = TaskBook(made)
        await book.open()
        return cls(made, book)

    @property
    def has_oracle(self) -> bool:
        """Whether the author wrote one."""
        return callable(self._oracle)

    async def task(self, split: str, index: int) -> EnvTask:
        """One task, ground truth and all.

        Raises:
            EnvportError: there is no such one.
        """
        return await self._book.at(split, index)

    async def gold(self, task: EnvTask) -> Any:
        """The oracle's completion: text or messages."""
        return await invoke(self._oracle, {"task": task})
