"""The measured values of a run so far, as spans with their uncertainty."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from envport_trainer.evaluation.student_t import errors_in_half

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Line = Mapping[str, float | None]

LARGEST = 1e100


class Change(NamedTuple):
    """How much a value changed, and the standard error of that."""

    gain: float
    error: float

    @property
    def sigmas(self) -> float:
        """`gain` in standard errors; infinite where there is no error, 0 where there is no gain."""
        if self.gain == 0:
            return 0.0
        return self.gain / self.error if self.error > 0 else math.copysign(math.inf, self.gain)


@dataclass(frozen=True, slots=True)
class Span:
    """Finite values of one name, each with its step and, where it was measured, its standard error (else 0)."""

    name: str
    steps: tuple[int, ...]
    values: tuple[float, ...]
    errors: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, part: slice) -> Span:
        return Span(self.name, self.steps[part], self.values[part], self.errors[part])

    def until(self, step: int) -> Span:
        """The values up to `step`, included."""
        return self[: sum(one <= step for one in self.steps)]

    @property
    def mean(self) -> float:
        """Of the values, of which there is at least one."""
        return average(self.values)

    @property
    def median(self) -> float:
        """Of the values, of which there is at least one."""
        return median(self.values)

    @property
    def error(self) -> float:
        """Standard error of `mean`: from the scatter of the values, and at least what their own errors give."""
        count, mean = len(self), self.mean
        squares = math.fsum((value - mean) ** 2 for value in self.values)
        scatter = math.sqrt(squares / (count - 1) / count) if count > 1 else 0.0
        return max(scatter, math.hypot(*self.errors) / count)

    @property
    def where(self) -> str:
        """`steps 3 to 12`"""
        first, last = self.steps[0], self.steps[-1]
        return f"step {first}" if first == last else f"steps {first} to {last}"


@dataclass(frozen=True, slots=True)
class History:
    """The lines of a run, one for each step in order. A value that is None, NaN or infinite counts as not measured."""

    lines: Sequence[Line]
    _spans: dict[str, Span] = field(default_factory=dict[str, "Span"], compare=False, repr=False)

    def span(self, name: str, error: str | None = None, *, tasks: str | None = None) -> Span:
        """The values of `name`, with `error` as their standard errors, or as halves of 95 % intervals of means
        over so many values as `tasks` says. Read off the lines once."""
        if name not in self._spans:
            self._spans[name] = self._read(name, error, tasks)
        return self._spans[name]

    def _read(self, name: str, error: str | None, tasks: str | None) -> Span:
        steps: list[int] = []
        values: list[float] = []
        errors: list[float] = []
        for line in self.lines:
            if (value := finite(line.get(name))) is not None:
                steps.append(int(line["step"] or 0))
                values.append(value)
                scale = errors_in_half(finite(line.get(tasks))) if tasks else 1.0
                errors.append((finite(line.get(error)) or 0.0) / scale if error and not math.isnan(scale) else 0.0)
        return Span(name, tuple(steps), tuple(values), tuple(errors))

    @property
    def reward(self) -> Span:
        """Mean reward of each step's rollouts."""
        return self.span("reward", "reward_se")

    @property
    def held_out(self) -> Span:
        """Mean reward of each evaluation; a 95 % interval is so many standard errors as its number of tasks says."""
        return self.span("eval/reward", "eval/reward_ci95", tasks="eval/reward_n")

    def components(self, prefix: str = "rewards/") -> list[Span]:
        """A span for each scored component, by name."""
        names = {name for line in self.lines for name in line if name.startswith(prefix)}
        return [self.span(name) for name in sorted(names)]


def finite(value: float | None) -> float | None:
    """The value; None where it is none, NaN, infinite or so large that sums of it would be."""
    return value if value is not None and abs(value) < LARGEST else None


def average(values: Sequence[float]) -> float:
    """Their mean; there is at least one."""
    return math.fsum(values) / len(values)


def change(before: Span, after: Span) -> Change:
    """From the mean of one span to that of another that does not overlap it."""
    return Change(after.mean - before.mean, math.hypot(before.error, after.error))


def trend(span: Span) -> Change:
    """The change over three or more values along the straight line of least squares.

    Its error takes the scatter around the line, and at least the values' own errors.
    """
    count, middle = len(span), average(span.steps)
    width_2 = sum((step - middle) ** 2 for step in span.steps)
    slope = sum((step - middle) * value for step, value in zip(span.steps, span.values, strict=True)) / width_2
    height = span.mean
    residuals = (value - height - slope * (step - middle) for step, value in zip(span.steps, span.values, strict=True))
    scatter = math.sqrt(sum(residual**2 for residual in residuals) / (count - 2))
    own = math.sqrt(average([error**2 for error in span.errors]))
    length = span.steps[-1] - span.steps[0]
    return Change(slope * length, max(scatter, own) / math.sqrt(width_2) * length)


def start_and_now(span: Span, window: int) -> tuple[Span, Span] | None:
    """The first `window` values and the last; None while they overlap."""
    return (span[:window], span[-window:]) if len(span) >= 2 * window else None


def earlier_windows(span: Span, window: int) -> list[Span]:
    """What the last `window` values may be compared with: the first ones, and those of 2, 4, 8, ... windows ago."""
    if len(span) < 2 * window:
        return []
    found, back = [span[:window]], 2 * window
    while back < len(span):
        found.append(span[-back : len(span) - back + window])
        back *= 2
    return found
