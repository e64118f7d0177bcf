"""No answer tells a ground truth: neither of the environment's own tasks nor one that a trainer brought."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

from envport.check.definition import BrokenError, NotApplicableError, check
from envport.check.expectations import good, refused
from envport.check.promises.gold import own_task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envport.check.probe import Probe

_TASKS = 8
_FEWEST_TASKS = 3
_LONG_ENOUGH = 16
"""A shorter text may be in an answer by chance, or be one of the choices of a question."""


@check(
    promise=7,
    expected="the ground truth in no answer",
    remedy="The server or the environment repeats what a trainer brought: keep it out of messages, tools and errors.",
)
async def brought_truth_is_told_nowhere(probe: Probe) -> str:
    """Starts a rollout by messages and a ground truth of its own, uses it up to its end, and searches all answers."""
    truth = f"envport-check-{secrets.token_hex(16)}"
    messages = [{"role": "user", "content": "A question of a conformance check."}]
    rollout_id = probe.new_id()
    body = {"rollout_id": rollout_id, "messages": messages, "ground_truth": {"answer": [truth]}}
    await probe.ask_start(body)
    await probe.ask_start({**body, "no_such_field": 1})
    await probe.ask_start({**body, "seed": probe.seed + 1})
    for call in probe.calls(4):
        await probe.wire.post("run_tool", call.body(rollout_id, probe.new_id()))
    for more in ({"ground_truth": {"answer": truth}}, {}, {"ground_truth": truth, "no_such_field": 1}):
        await probe.wire.post("compute_reward", {"rollout_id": rollout_id, "completion": "An answer.", **more})
    await probe.wire.post("end_rollout", {"rollout_id": rollout_id})
    await probe.wire.get("/metrics")
    if found := probe.wire.archive.find(truth.encode()):
        raise BrokenError(f"{found} tells it")
    return "in no answer"


@check(
    promise=7,
    expected="no ground truth of these tasks in any answer of this run",
    remedy="Keep the answer in ground_truth or private of the task, and out of messages, metadata and tool texts.",
)
async def truths_of_tasks_are_told_nowhere(probe: Probe) -> str:
    """Reads tasks, uses rollouts of them up to their ends, and searches all answers for their ground truths."""
    forms: set[bytes] = set()
    for number in range(_TASKS):
        forms |= set(_forms((await own_task(probe, number)).ground_truth))
    if not forms:
        raise NotApplicableError("the tasks have no ground truth long enough to be told from chance")
    for split in probe.splits:
        await probe.wire.get("/v1/tasks", split=split["name"], limit=100)
    for number in range(_TASKS):
        rollout = await probe.start(number)
        for call in probe.calls(3):
            await rollout.run_tool(call)
        await rollout.score("An answer.")
    for form in forms:
        if found := probe.wire.archive.find(form):
            raise BrokenError(f"{found} tells the ground truth of a task ({len(form)} bytes of it)")
    return f"{len(forms)} forms of {_TASKS} truths in none of {len(probe.wire.archive.bodies)} answers"


@check(
    promise=7,
    expected="no field of the metadata is the ground truth in every task",
    remedy="Metadata is shown to trainers: move the answer to ground_truth or private.",
)
async def metadata_holds_no_truth(probe: Probe) -> str:
    """Compares each field of the metadata of several tasks with their ground truths."""
    named = probe.task(0)
    tasks = [await own_task(probe, number) for number in range(_TASKS)]
    truths = [task.ground_truth for task in tasks]
    if len({json.dumps(truth, default=str) for truth in truths}) < _FEWEST_TASKS:
        raise NotApplicableError(f"the first {_TASKS} tasks have fewer than {_FEWEST_TASKS} different ground truths")
    page = good(await probe.wire.get("/v1/tasks", split=named["split"], limit=_TASKS))["tasks"]
    fields = [dict(_leaves(task["metadata"])) for task in page]
    truths = truths[: len(fields)]
    for path in set.intersection(*(set(leaves) for leaves in fields)):
        if all(_is_same(leaves[path], truth) for leaves, truth in zip(fields, truths, strict=True)):
            raise BrokenError(f"metadata{path} is the ground truth in each of {len(fields)} tasks")
    return f"{len(fields)} tasks, {len(fields[0])} fields of metadata"


@check(
    promise=7,
    expected="422 invalid_request",
    remedy="The server must refuse a ground truth for a task whose own it knows.",
)
async def own_task_takes_no_other_truth(probe: Probe) -> str:
    """Asks for the reward of one of the environment's own tasks, with another ground truth."""
    if not probe.splits:
        raise NotApplicableError("the environment has no tasks of its own")
    rollout = await probe.start()
    refused(await rollout.score("An answer.", ground_truth="another"), 422, "invalid_request")
    refused(await probe.ask_start(probe.start_body(ground_truth="another")), 422, "invalid_request")
    return "422 invalid_request for the reward and for the start"


def _forms(truth: Any) -> Iterator[bytes]:
    """How a ground truth may be written in a body, as far as it is long enough not to be there by chance."""
    if isinstance(truth, str):
        texts = [json.dumps(truth)[1:-1], json.dumps(truth, ensure_ascii=False)[1:-1]]
    else:
        plain = [
            json.dumps(truth, separators=separators, ensure_ascii=is_ascii, default=str)
            for separators in ((",", ":"), (", ", ": "))
            for is_ascii in (True, False)
        ]
        texts = [*plain, *(json.dumps(text, ensure_ascii=False)[1:-1] for text in plain)]
    return (text.encode() for text in texts if len(text) >= _LONG_ENOUGH)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value in a JSON value with its path, containers too."""
    if path:
        yield path, value
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{number}]")


def _is_same(told: Any, truth: Any) -> bool:
    return told == truth or (isinstance(told, str) and told.strip() in (str(truth), json.dumps(truth, default=str)))
