"""Two models on the same tasks, task by task: the mean difference with its interval, and how likely chance alone is.

Everything is `model` minus `against`, so above 0 the first is better. A task that either side failed to score is in no
figure; how many those are is told.

`Comparison.as_json` is the shape that `envport eval --against` prints and writes:

    {"reward": DIFFERENCE, "rewards": {NAME: DIFFERENCE}, "metrics": {NAME: DIFFERENCE},
     "failed": {"model": 1, "against": 0, "either": 1}}

    DIFFERENCE = {"mean": 0.1, "se": 0.03, "ci95": 0.06, "low": 0.04, "high": 0.16, "n": 128,
                  "better": 20, "worse": 7, "equal": 101, "p": 0.02}
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from envport_trainer.errors import TrainerError
from envport_trainer.evaluation.result import Estimate
from envport_trainer.evaluation.student_t import t_quantile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from envport_trainer.evaluation.result import EvalResult, EvalRow, EvalWork

_EXACT_WORK = 2**21
_FLIPS = 9999
_GRAIN = 10**12
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """The mean of the differences of pairs, with its uncertainty."""

    mean: float
    se: float
    """Standard error of the differences: their sample standard deviation over the root of n; NaN below two."""
    n: int
    better: int
    """Pairs whose first value is the higher one."""
    worse: int
    equal: int
    p: float
    """Two-sided p-value of the sign-flip test, not corrected for how many are looked at; NaN from no pairs."""

    @property
    def ci95(self) -> float:
        """Half the width of the 95 % interval, by Student's t with n - 1 degrees of freedom."""
        return self.se * t_quantile(self.n - 1) if self.n > 1 else math.nan

    @classmethod
    def of(cls, pairs: Sequence[tuple[float, float]]) -> Self:
        """The difference of the first values to the second ones; NaN from none."""
        differences = [_difference(first, second) for first, second in pairs]
        estimate = Estimate.of(differences)
        better = sum(difference > 0 for difference in differences)
        worse = sum(difference < 0 for difference in differences)
        equal = len(differences) - better - worse
        return cls(estimate.mean, estimate.se, estimate.n, better, worse, equal, sign_flip_p(differences))

    def as_json(self) -> dict[str, float | int | None]:
        """Its values; null where there is none."""
        numbers = {
            "mean": self.mean,
            "se": self.se,
            "ci95": self.ci95,
            "low": self.mean - self.ci95,
            "high": self.mean + self.ci95,
            "p": self.p,
        }
        told = {name: value if math.isfinite(value) else None for name, value in numbers.items()}
        return told | {"n": self.n, "better": self.better, "worse": self.worse, "equal": self.equal}


@dataclass(frozen=True, slots=True)
class Comparison:
    """`model` minus `against` over the tasks that both scored."""

    reward: PairedDifference
    rewards: dict[str, PairedDifference]
    """Of each component's score, over the tasks where both have it."""
    metrics: dict[str, PairedDifference]
    failed_model: int
    """Tasks that `model` could not be scored on; they are in no figure."""
    failed_against: int
    failed_either: int
    """Tasks left out because one of the two, or both, could not be scored."""

    def as_json(self) -> dict[str, Any]:
        """JSON values, in the shape at the top of this file."""
        failed = {"model": self.failed_model, "against": self.failed_against, "either": self.failed_either}
        return {
            "reward": self.reward.as_json(),
            "rewards": {name: difference.as_json() for name, difference in self.rewards.items()},
            "metrics": {name: difference.as_json() for name, difference in self.metrics.items()},
            "failed": failed,
        }


def compare(model: EvalResult, against: EvalResult) -> Comparison:
    """The comparison of two results on the same tasks.

    Raises:
        TrainerError: they are of other tasks, seeds, limits or environments, or no task was scored by both.
    """
    differing = work_differences(model.work, against.work) or task_differences(model.rows, against.rows)
    if differing:
        raise not_comparable(differing)
    others = {row.index: row for row in against.rows}
    pairs = [(row, others[row.index]) for row in model.rows]
    scored = [(mine, other) for mine, other in pairs if mine.reward is not None and other.reward is not None]
    if not scored:
        raise TrainerError(f"none of {len(pairs)} tasks was scored for both models, so there is nothing to compare")
    return Comparison(
        reward=PairedDifference.of([(mine.reward or 0.0, other.reward or 0.0) for mine, other in scored]),
        rewards=_columns(scored, lambda row: row.rewards),
        metrics=_columns(scored, lambda row: row.metrics),
        failed_model=sum(row.reward is None for row in model.rows),
        failed_against=sum(row.reward is None for row in against.rows),
        failed_either=len(pairs) - len(scored),
    )


