"""What a run measured: `metrics.jsonl`, one line for each step, and the same values for the trackers.

Names: `reward` (mean over the step's rollouts), `reward_se`, `rewards/NAME` for each component, `eval/reward`,
`eval/reward_ci95` and `eval/rewards/NAME` on steps that were evaluated. The rest is the training loop's.
"""

from __future__ import annotations

import json
import math
import os
from typing import TYPE_CHECKING, Any, Self

from envport_trainer.errors import MetricsError
from envport_trainer.recording.atomic_files import replace_file
from envport_trainer.recording.trackers import Trackers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

FILE_NAME = "metrics.jsonl"


class MetricsLog:
    """Appends to `folder`. With `resume_step` the lines up to that step stay and later ones are dropped; else all are.

    Takes over `trackers`, and closes them; TensorBoard alone where none are given.

    Raises:
        MetricsError: an earlier file is not what a run writes, or cannot be written.
    """

    def __init__(self, folder: Path, *, resume_step: int | None = None, trackers: Trackers | None = None) -> None:
        self.path = folder / FILE_NAME
        folder.mkdir(parents=True, exist_ok=True)
        kept = [] if resume_step is None else [line for line in read_metrics(self.path) if line["step"] <= resume_step]
        replace_file(self.path, _as_text(kept))
        self._file = self.path.open("a", encoding="utf-8")
        self._trackers = trackers or Trackers(("tensorboard",), folder, folder.name, {}, resume_step=resume_step)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Write one step; when it returns, a crash of the machine does not lose it. NaN and infinities become null."""
        self._file.write(_as_line({"step": step, **values}))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._trackers.write(step, values)

    def amend(self, step: int, values: Mapping[str, float]) -> None:
        """Add values to the line of a step that was written. Atomic: the file has the earlier line or the new one."""
        if not values:
            return
        lines = [{**line, **values} if line["step"] == step else line for line in read_metrics(self.path)]
        self._file.close()
        replace_file(self.path, _as_text(lines))
        self._file = self.path.open("a", encoding="utf-8")
        self._trackers.write(step, values)

    def close(self) -> None:
        """Flush and close the file and the trackers."""
        self._file.close()
        self._trackers.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics file in order; [] where there is none. A last line cut off by a crash is left out.

    Raises:
        MetricsError: another line is no JSON object with a step.
    """
    if not path.exists():
        return []
    return list(_parsed(path, path.read_bytes().split(b"\n")))


def _parsed(path: Path, lines: list[bytes]) -> Iterator[dict[str, Any]]:
    whole = lines[:-1]  # what follows the last newline is empty, or was cut off
    for number, line in enumerate(whole, start=1):
        try:
            value = json.loads(line)
        except ValueError:
            value = None
        if isinstance(value, dict) and isinstance(value.get("step"), int):
            yield value
        elif number < len(whole):
            raise MetricsError(f"{path}, line {number}: expected a JSON object with a step; move the file away")


def _as_text(lines: Iterable[Mapping[str, Any]]) -> bytes:
    return "".join(map(_as_line, lines)).encode()


def _as_line(values: Mapping[str, Any]) -> str:
    finite = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in values.items()
    }
    return json.dumps(finite, allow_nan=False) + "\n"
