"""Tasks by measured difficulty: those whose rewards varied when they were last tried come more often.

A group whose rewards are all equal teaches nothing, and for a reward of 0 or 1 with chance p the expected spread is
p (1 - p): most is learned from what is neither always nor never solved (2408.15099, section 4; DAPO, 2503.14476, finds
the same groups after they were sampled). As in prioritized level replay (2010.03934) a part of the draws goes to other
tasks, and what was measured long ago counts less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from envport_trainer.algorithm.advantages import has_spread

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

EXPLORE = 0.5
"""Share of draws that take the next task in turn, tried or not: the share of random levels in 2408.15099."""
FLOOR = 0.1
"""Weight of a task that teaches nothing, over the mean spread: eight equal rewards do not prove p = 0 or 1."""
HALF_LIFE_STEPS = 25.0
"""Weight updates after which a measure counts half: by then a small model has clearly changed."""
MAX_TASKS = 100_000
"""Tasks that are remembered; the one that was measured first goes first."""

Row = tuple[int, int, float, float]
"""Index, step, mean and spread of a task: what a checkpoint keeps."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What the rewards of a task were, the newest group counting most."""

    step: int
    """When it was measured last."""
    mean: float
    spread: float
    """Variance of the rewards; p (1 - p) where they are 0 or 1."""

    def kept(self, step: int) -> float:
        """How much of it counts at `step`: 1 when it is new, a half after a half-life."""
        return math.exp2(-max(0, step - self.step) / HALF_LIFE_STEPS)

    def with_newer(self, newer: Measure) -> Measure:
        """Mean and variance of both together: this one with half of what of it still counts, `newer` with the rest."""
        share = self.kept(newer.step) / 2
        mean = share * self.mean + (1 - share) * newer.mean
        between = share * (1 - share) * (newer.mean - self.mean) ** 2
        spread = share * self.spread + (1 - share) * newer.spread + between
        return Measure(max(self.step, newer.step), mean, spread)


class Difficulty:
    """What was measured of the tasks of one split, and draws by it. Depends on what it observed and on nothing else."""

    def __init__(self, max_tasks: int = MAX_TASKS) -> None:
        self._max_tasks = max_tasks
        self._measures: dict[int, Measure] = {}
        """By task, the one measured first in front."""
        self._table: tuple[int, list[int], list[float]] | None = None
        """Step, tasks and running sums of their weights, until something is observed."""

    def observe(self, index: int, step: int, rewards: Sequence[float]) -> None:
        """The rewards of a group of task `index` that began at `step`. One reward alone has no spread and tells
        nothing."""
        if len(rewards) < 2:
            return
        mean = math.fsum(rewards) / len(rewards)
        varied = has_spread(rewards)  # rounding is none
        spread = math.fsum((reward - mean) ** 2 for reward in rewards) / len(rewards) if varied else 0.0
        measured, earlier = Measure(step, mean, spread), self._measures.pop(index, None)
        self._measures[index] = measured if earlier is None else earlier.with_newer(measured)
        while len(self._measures) > self._max_tasks:
            del self._measures[next(iter(self._measures))]
        self._table = None

    def measure(self, index: int) -> Measure | None:
        """What is known of a task; None where it was not tried, or long ago."""
        return self._measures.get(index)

    def weights(self, step: int) -> dict[int, float]:
        """Of every task that was measured, by its spread; one measured long ago by the mean spread of all.

        weight = kept x spread + (1 - kept) x mean spread + FLOOR x mean spread
        """
        if not self._measures:
            return {}
        usual = math.fsum(measure.spread for measure in self._measures.values()) / len(self._measures)
        weights: dict[int, float] = {}
        for index, measure in self._measures.items():
            kept = measure.kept(step)
            weights[index] = kept * measure.spread + (1 - kept + FLOOR) * usual
        return weights

    def draw(self, step: int, chance: random.Random) -> int | None:
        """A task by its weight; None while no task is known to have a spread."""
        if self._table is None or self._table[0] != step:
            weights = self.weights(step)
            self._table = step, list(weights), list(accumulate(weights.values()))
        _, tasks, sums = self._table
        if not sums or sums[-1] <= 0:
            return None
        return chance.choices(tasks, cum_weights=sums)[0]

    def state(self) -> list[Row]:
        """All that it knows, JSON values, the task measured first in front."""
        return [(index, one.step, one.mean, one.spread) for index, one in self._measures.items()]

    def load_state(self, rows: Sequence[Sequence[float]]) -> None:
        """Know what `rows`, another's state, say, and no more."""
        self._measures = {int(index): Measure(int(step), mean, spread) for index, step, mean, spread in rows}
        self._table = None
