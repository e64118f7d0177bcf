"""The tasks of an environment: each split asked for once, then pages and single tasks of it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from envport_protocol.calling import NamedCall, env_boundary, invoke
from envport_protocol.env import overrides
from envport_protocol.errors import EnvDefinitionError, EnvFailedError, UnknownTaskError
from envport_protocol.messages import Message, Split, Task
from envport_protocol.task import EnvTask, as_env_task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envport_protocol.env import BaseEnv


class TaskBook:
    """Access to the tasks by split and index, or by id."""

    def __init__(self, env: BaseEnv) -> None:
        self._env = env
        self._rows: dict[str, Sequence[Any]] = {}
        self._indexing: dict[str, asyncio.Task[dict[str, int]]] = {}
        """The index of ids of each split that was asked for, perhaps still being made."""

    async def open(self) -> None:
        """Asks the environment for all its splits.

        Raises:
            EnvDefinitionError, EnvFailedError: they are not sequences, the first row of a list is no task, or its
                code raised.
        """
        if not overrides(self._env, "tasks"):
            return
        tasks = NamedCall(self._env.tasks, {"split"}, (UnknownTaskError,))
        for name in await self._names():
            try:
                rows = await tasks({"split": name})
            except UnknownTaskError:
                if overrides(self._env, "splits"):
                    raise
                continue
            if not hasattr(rows, "__len__") or not hasattr(rows, "__getitem__"):
                raise EnvDefinitionError(
                    f"{tasks.what} gave {type(rows).__name__} for {name!r}; expected a sequence with a length and "
                    "access by index, like a list"
                )
            self._rows[name] = cast("Sequence[Any]", rows)
            if isinstance(rows, (list, tuple)) and self._rows[name]:
                await self.at(name, 0)  # a wrong form is told now, not in each rollout; lazy rows stay lazy

    @property
    def splits(self) -> list[Split]:
        """The splits with their sizes."""
        return [Split(name=name, size=len(rows)) for name, rows in self._rows.items()]

    async def page(self, split: str, offset: int, limit: int) -> tuple[list[EnvTask], int]:
        """At most `limit` tasks from `offset` on, and how many the split has.

        Raises:
            UnknownTaskError: no such split.
        """
        rows = self._split(split)
        indices = range(offset, min(offset + limit, len(rows)))
        tasks: list[EnvTask] = await invoke(lambda: [self._read(split, index) for index in indices], {})
        return tasks, len(rows)

    async def at(self, split: str, index: int) -> EnvTask:
        """One task.

        Raises:
            UnknownTaskError: no such split or index.
        """
        rows = self._split(split)
        if index >= len(rows):
            raise UnknownTaskError(f"the split {split!r} has {len(rows)} tasks, so no index {index}")
        task: EnvTask = await invoke(self._read, {"split": split, "index": index})
        return task

    async def find(self, task_id: str) -> EnvTask:
        """The task of this id. The first search reads every task once.

        Raises:
            UnknownTaskError: no split has it.
            EnvFailedError: two tasks of a split have one id.
        """
        for split in self._rows:
            index = (await self._ids(split)).get(task_id)
            if index is not None:
                return await self.at(split, index)
        known = ", ".join(f"{split.name} ({split.size})" for split in self.splits) or "none"
        raise UnknownTaskError(f"there is no task {task_id!r}; splits: {known}. GET /v1/tasks lists their ids")

    async def _names(self) -> list[str]:
        splits: Any = self._env.splits
        with env_boundary("splits"):
            return [str(name) for name in (await invoke(splits, {}) if callable(splits) else splits)]

    def _split(self, split: str) -> Sequence[Any]:
        rows = self._rows.get(split)
        if rows is None:
            known = ", ".join(self._rows) or "none: start a rollout by messages and ground_truth"
            raise UnknownTaskError(f"there is no split {split!r}; splits: {known}")
        return rows

    def _read(self, split: str, index: int) -> EnvTask:
        with env_boundary(f"reading task {index} of {split!r}", UnknownTaskError):
            row = self._rows[split][index]
            if not isinstance(row, EnvTask):
                row = self._env.dataset_preprocess(row)
            return as_env_task(row, f"{split}-{index}")

    async def _ids(self, split: str) -> dict[str, int]:
        # One reading for all who ask; it goes on when one of them gives up, so that a later one finds it done.
        indexing = self._indexing.get(split)
        if indexing is None:
            indexing = self._indexing[split] = asyncio.create_task(invoke(self._read_ids, {"split": split}))
            indexing.add_done_callback(partial(self._indexed, split))
        return await asyncio.shield(indexing)

    def _indexed(self, split: str, indexing: asyncio.Task[dict[str, int]]) -> None:
        if indexing.cancelled() or indexing.exception() is not None:
            del self._indexing[split]

    def _read_ids(self, split: str) -> dict[str, int]:
        ids: dict[str, int] = {}
        for index in range(len(self._rows[split])):
            task_id = self._read(split, index).task_id
            if task_id in ids:
                raise EnvFailedError(
                    f"tasks {ids[task_id]} and {index} of {split!r} both have the id {task_id!r}; ids must be unique"
                )
            ids[task_id] = index
        return ids


def public_task(task: EnvTask, split: str, index: int, messages: list[Message]) -> Task:
    """What a trainer may see of a task."""
    return Task(task_id=task.task_id, split=split, index=index, messages=messages, metadata=dict(task.metadata))
