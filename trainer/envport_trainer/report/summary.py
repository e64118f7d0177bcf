"""What a run came to, in a few numbers: for the top of the report, and for `--json`."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from envport_trainer.report.pairs import change_of, same_tasks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envport_trainer.report.run_data import RunData


@dataclass(frozen=True, slots=True)
class Measured:
    """A mean reward at a step, with half the width of its 95 % interval where that is known."""

    step: int
    reward: float
    ci95: float | None


@dataclass(frozen=True, slots=True)
class Change:
    """How the reward changed over the same held-out tasks; the interval is that of the differences."""

    mean: float
    ci95: float | None
    tasks: int
    before_step: int
    after_step: int


@dataclass(frozen=True, slots=True)
class Summary:
    """A run in a few numbers; None is not measured."""

    name: str
    steps: int
    planned_steps: int | None
    training: tuple[Measured, Measured] | None
    """First and last step."""
    held_out: tuple[Measured, Measured] | None
    """First and last evaluation."""
    change: Change | None
    seconds: float | None
    """Of all steps together, evaluations and checkpoints not counted."""
    rollouts_share: float | None
    """Of that time, how much went into rollouts."""
    sampled_tokens: float | None
    alarms: int

    def as_json(self) -> dict[str, Any]:
        """Its values; pairs have first and last."""
        return asdict(self)


def summarize(run: RunData) -> Summary:
    """The summary of a run."""
    planned = run.facts.get("config", {}).get("steps")
    seconds, rollouts_s = _total(run, "step_s"), _total(run, "rollouts_s")
    return Summary(
        name=run.name,
        steps=run.steps,
        planned_steps=planned if isinstance(planned, int) else None,
        training=_ends(run, "reward", run.reward_halves()),
        held_out=_ends(run, "eval/reward", dict(run.points("eval/reward_ci95"))),
        change=_change(run),
        seconds=seconds,
        rollouts_share=rollouts_s / seconds if seconds and rollouts_s is not None else None,
        sampled_tokens=_total(run, "sampled_tokens"),
        alarms=len(run.alarms),
    )


def _ends(run: RunData, metric: str, halves: Mapping[int, float]) -> tuple[Measured, Measured] | None:
    points = run.points(metric)
    if not points:
        return None

    def measured(step: int, value: float) -> Measured:
        return Measured(step, value, halves.get(step))

    return measured(*points[0]), measured(*points[-1])


def _change(run: RunData) -> Change | None:
    steps = run.end_steps("eval")
    if steps is None or steps[0] == steps[1]:
        return None
    change = change_of(same_tasks(*run.ends("eval")))
    if change.n == 0:
        return None
    ci95 = change.ci95 if math.isfinite(change.ci95) else None
    return Change(change.mean, ci95, change.n, *steps)


def _total(run: RunData, metric: str) -> float | None:
    values = [value for _, value in run.points(metric)]
    return math.fsum(values) if values else None
