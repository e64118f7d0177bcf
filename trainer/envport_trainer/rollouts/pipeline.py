"""Groups of rollouts on their way to the trainer.

A group begins as soon as there is room for it, is played to its end whatever others do, and is given to the trainer
with others that are whole. Room is `wanted` groups for the step that waits and as many for each weight update that may
come between the start of a group and its own (`max_staleness`). Groups that became older than that are dropped.

Without staleness the pipeline is empty while the weights change, and what a step gets depends on the task stream alone,
not on which rollout came first: a group that taught nothing is replaced by the next of the stream, and a step's groups
stand in the stream's order.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from envport_trainer.algorithm.advantages import has_spread
from envport_trainer.errors import RolloutFailedError
from envport_trainer.rollouts.tasks import GroupPlan
from envport_trainer.types import Finish, Trajectory

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from envport.client import EnvClient

    from envport_trainer.rollouts.playing import RolloutSpec
    from envport_trainer.rollouts.tasks import TaskStream

    Play = Callable[[EnvClient, Sequence[RolloutSpec]], Awaitable[list[Trajectory | RolloutFailedError]]]


@dataclass(slots=True)
class StepRollouts:
    """The rollouts of one training step."""

    groups: list[list[Trajectory]] = field(default_factory=list[list[Trajectory]])
    """Groups with a spread of rewards, in the order in which they began."""
    flat: list[Trajectory] = field(default_factory=list[Trajectory])
    """Rollouts that are counted and not trained on: of groups whose rewards were all equal, and truncated ones where
    these are dropped."""
    stale: list[Trajectory] = field(default_factory=list[Trajectory])
    """Rollouts of groups that came too late."""
    stale_groups: int = 0
    """Groups that were dropped for their age, those still being played included."""
    started: int = 0
    """Groups that came to their end in this step."""
    failures: list[RolloutFailedError] = field(default_factory=list[RolloutFailedError])
    """Why rollouts were dropped, one for each."""
    policy_version: int = 0
    """Of the weights that the rollouts are trained into."""

    @property
    def dropped(self) -> int:
        """Rollouts given up without a score."""
        return len(self.failures)

    @property
    def all(self) -> list[Trajectory]:
        """Every scored rollout."""
        return [t for group in self.groups for t in group] + self.flat + self.stale


@dataclass(slots=True, eq=False)
class _Group:
    plan: GroupPlan
    version: int
    """Weight updates done when it began."""
    task: asyncio.Task[list[Trajectory | RolloutFailedError]]


@dataclass(slots=True)
class _Whole:
    """A group that was played to its end."""

    plan: GroupPlan
    version: int
    members: list[Trajectory]
    """Those to train on."""
    others: list[Trajectory]
    """Those only to count."""
    failures: list[RolloutFailedError]

    @property
    def teaches(self) -> bool:
        return bool(self.members)


class GroupPipeline:
    """The groups of a run. Used by one task; `close` it at the end."""

    def __init__(
        self,
        stream: TaskStream,
        play: Play,
        *,
        wanted: int,
        steps: int,
        version: int = 0,
        max_refills: int = 16,
        max_staleness: int = 0,
        truncated: Literal["train", "mask", "drop"] = "train",
        by_component: bool = False,
    ) -> None:
        """Groups for the weight updates `version` + 1 to `steps`, `wanted` for each.

        A group teaches where its rewards differ, or with `by_component` where those of one component do.
        """
        self._stream, self._play = stream, play
        self._wanted, self._steps, self._version = wanted, steps, version
        self._max_refills, self._max_staleness, self._truncated = max_refills, max_staleness, truncated
        self._by_component = by_component
        self._again: list[GroupPlan] = []
        """Groups that began before the run was resumed, to be begun anew."""
        self._playing: list[_Group] = []
        self._whole: list[_Whole] = []
        """Played to their end, and not yet given to the trainer."""
        self._number = 0
        """Groups that began at this version, the key of their randomness."""
        self._in_update = 0
        """Groups that are being trained on."""
        self._stale: list[Trajectory] = []
        self._stale_failures: list[RolloutFailedError] = []
        self._stale_groups = 0
        self._ending: set[asyncio.Task[list[Trajectory | RolloutFailedError]]] = set()

    async def next_step(self) -> StepRollouts:
        """The groups of the next weight update, when enough of them are whole.

        Fewer than `wanted` where more than `max_refills` groups since the last step taught nothing.

        Raises:
            EnvportError: what playing a group raised that is not about that group alone.
        """
        self._sort_in()
        self._drop_stale()
        self._fill()
        while len([group for group in self._whole if group.teaches]) < self._needed():
            await asyncio.wait([group.task for group in self._playing], return_when=asyncio.FIRST_COMPLETED)
            self._sort_in()
            self._fill()
        step = self._take()
        self._in_update = self._wanted
        if self._max_staleness:
            self._fill()
        return step

    def updated(self, version: int) -> None:
        """To be told when the weights of `version` are there. Groups that are too old by now are dropped; others begin
        with the next step."""
        self._version, self._number, self._in_update = version, 0, 0
        self._drop_stale()

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs, JSON values: groups that began and were not trained on, and the counts."""
        unfinished = [group.plan for group in self._whole] + [group.plan for group in self._playing] + self._again
        return {
            "pending": [plan.as_json() for plan in sorted(unfinished, key=_in_stream_order)],
            "number": self._number,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint: its unfinished groups are begun anew, with the same tasks and seeds."""
        self._again = [GroupPlan.from_json(plan) for plan in state["pending"]]
        self._number = state["number"]

    async def close(self) -> None:
        """Break off what is being played, and return when every rollout was ended."""
        for group in self._playing:
            self._break_off(group)
        self._playing = []
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _needed(self) -> int:
        """Whole groups that the step waits for."""
        idle = sum(not group.teaches for group in self._whole)
        return max(0, self._wanted - max(0, idle - self._max_refills))

    def _fill(self) -> None:
        """Begin groups while there is room."""
        ahead = min(self._max_staleness, self._steps - self._version - 1)
        room = self._needed() + self._wanted * ahead - self._in_update
        taken = len(self._playing) + sum(group.teaches for group in self._whole)
        for _ in range(room - taken):
            plan = self._again.pop(0) if self._again else self._next_plan()
            env, specs = self._stream.specs(plan)
            specs = [replace(spec, policy_version=self._version) for spec in specs]
            task = asyncio.ensure_future(self._play(env, specs))
            self._playing.append(_Group(plan, self._version, task))

    def _next_plan(self) -> GroupPlan:
        plan = self._stream.next(self._version, self._number)
        self._number += 1
        return plan

    def _sort_in(self) -> None:
        """Move the groups that have come to their end to the whole ones."""
        done = [group for group in self._playing if group.task.done()]
        whole = [self._read(group, group.task.result()) for group in done]  # where one raises, nothing has changed
        self._playing = [group for group in self._playing if group not in done]
        self._whole += whole
        self._whole.sort(key=lambda group: _in_stream_order(group.plan))

    def _read(self, group: _Group, attempts: Sequence[Trajectory | RolloutFailedError]) -> _Whole:
        failures = [attempt for attempt in attempts if isinstance(attempt, RolloutFailedError)]
        scored = [attempt for attempt in attempts if isinstance(attempt, Trajectory)]
        drops = self._truncated == "drop"
        members = [t for t in scored if not (drops and t.finish == Finish.LENGTH)]
        others = [t for t in scored if drops and t.finish == Finish.LENGTH]
        # Of less than half of a group, or of equal rewards, there is no baseline to learn from.
        if 2 * len(members) <= len(attempts) or not self._differ(members):
            members, others = [], scored
        return _Whole(group.plan, group.version, members, others, failures)

    def _differ(self, members: Sequence[Trajectory]) -> bool:
        columns = [[t.reward for t in members]]
        if self._by_component:
            names = {name for t in members for name in t.rewards if t.weights.get(name, 1.0)}
            columns = [[t.rewards[name] for t in members if name in t.rewards] for name in sorted(names)]
            if bare := [t.reward for t in members if not t.rewards]:
                columns.append(bare)
        return any(has_spread(column) for column in columns)

    def _drop_stale(self) -> None:
        oldest = self._version - self._max_staleness
        for group in [group for group in self._playing if group.version < oldest and not group.task.done()]:
            self._playing.remove(group)
            self._break_off(group)
            self._stale_groups += 1
        late = [group for group in self._whole if group.version < oldest]
        self._whole = [group for group in self._whole if group.version >= oldest]
        for whole in late:
            self._stale += [*whole.members, *whole.others]
            self._stale_failures += whole.failures
            self._observe(whole)
        self._stale_groups += len(late)

    def _break_off(self, group: _Group) -> None:
        group.task.cancel()
        self._ending.add(group.task)
        group.task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[list[Trajectory | RolloutFailedError]]) -> None:
        self._ending.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not complain of it

    def _take(self) -> StepRollouts:
        """The step's groups, with all that came to its end since the last step and was not trained on."""
        step = StepRollouts(stale=self._stale, stale_groups=self._stale_groups, policy_version=self._version)
        step.failures += self._stale_failures
        left: list[_Whole] = []
        for group in self._whole:
            if group.teaches and len(step.groups) == self._wanted:
                left.append(group)
                continue
            if group.teaches:
                step.groups.append(group.members)
            step.flat += group.others
            step.failures += group.failures
            step.started += 1
            self._observe(group)
        self._whole, self._stale, self._stale_failures, self._stale_groups = left, [], [], 0
        return step

    def _observe(self, group: _Whole) -> None:
        self._stream.observe(group.plan, [t.reward for t in [*group.members, *group.others]])


def _in_stream_order(plan: GroupPlan) -> tuple[int, int]:
    return plan.step, plan.number
