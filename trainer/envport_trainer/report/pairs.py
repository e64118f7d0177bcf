"""Rollouts from the beginning of a run next to those from its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from envport_trainer.evaluation.result import Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envport_trainer.recording.logged_rollout import LoggedRollout


class Pair(NamedTuple):
    """Two rollouts to be put side by side."""

    label: str
    before: LoggedRollout
    after: LoggedRollout

    @property
    def change(self) -> float:
        """Reward after minus reward before; both were scored."""
        assert self.before.reward is not None
        assert self.after.reward is not None
        return self.after.reward - self.before.reward


class MeanChange(NamedTuple):
    """The mean change of the reward over pairs; NaN where there are none."""

    mean: float
    ci95: float
    """Half the width of the 95 % interval of the differences, by Student's t with n - 1 degrees of freedom; NaN below
    two pairs."""
    n: int


def same_tasks(before: Sequence[LoggedRollout], after: Sequence[LoggedRollout]) -> list[Pair]:
    """The scored rollouts of tasks that both have, from the largest gain to the largest loss.

    A task is the same where its id and its environment are, by digest, or by URL where there is none. Of a task that
    was attempted more than once, as where two URLs serve one environment, the first attempt counts alone.
    """
    earlier, later = _first_of_each_task(before), _first_of_each_task(after)
    pairs = [Pair(rollout.task_id, earlier[task], rollout) for task, rollout in later.items() if task in earlier]
    return sorted(pairs, key=lambda pair: -pair.change)


def change_of(pairs: Sequence[Pair]) -> MeanChange:
    """Mean change of the reward over the same tasks: the interval of the differences, not of two means."""
    estimate = Estimate.of([pair.change for pair in pairs])
    return MeanChange(estimate.mean, estimate.ci95, estimate.n)


def chosen(pairs: Sequence[Pair], most: int) -> list[Pair]:
    """Up to `most` of pairs that are sorted by change, evenly spread from the largest gain to the largest loss."""
    if len(pairs) <= most:
        return list(pairs)
    return [pairs[round(place * (len(pairs) - 1) / (most - 1))] for place in range(most)]


def by_rank(before: Sequence[LoggedRollout], after: Sequence[LoggedRollout]) -> list[Pair]:
    """The best, median and worst rollout of each; their tasks differ."""
    first, last = _scored(before), _scored(after)
    if not first or not last:
        return []
    return [
        Pair(label, first[round(share * (len(first) - 1))], last[round(share * (len(last) - 1))])
        for label, share in (("best", 0.0), ("median", 0.5), ("worst", 1.0))
    ]


def _scored(rollouts: Sequence[LoggedRollout]) -> list[LoggedRollout]:
    scored = [(rollout.reward, rollout) for rollout in rollouts if rollout.reward is not None]
    return [rollout for _, rollout in sorted(scored, key=lambda one: -one[0])]


def _first_of_each_task(rollouts: Sequence[LoggedRollout]) -> dict[tuple[str, str], LoggedRollout]:
    first: dict[tuple[str, str], LoggedRollout] = {}
    for rollout in rollouts:
        if rollout.reward is not None:
            first.setdefault(_task(rollout), rollout)
    return first


def _task(rollout: LoggedRollout) -> tuple[str, str]:
    return rollout.env_digest or rollout.env, rollout.task_id
