"""How many rollouts each worker of a server holds, for all of them to see.

A file of one 64-bit count for each, which all have mapped. Each writes its own alone, and without a lock: between one
worker's look at the others and its own count the others may look too, so that for a moment as many rollouts too many
may be admitted as there are other workers.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_BYTES = 8


class HeldCounts:
    """The counts in the file at `path`, by the workers' numbers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("r+b") as file:
            # By the cast each count is read and written at once, never half of it.
            self._counts = memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")

    @classmethod
    def create(cls, path: Path, workers: int) -> HeldCounts:
        """Those of workers that hold nothing yet, in a new file."""
        path.write_bytes(bytes(_BYTES * workers))
        return cls(path)

    def sum_without(self, number: int) -> int:
        """How many all other workers hold."""
        return sum(self._counts) - self._counts[number]

    def set(self, number: int, held: int) -> None:
        """Says how many a worker holds. For itself to call."""
        self._counts[number] = held

    def forget(self, number: int) -> None:
        """A worker has ended, and holds nothing."""
        self._counts[number] = 0


class OtherWorkers:
    """The other workers of a server, as the worker of this number sees them: `Elsewhere` of a line."""

    def __init__(self, path: Path, number: int) -> None:
        self._counts = HeldCounts(path)
        self._number = number

    def held(self) -> int:
        """How many rollouts they hold."""
        return self._counts.sum_without(self._number)

    def tell(self, held: int) -> None:
        """Lets them know how many are held here."""
        self._counts.set(self._number, held)
