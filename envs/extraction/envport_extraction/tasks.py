"""The generator's tasks as a sequence: made when asked for, the same every time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, overload

from envport_protocol import EnvTask

from envport_extraction.generator import RULES_VERSION, SplitName, draw_record, task_random
from envport_extraction.noise import with_fault
from envport_extraction.prompt import task_messages
from envport_extraction.rendering import render
from envport_extraction.templates import EVAL_TEMPLATES, TRAIN_TEMPLATES

if TYPE_CHECKING:
    from envport_extraction.events import Event


class GeneratedTasks(Sequence[EnvTask]):
    """One split of the generator. `noise` is the share of tasks whose gold gets a fault as hand-made labels have."""

    def __init__(self, split: SplitName, *, size: int, seed: int, noise: float = 0.0) -> None:
        self._split: SplitName = split
        self._size = size
        self._seed = seed
        self._noise = noise

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, index: int) -> EnvTask: ...
    @overload
    def __getitem__(self, index: slice) -> list[EnvTask]: ...
    def __getitem__(self, index: int | slice) -> EnvTask | list[EnvTask]:
        if isinstance(index, slice):
            return [self._task(i) for i in range(*index.indices(self._size))]
        if not -self._size <= index < self._size:
            raise IndexError(f"{self._split} has {self._size} tasks; there is no index {index}")
        return self._task(index % self._size)

    def __iter__(self) -> Iterator[EnvTask]:
        return (self._task(index) for index in range(self._size))

    def events(self, limit: int) -> list[Event]:
        """The true events of the first `limit` tasks, without their texts or faults."""
        return [self._draw(index)[0] for index in range(min(limit, self._size))]

    def _draw(self, index: int) -> tuple[Event, str, str]:
        """Event, text and template id of one task."""
        rng = task_random(self._split, self._seed, index)
        record = draw_record(rng)
        template = rng.choice(TRAIN_TEMPLATES if self._split == "train" else EVAL_TEMPLATES)
        return record.event, render(rng, record, template), template.template_id

    def _task(self, index: int) -> EnvTask:
        event, text, template_id = self._draw(index)
        gold = event.to_json()
        faults = task_random(f"{self._split}-noise", self._seed, index)
        if faults.random() < self._noise:
            gold = with_fault(faults, gold)
        return EnvTask(
            f"{self._split}-{self._seed}-{index:06d}",
            messages=task_messages(text),
            ground_truth=gold,
            metadata={
                "source": "generator",
                "rules_version": RULES_VERSION,
                "seed": self._seed,
                "template": template_id,
                "text_sha256": text_sha256(text),
            },
        )


def text_sha256(text: str) -> str:
    """The digest of the text with its white space evened out; equal digests are the same release."""
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()
