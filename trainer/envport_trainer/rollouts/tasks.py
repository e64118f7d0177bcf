"""Which tasks come next: environments by weight, and the tasks of each in turn or by difficulty.

In turn means an order that is shuffled anew for every pass over the split. By difficulty, a part of the draws goes on
in turn, so that each task comes up, and the others go to what is worth trying again: `curriculum`.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from envport_protocol.errors import UnknownTaskError

from envport_trainer.errors import CheckpointError
from envport_trainer.rollouts.curriculum import EXPLORE, Difficulty
from envport_trainer.rollouts.playing import RolloutSpec, derive_seed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from envport.client import EnvClient

_DRAWS = 1_000_000
"""More groups than are ever drawn between two weight updates."""


@dataclass(frozen=True, slots=True)
class TaskSource:
    """An open environment, the split to take tasks from, and its share of the groups."""

    env: EnvClient
    split: str
    weight: float

    def count(self) -> int | None:
        """Number of tasks; None where they never end.

        Raises:
            UnknownTaskError: the environment has no such split, or an empty one.
        """
        sizes = {split.name: split.size for split in self.env.manifest.splits}
        if self.split not in sizes:
            known = ", ".join(sizes) or "none"
            raise UnknownTaskError(f"{self.env.url} has no split {self.split!r}; it has: {known}")
        if sizes[self.split] == 0:
            raise UnknownTaskError(f"split {self.split!r} of {self.env.url} is empty")
        return sizes[self.split]


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """Which task a group tries, and with which randomness: equal plans give equal rollouts from one policy."""

    source: int
    """Place among the stream's sources."""
    index: int
    """Number of the task within the split."""
    step: int
    """Weight updates that were done when it was drawn."""
    number: int
    """Of the group within the step."""

    @property
    def group(self) -> int:
        """Number of the group in the run: its millions are `step`. The same when the group is begun anew."""
        return self.step * _DRAWS + self.number

    def as_json(self) -> dict[str, int]:
        """For a checkpoint."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> GroupPlan:
        """What `as_json` gave."""
        return cls(value["source"], value["index"], value["step"], value["number"])


class TaskStream:
    """A sequence of groups that depends on the seed, on how many were taken and, by difficulty, on what was seen."""

    def __init__(
        self,
        sources: Sequence[TaskSource],
        seed: int,
        group_size: int,
        curriculum: Literal["none", "difficulty"] = "none",
    ) -> None:
        self.sources, self._seed, self._group_size = sources, seed, group_size
        self._sizes = [source.count() for source in sources]
        self._orders: dict[int, tuple[int, list[int]]] = {}
        self._difficulties = [Difficulty() for _ in sources] if curriculum == "difficulty" else []
        self.taken = [0] * len(sources)
        """Tasks that each source gave in turn."""

    def next(self, step: int, number: int) -> GroupPlan:
        """The plan of the next group, with the randomness of group `number` of `step`."""
        choice = random.Random(derive_seed(self._seed, "source", step, number))  # noqa: S311 - no secret
        place = choice.choices(range(len(self.sources)), [source.weight for source in self.sources])[0]
        index = self._worth_trying(place, step, number)
        if index is None:
            index = self._in_turn(place, self.taken[place])
            self.taken[place] += 1
        return GroupPlan(place, index, step, number)

    def specs(self, plan: GroupPlan) -> tuple[EnvClient, list[RolloutSpec]]:
        """The environment and the rollouts of a plan."""
        source, step, number = self.sources[plan.source], plan.step, plan.number
        env_seed = derive_seed(self._seed, "env", step, number)
        seeds = (derive_seed(self._seed, "rollout", step, number, member) for member in range(self._group_size))
        return source.env, [RolloutSpec(source.split, plan.index, seed, env_seed, plan.group, step) for seed in seeds]

    def start_group(self, step: int, number: int) -> tuple[EnvClient, list[RolloutSpec]]:
        """The environment and the rollouts of the next group."""
        return self.specs(self.next(step, number))

    def observe(self, plan: GroupPlan, rewards: Sequence[float]) -> None:
        """The rewards of the scored rollouts of a group. Equal calls in equal order keep the stream the same."""
        if self._difficulties:
            self._difficulties[plan.source].observe(plan.index, plan.step, rewards)

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs to go on with the same groups, JSON values."""
        return {"taken": list(self.taken), "measures": [one.state() for one in self._difficulties]}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on where the stream of the same seed and sources that gave `state` stood.

        Raises:
            CheckpointError: it had another number of sources, or another curriculum.
        """
        taken, measures = state["taken"], state["measures"]
        if (len(taken), len(measures)) != (len(self.taken), len(self._difficulties)):
            raise CheckpointError(
                f"the checkpoint has tasks taken from {len(taken)} environments and measures of {len(measures)}, and "
                f"this run needs {len(self.taken)} and {len(self._difficulties)}; resume with the same [[env]] tables "
                "and curriculum"
            )
        self.taken = list(taken)
        for difficulty, rows in zip(self._difficulties, measures, strict=True):
            difficulty.load_state(rows)

    def _worth_trying(self, place: int, step: int, number: int) -> int | None:
        """A task by its difficulty; None where the next one in turn is due."""
        if not self._difficulties:
            return None
        chance = random.Random(derive_seed(self._seed, "curriculum", step, number))  # noqa: S311 - no secret
        return None if chance.random() < EXPLORE else self._difficulties[place].draw(step, chance)

    def _in_turn(self, place: int, count: int) -> int:
        size = self._sizes[place]
        if size is None:
            return count
        pass_number, within = divmod(count, size)
        return self._order(place, pass_number, size)[within]

    def _order(self, place: int, pass_number: int, size: int) -> list[int]:
        """The order of one pass; the last one of each source is kept, since a split may be large."""
        kept = self._orders.get(place)
        if kept is not None and kept[0] == pass_number:
            return kept[1]
        order = list(range(size))
        random.Random(derive_seed(self._seed, "order", place, pass_number)).shuffle(order)  # noqa: S311 - no secret
        self._orders[place] = pass_number, order
        return order
