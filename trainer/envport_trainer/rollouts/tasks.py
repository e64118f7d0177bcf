"""Which tasks come next: environments by weight, each in an order shuffled anew for every pass over its split."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envport_protocol.errors import UnknownTaskError

from envport_trainer.rollouts.playing import RolloutSpec, derive_seed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envport.client import EnvClient


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


class TaskStream:
    """A sequence of groups that depends on the seed and on how many were taken, and on nothing else."""

    def __init__(self, sources: Sequence[TaskSource], seed: int, group_size: int) -> None:
        self.sources, self._seed, self._group_size = sources, seed, group_size
        self._sizes = [source.count() for source in sources]
        self._orders: dict[int, tuple[int, list[int]]] = {}
        self.taken = [0] * len(sources)
        """Tasks given by each source; part of a checkpoint."""

    def start_group(self, step: int, number: int) -> tuple[EnvClient, list[RolloutSpec]]:
        """The environment and the rollouts of group `number` of `step`."""
        choice = random.Random(derive_seed(self._seed, "source", step, number))  # noqa: S311 - no secret
        place = choice.choices(range(len(self.sources)), [source.weight for source in self.sources])[0]
        source = self.sources[place]
        index = self._index(place, self.taken[place])
        self.taken[place] += 1
        env_seed = derive_seed(self._seed, "env", step, number)
        seeds = (derive_seed(self._seed, "rollout", step, number, member) for member in range(self._group_size))
        return source.env, [RolloutSpec(source.split, index, seed, env_seed, number, step) for seed in seeds]

    def _index(self, place: int, count: int) -> int:
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
