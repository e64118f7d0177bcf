"""The oracle's answers score best, and junk scores less."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from envport.check.definition import BrokenError, NotApplicableError, check
from envport.check.expectations import good
from envport.check.promises.rewards import TOLERANCE, is_equal, poor, scored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envport_protocol import EnvTask
    from envport_protocol.messages import Message

    from envport.check.probe import Probe
    from envport.check.rollout import Rollout

_GOLD_TASKS = 8
_POOR_TASKS = 3


@check(
    promise=2,
    expected="gold gets the most that the scored components can give together: the sum of the better of weight x max "
    "and weight x min",
    remedy="The oracle's answer is not the best by the environment's own reward: mend the oracle, the reward, or the "
    "declared ranges and weights.",
)
async def gold_scores_the_maximum(probe: Probe) -> str:
    """Scores the oracle's completion of several tasks, and compares with the declared maximum."""
    golden = await _golden(probe, _GOLD_TASKS)
    for gold in golden:
        best = _best(probe, gold.answer)
        if not is_equal(gold.answer["reward"], best):
            told = {name: part["score"] for name, part in gold.answer["rewards"].items()}
            raise BrokenError(f"gold of task {gold.number} gets {gold.answer['reward']}, of at most {best}: {told}")
    return f"gold of {len(golden)} tasks gets the maximum, {golden[0].answer['reward']:g} for the first"


@check(
    promise=2,
    expected="each gets less than gold of the same task",
    remedy="The reward can be had without the answer: make it depend on what only a solution has.",
)
async def poor_answers_score_below_gold(probe: Probe) -> str:
    """Scores nothing, the prompt itself, repetition, a huge text and junk JSON, and compares with gold."""
    highest = -math.inf
    for gold in await _golden(probe, _POOR_TASKS):
        for name, completion in poor(probe, _prompt(gold.rollout)):
            reward = (await scored(probe, await probe.start(gold.number), completion))["reward"]
            if reward is not None and reward >= gold.answer["reward"] - TOLERANCE:
                raise BrokenError(f"task {gold.number}: {name} gets {reward:g}, gold {gold.answer['reward']:g}")
            highest = max(highest, -math.inf if reward is None else reward)
    return f"at most {highest:g}"


@check(
    promise=2,
    expected="at most half way from the declared floor to gold's reward",
    remedy="An empty answer earns too much: let components that an empty text satisfies count only beside the others.",
)
async def empty_answer_scores_near_the_floor(probe: Probe) -> str:
    """Scores an empty completion of several tasks."""
    rewards: list[float | None] = []
    for gold in await _golden(probe, _POOR_TASKS):
        answer = await scored(probe, await probe.start(gold.number), "")
        floor = _bound(probe, answer, worst=True)
        half = (floor + gold.answer["reward"]) / 2
        if answer["reward"] is not None and answer["reward"] > half + TOLERANCE:
            raise BrokenError(f"task {gold.number}: an empty answer gets {answer['reward']:g}, half way is {half:g}")
        rewards.append(answer["reward"])
    return f"rewards {rewards}"


class Gold(NamedTuple):
    """The oracle's completion of a task, scored."""

    number: int
    rollout: Rollout
    answer: dict[str, Any]


async def own_task(probe: Probe, number: int) -> EnvTask:
    """The task as the environment's own code has it.

    Raises:
        NotApplicableError: there is no such code here, or it has no tasks.
    """
    if probe.truths is None:
        raise NotApplicableError("the environment's own code is not at hand; give its folder by --project")
    if not probe.splits:
        raise NotApplicableError("the environment has no tasks of its own")
    named = probe.task(number)
    return await probe.truths.task(named["split"], named["index"])


async def _golden(probe: Probe, how_many: int) -> list[Gold]:
    tasks = [await own_task(probe, number) for number in range(how_many)]
    assert probe.truths is not None
    if not probe.truths.has_oracle:
        raise NotApplicableError("the environment has no oracle, a method that gives a task's best completion")
    if not probe.manifest.get("rewards"):
        raise NotApplicableError("the environment declares no reward components, so no maximum")
    golden: list[Gold] = []
    for number, task in enumerate(tasks):
        await _compare(probe, number, task)
        rollout = await probe.start(number)
        answer = await scored(probe, rollout, await probe.truths.gold(task))
        if answer["reward"] is None:
            raise BrokenError(f"gold of task {number} is not scored: {answer['rewards']}")
        golden.append(Gold(number, rollout, answer))
    return golden


async def _compare(probe: Probe, number: int, task: EnvTask) -> None:
    named = probe.task(number)
    page = good(await probe.wire.get("/v1/tasks", split=named["split"], offset=named["index"], limit=1))
    served = {(message["role"], message["content"]) for message in page["tasks"][0]["messages"]}
    if not {(message.role, message.content) for message in cast("Sequence[Message]", task.messages)} <= served:
        raise NotApplicableError("the folder's tasks are not those that are served: another version, or other options")


def _prompt(rollout: Rollout) -> str:
    return "\n".join(message["content"] for message in good(rollout.started)["messages"])


def _best(probe: Probe, answer: dict[str, Any]) -> float:
    return _bound(probe, answer, worst=False)


def _bound(probe: Probe, answer: dict[str, Any], *, worst: bool) -> float:
    """The most, or the least, that the scored components can give together."""
    specs = {spec["name"]: spec for spec in probe.manifest["rewards"]}
    total = 0.0
    for name, part in answer["rewards"].items():
        if part["score"] is not None:
            if name not in specs:
                raise NotApplicableError(f"the environment declares no range for its reward component {name!r}")
            ends = [specs[name]["weight"] * specs[name][end] for end in ("min", "max")]
            total += min(ends) if worst else max(ends)
    return total