def work_differences(model: EvalWork, against: EvalWork) -> list[str]:
    """What was asked of one and not of the other, in words; empty where it was the same."""
    earlier = asdict(against)
    return [
        f"{name} is {value!r}, was {earlier[name]!r}" for name, value in asdict(model).items() if value != earlier[name]
    ]


def task_differences(model: Sequence[EvalRow], against: Sequence[EvalRow]) -> list[str]:
    """Tasks that are not the same on both sides, in words. A failed row may lack its task's id: its number stands."""
    if len(model) != len(against):
        return [f"{len(model)} tasks, were {len(against)}"]
    others = {row.index: row for row in against}
    if others.keys() != {row.index for row in model}:
        return ["the numbers of the tasks within the split"]
    changed = [
        f"task {row.index} is {row.task_id!r}, was {others[row.index].task_id!r}"
        for row in model
        if None not in (row.task_id, others[row.index].task_id) and row.task_id != others[row.index].task_id
    ]
    more = [f"and {len(changed) - _SHOWN} more tasks"] if len(changed) > _SHOWN else []
    return changed[:_SHOWN] + more


def not_comparable(differing: Sequence[str]) -> TrainerError:
    """The error on two results that were not asked the same."""
    return TrainerError(
        f"the two results are not of the same work: {'; '.join(differing)}. Evaluate both with the same environment, "
        "--split, --n, --seed and limits"
    )


def sign_flip_p(differences: Sequence[float]) -> float:
    """The share of sign patterns under which the sum is at least as far from 0 as it is.

    Where neither model is better, each difference is as likely with the other sign. All patterns are counted where
    their sums are few (20 differences, or any number of whole steps, as of rewards of 0 and 1); else 9999 are drawn,
    the same ones every time, and the pattern seen is one more (Phipson and Smyth 2010, 1603.05766).
    """
    largest = max((abs(difference) for difference in differences), default=math.nan)
    if not differences or largest == 0:
        return math.nan if not differences else 1.0
    signed = [round(difference / largest * _GRAIN) for difference in differences if difference]
    steps = [abs(step) for step in signed]
    limit = abs(sum(signed)) - len(steps)  # each step is rounded by at most half: equal sums stay equal
    counts = _sums(steps)
    if counts is not None:
        return sum(count for total, count in counts.items() if abs(total) >= limit) / (1 << len(steps))
    return _drawn_p(steps, limit)


def _sums(steps: Sequence[int]) -> dict[int, int] | None:
    """How many sign patterns give each sum; None where that is too much work."""
    counts, work = {0: 1}, 0
    for step in steps:
        work += 2 * len(counts)
        if work > _EXACT_WORK:
            return None
        following: defaultdict[int, int] = defaultdict(int)
        for total, count in counts.items():
            following[total + step] += count
            following[total - step] += count
        counts = dict(following)
    return counts


def _drawn_p(steps: Sequence[int], limit: int) -> float:
    draw = random.Random(0)  # noqa: S311 - a test of chance, guards nothing
    everything, as_far = sum(steps), 0
    for _ in range(_FLIPS):
        pattern = draw.getrandbits(len(steps))
        kept = sum(step for place, step in enumerate(steps) if pattern >> place & 1)
        as_far += abs(2 * kept - everything) >= limit
    return (as_far + 1) / (_FLIPS + 1)


def _difference(first: float, second: float) -> float:
    """Exactly 0 where the two differ by rounding alone."""
    return 0.0 if math.isclose(first, second, rel_tol=1e-9, abs_tol=1e-12) else first - second


def _columns(
    scored: Sequence[tuple[EvalRow, EvalRow]], values: Callable[[EvalRow], Mapping[str, float]]
) -> dict[str, PairedDifference]:
    pairs: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for mine, other in scored:
        for name in values(mine).keys() & values(other).keys():
            pairs[name].append((values(mine)[name], values(other)[name]))
    return {name: PairedDifference.of(pairs[name]) for name in sorted(pairs)}
