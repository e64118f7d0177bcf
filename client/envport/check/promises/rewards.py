"""Honest scores: finite, in their ranges, and added up as declared."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from envport_protocol.messages import MAX_REASON_CHARS

from envport.check.definition import BrokenError, NotApplicableError, check
from envport.check.expectations import good
from envport.check.promises.exactly_once import group_body

if TYPE_CHECKING:
    from envport.check.probe import Probe
    from envport.check.rollout import Rollout
    from envport.check.wire import Reply

TOLERANCE = 1e-6
_HUGE_CHARS = 200_000


@check(
    promise=2,
    expected="200 for each: text, messages, nothing at all, a very long one and broken JSON",
    remedy="compute_reward raised: it must score whatever a model may write. The server's log has the traceback.",
)
async def any_completion_can_be_scored(probe: Probe) -> str:
    """Asks for the rewards of completions as models write them, good and bad."""
    said = {"role": "assistant", "content": "An answer."}
    completions = ["An answer.", [said], [], *(text for _, text in poor(probe, ""))]
    for completion in completions:
        await scored(probe, await probe.start(), completion)
    return f"{len(completions)} completions, each scored"


@check(
    promise=2,
    expected="each score null or a finite number within its component's declared range",
    remedy="Correct the score or the declared range (RewardSpec, or @reward(min=…, max=…)); None means not scored.",
)
async def scores_lie_in_their_ranges(probe: Probe) -> str:
    """Compares the scores of several completions with the manifest's ranges."""
    seen: list[float] = []
    for number, (_, completion) in enumerate(poor(probe, "An answer.")):
        answer = await scored(probe, await probe.start(number), completion)
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
    for number, (_, completion) in enumerate(poor(probe, "An answer.")):
        answer = await scored(probe, await probe.start(number), completion)
        parts = answer["rewards"]
        wrong = [name for name, part in parts.items() if part["weight"] != weights.get(name, part["weight"])]
        if wrong:
            raise BrokenError(
                f"{wrong[0]!r} counts with weight {parts[wrong[0]]['weight']}, declared {weights[wrong[0]]}"
            )
        shares = [part["weight"] * part["score"] for part in parts.values() if part["score"] is not None]
        total = sum(shares) if shares else None
        if not is_equal(answer["reward"], total):
            raise BrokenError(f"the reward is {answer['reward']!r}, and the sum of weight x score {total!r}: {parts}")
        told.append(answer["reward"])
    return f"rewards {told}"


@check(
    promise=2,
    expected=f"each reason null or text of at most {MAX_REASON_CHARS} characters",
    remedy="The server must take the middle out of a longer reason, and send text or null.",
)
async def reasons_are_short_text(probe: Probe) -> str:
    """Reads the reasons beside the scores of several completions."""
    lengths: list[int] = []
    for number, (_, completion) in enumerate(poor(probe, "An answer.")):
        answer = await scored(probe, await probe.start(number), completion)
        lengths += _check_reasons(answer)
    return f"{len(lengths)} reasons of up to {max(lengths)} characters" if lengths else "no score has a reason"


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
        _check_reasons(answer)
    return f"rewards {[answer['reward'] for answer in answers]}"


async def scored(probe: Probe, rollout: Rollout, completion: Any) -> dict[str, Any]:
    """The answer of compute_reward, which must be good.

    Raises:
        BrokenError: it is not.
        NotApplicableError: the environment has no tasks, and fails on the ground truth that was made up.
    """
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


def poor(probe: Probe, prompt: str) -> list[tuple[str, str]]:
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


def _check_ranges(probe: Probe, answer: dict[str, Any]) -> list[float]:
    specs = {spec["name"]: spec for spec in probe.manifest.get("rewards", [])}
    seen: list[float] = []
    for name, part in answer["rewards"].items():
        score, spec = part["score"], specs.get(name)
        if score is None:
            continue
        if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
            raise BrokenError(f"{name!r} scores {score!r}, which is no finite number")
        if spec and not spec["min"] - TOLERANCE <= score <= spec["max"] + TOLERANCE:
            raise BrokenError(f"{name!r} scores {score}, declared from {spec['min']} to {spec['max']}")
        seen.append(score)
    return seen


def _check_reasons(answer: dict[str, Any]) -> list[int]:
    """The lengths of the reasons, each of which must be text that is not too long."""
    reasons = {name: part.get("reason") for name, part in answer["rewards"].items()}
    for name, reason in reasons.items():
        if reason is not None and (not isinstance(reason, str) or len(reason) > MAX_REASON_CHARS):
            seen = f"text of {len(reason)} characters" if isinstance(reason, str) else repr(reason)
            raise BrokenError(f"the reason of {name!r} is {seen:.200}")
    return [len(reason) for reason in reasons.values() if reason is not None]


def is_equal(first: float | None, second: float | None) -> bool:
    """Whether two rewards are the same but for rounding; null equals only null."""
    if first is None or second is None:
        return first is second
    return math.isclose(first, second, rel_tol=1e-6, abs_tol=TOLERANCE)
