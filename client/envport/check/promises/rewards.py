"""Honest scores: finite, in their ranges, added up as declared, the best for gold and less for junk."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from envport.check.definition import BrokenError, NotApplicableError, check
from envport.check.expectations import good
from envport.check.promises.exactly_once import group_body

if TYPE_CHECKING:
    from envport_protocol import EnvTask

    from envport.check.probe import Probe
    from envport.check.rollout import Rollout
    from envport.check.wire import Reply

_TOLERANCE = 1e-6
_GOLD_TASKS = 8
_POOR_TASKS = 3
_HUGE_CHARS = 200_000


@check(
    promise=2,
    expected="200 for each: text, messages, nothing at all, a very long one and broken JSON",
    remedy="compute_reward raised: it must score whatever a model may write. The server's log has the traceback.",
)
async def any_completion_can_be_scored(probe: Probe) -> str:
    """Asks for the rewards of completions as models write them, good and bad."""
    said = {"role": "assistant", "content": "An answer."}
    completions = ["An answer.", [said], [], *(text for _, text in _poor(probe, ""))]
    for completion in completions:
        await _scored(probe, await probe.start(), completion)
    return f"{len(completions)} completions, each scored"


@check(
    promise=2,
    expected="each score null or a finite number within its component's declared range",
    remedy="Correct the score or the declared range (RewardSpec, or @reward(min=…, max=…)); None means not scored.",
)
async def scores_lie_in_their_ranges(probe: Probe) -> str:
    """Compares the scores of several completions with the manifest's ranges."""
    seen: list[float] = []
    for number, (_, completion) in enumerate(_poor(probe, "An answer.")):
        answer = await _scored(probe, await probe.start(number), completion)
        seen += _check_ranges(probe, answer)
    return f"{len(seen)} scores from {min(seen):g} to {max(seen):g}" if seen else "nothing was scored"


@check(
    promise=2,
    expected="reward is the sum of weight x score over the scored components, null where none is; weights as declared",
    remedy="The server must add up the components by the weights that its manifest declares.",
)
async def reward_is_the_weighted_sum(probe: Probe) -> str:
    """Adds up the components of several rewards by hand."""
    weights = {spec["name"]: spec["weight"] for spec in probe.manifest.get("rewards", [])}
    told: list[float | None] = []
    for number, (_, completion) in enumerate(_poor(probe, "An answer.")):
        answer = await _scored(probe, await probe.start(number), completion)
        parts = answer["rewards"]
        wrong = [name for name, part in parts.items() if part["weight"] != weights.get(name, part["weight"])]
        if wrong:
            raise BrokenError(
                f"{wrong[0]!r} counts with weight {parts[wrong[0]]['weight']}, declared {weights[wrong[0]]}"
            )
        scored = [part["weight"] * part["score"] for part in parts.values() if part["score"] is not None]
        total = sum(scored) if scored else None
        if not _is_equal(answer["reward"], total):
            raise BrokenError(f"the reward is {answer['reward']!r}, and the sum of weight x score {total!r}: {parts}")
        told.append(answer["reward"])
    return f"rewards {told}"


@check(
    promise=2,
    expected="an answer for each member, in their order, each of the form of compute_reward",
    remedy="compute_group_reward must give one score for each member, in the order of the members.",
)
async def group_rewards_are_one_for_each_member(probe: Probe) -> str:
    """Asks for the rewards of a group of two and reads them."""
    probe.needs_version(1, 1)
    body = await group_body(probe)
    reply = await probe.wire.post("compute_group_reward", body)
    answers = _answer(probe, reply)["answers"]
    if len(answers) != len(body["members"]):
        raise BrokenError(f"{len(answers)} answers for {len(body['members'])} members")
    for answer in answers:
        _check_ranges(probe, answer)
    return f"rewards {[answer['reward'] for answer in answers]}"


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
        if not _is_equal(gold.answer["reward"], best):
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
        for name, completion in _poor(probe, _prompt(gold.rollout)):
            reward = (await _scored(probe, await probe.start(gold.number), completion))["reward"]
            if reward is not None and reward >= gold.answer["reward"] - _TOLERANCE:
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
        answer = await _scored(probe, await probe.start(gold.number), "")
        floor = _bound(probe, answer, worst=True)
        half = (floor + gold.answer["reward"]) / 2
        if answer["reward"] is not None and answer["reward"] > half + _TOLERANCE:
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
        rollout = await probe.start(number)
        told = [(message["role"], message["content"]) for message in good(rollout.started)["messages"]]
        asked = [(str(message.role), message.content) for message in task.messages]  # type: ignore[union-attr]
        if not set(asked) & set(told):
            raise NotApplicableError(
                "the folder's tasks are not those that are served: another version, or other options"
            )
        golden.append(Gold(number, rollout, await _scored(probe, rollout, await probe.truths.gold(task))))
    return golden


async def _scored(probe: Probe, rollout: Rollout, completion: Any) -> dict[str, Any]:
    if not isinstance(completion, str) and hasattr(completion, "__iter__"):
        completion = [part if isinstance(part, dict) else part.model_dump() for part in completion]
    return _answer(probe, await rollout.score(completion))


def _answer(probe: Probe, reply: Reply) -> dict[str, Any]:
    if reply.status == 500 and not probe.splits:
        raise NotApplicableError(
            "the environment has no tasks of its own, and fails on the ground truth that this check made up"
        )
    answer: dict[str, Any] = good(reply)
    return answer


def _poor(probe: Probe, prompt: str) -> list[tuple[str, str]]:
    """Completions that no reward should like, by their names."""
    huge = min(_HUGE_CHARS, probe.limits.get("max_body_bytes", _HUGE_CHARS) // 2)
    return [
        ("an empty answer", ""),
        ("the prompt itself", prompt),
        ("a word repeated", "the " * 200),
        ("a huge text", "x" * huge),
        ("junk JSON", '{"answer": [1, {"a": null'),
        ("an empty JSON object", "{}"),
    ]


def _prompt(rollout: Rollout) -> str:
    return "\n".join(message["content"] for message in good(rollout.started)["messages"])


def _check_ranges(probe: Probe, answer: dict[str, Any]) -> list[float]:
    specs = {spec["name"]: spec for spec in probe.manifest.get("rewards", [])}
    seen: list[float] = []
    for name, part in answer["rewards"].items():
        score, spec = part["score"], specs.get(name)
        if score is None:
            continue
        if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
            raise BrokenError(f"{name!r} scores {score!r}, which is no finite number")
        if spec and not spec["min"] - _TOLERANCE <= score <= spec["max"] + _TOLERANCE:
            raise BrokenError(f"{name!r} scores {score}, declared from {spec['min']} to {spec['max']}")
        seen.append(score)
    return seen


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


def _is_equal(first: float | None, second: float | None) -> bool:
    if first is None or second is None:
        return first is second
    return math.isclose(first, second, rel_tol=1e-6, abs_tol=_TOLERANCE)
