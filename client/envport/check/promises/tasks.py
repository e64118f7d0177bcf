"""Tasks stay what they are: their ids, their order and their pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from envport.check.definition import BrokenError, NotApplicableError, check
from envport.check.expectations import good, refused

if TYPE_CHECKING:
    from envport.check.probe import Probe

_FIRST = 200
_PAGE = 50


@check(
    promise=8,
    expected="the same tasks both times",
    remedy="Make the tasks of a split depend on nothing but the environment's version and its options.",
)
async def tasks_stay_the_same(probe: Probe) -> str:
    """Reads the first tasks of each split twice."""
    for split in _splits(probe):
        first, again = [await _page(probe, split, 0, _FIRST) for _ in range(2)]
        if first != again:
            raise BrokenError(f"two readings of {split!r} differ: {_difference(first['tasks'], again['tasks'])}")
    return f"twice the same in {', '.join(_splits(probe))}"


@check(
    promise=8,
    expected="no id twice in a split",
    remedy="Give each task an id of its own (EnvTask.task_id), or none: then split and index make one.",
)
async def task_ids_are_unique(probe: Probe) -> str:
    """Compares the ids of the first tasks of each split."""
    seen = 0
    for split in _splits(probe):
        ids = [task["task_id"] for task in (await _page(probe, split, 0, _FIRST))["tasks"]]
        twice = sorted({name for name in ids if ids.count(name) > 1 or not isinstance(name, str) or not name})
        if twice:
            raise BrokenError(f"{split!r} has the id {twice[0]!r} {ids.count(twice[0])} times")
        seen += len(ids)
    return f"{seen} ids, all different"


@check(
    promise=8,
    expected="pages join to the whole: each task at its index, total as the manifest says, nothing past the end",
    remedy="The environment's tasks must be a sequence: with a length, and the same task for the same index.",
)
async def pages_of_tasks_join(probe: Probe) -> str:
    """Reads each split in pages and as a whole, and past its end."""
    for split in _splits(probe):
        size = next(one.get("size") for one in probe.manifest["splits"] if one["name"] == split)
        whole = await _page(probe, split, 0, _FIRST)
        parts: list[Any] = []
        for offset in range(0, len(whole["tasks"]), _PAGE):
            parts += (await _page(probe, split, offset, _PAGE))["tasks"]
        if parts != whole["tasks"]:
            raise BrokenError(f"{split!r} in pages of {_PAGE}: {_difference(whole['tasks'], parts)}")
        if [task["index"] for task in parts] != list(range(len(parts))) or whole["total"] != size:
            raise BrokenError(f"{split!r} has total {whole['total']}, the manifest says {size}; or indices with gaps")
        if size is not None and (await _page(probe, split, size, 10))["tasks"]:
            raise BrokenError(f"{split!r} has tasks at offset {size}, past its end")
    return f"pages join in {', '.join(_splits(probe))}"


@check(
    promise=8,
    expected="the same messages as the task has in its page, whichever way it is named",
    remedy="The server must find the same task by its id and by its split and index.",
)
async def task_is_the_same_by_id_and_by_index(probe: Probe) -> str:
    """Starts a rollout by split and index, and one by the id of the same task."""
    split = _splits(probe)[0]
    task = (await _page(probe, split, 0, 1))["tasks"][0]
    by_index = good(await probe.ask_start({"rollout_id": probe.new_id(), "split": split, "index": 0}))
    by_id = good(await probe.ask_start({"rollout_id": probe.new_id(), "task_id": task["task_id"]}))
    ids = {task["task_id"], by_index["task_id"], by_id["task_id"]}
    if by_index["messages"] != by_id["messages"] or len(ids) != 1:
        raise BrokenError(f"by index {by_index['messages']!s:.150}, by id {by_id['messages']!s:.150}, ids {ids}")
    return f"{task['task_id']} both ways"


@check(
    promise=8,
    expected="404 unknown_task for each",
    remedy="The server must say that there is no such task, and not fail or make one up.",
)
async def unknown_tasks_are_not_found(probe: Probe) -> str:
    """Asks for a split, an index and an id that do not exist."""
    replies = [
        await probe.wire.get("/v1/tasks", split="envport-check-no-such-split"),
        await probe.ask_start({"rollout_id": probe.new_id(), "split": "envport-check-no-such-split", "index": 0}),
        await probe.ask_start({"rollout_id": probe.new_id(), "task_id": "envport-check-no-such-task"}),
    ]
    for split in probe.splits:
        if split.get("size") is not None:
            named = {"split": split["name"], "index": split["size"]}
            replies.append(await probe.ask_start({"rollout_id": probe.new_id(), **named}))
    for reply in replies:
        refused(reply, 404, "unknown_task")
    return f"404 for {len(replies)} requests"


def _splits(probe: Probe) -> list[str]:
    if not probe.splits:
        raise NotApplicableError("the environment has no tasks of its own")
    return [split["name"] for split in probe.splits]


async def _page(probe: Probe, split: str, offset: int, limit: int) -> dict[str, Any]:
    page: dict[str, Any] = good(await probe.wire.get("/v1/tasks", split=split, offset=offset, limit=limit))
    if page["offset"] != offset or len(page["tasks"]) > limit:
        raise BrokenError(
            f"{split!r} at offset {offset}: {len(page['tasks'])} tasks of {limit}, offset {page['offset']}"
        )
    return page


def _difference(first: list[Any], second: list[Any]) -> str:
    for one, other in zip(first, second, strict=False):
        if one != other:
            return f"{one!r:.150} and {other!r:.150}"
    return f"{len(first)} and {len(second)} tasks"
