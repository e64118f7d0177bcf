"""The rollouts of a run: `rollouts/step-000012-train.jsonl.gz`, one file for each step and kind.

A file's first line says what it holds, each further line is a `LoggedRollout`. Files are atomic. Together they take no
more than a bound: where they would, files between the first and the last of their kind go, those with the nearest
neighbours first and the older of equals, so that what remains is spread over the whole run.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from envport_trainer.errors import TrainerError
from envport_trainer.recording.atomic_files import replace_file
from envport_trainer.recording.logged_rollout import LoggedRollout, of_eval_row, of_trajectory

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from envport_trainer.recording.logged_rollout import Evaluated
    from envport_trainer.types import Trajectory

FOLDER = "rollouts"
MAX_BYTES = 256 * 2**20
"""Of all files of a run, compressed. A rollout of a thousand words takes about 2 kB."""
_PROTECTED = 4
"""Files that thinning leaves: the first and the last of two kinds."""
_MAX_LINE = 64 * 2**20
"""Of a file that is read: what a run writes is much shorter."""

Kind = Literal["train", "eval"]
_NAME = re.compile(r"step-(\d{6,12})-(train|eval)\.jsonl\.gz")


class KeptRollouts(NamedTuple):
    """The rollouts of one step and kind, as they were kept."""

    step: int
    kind: str
    rollouts: list[LoggedRollout]
    left_out: int
    """Rollouts of the step that the bound left out."""


class Place(NamedTuple):
    """A file of rollouts."""

    step: int
    kind: str
    path: Path


class RolloutLog:
    """Writes to `folder/rollouts`. With `resume_step` the files up to that step stay; else a new run begins and none
    does. `max_bytes` bounds all files together."""

    def __init__(self, folder: Path, *, resume_step: int | None = None, max_bytes: int = MAX_BYTES) -> None:
        self.folder = folder
        self._max_bytes = max_bytes
        for place in rollout_files(folder):
            if resume_step is None or place.step > resume_step:
                place.path.unlink()

    def write(
        self,
        step: int,
        kind: Kind,
        trajectories: Sequence[Trajectory],
        advantages: Mapping[str, float] | None = None,
    ) -> None:
        """Keep the rollouts of a step. `advantages` are by rollout id, of those that the update saw."""
        known = advantages or {}
        self._write(step, kind, [of_trajectory(t, known.get(t.rollout_id)) for t in trajectories])

    def write_eval(self, step: int, evaluated: Sequence[Evaluated]) -> None:
        """Keep the attempts of an evaluation after `step`; 0 is before the first update."""
        self._write(step, "eval", [of_eval_row(row, part) for part in evaluated for row in part.rows])

    def _write(self, step: int, kind: Kind, rollouts: Sequence[LoggedRollout]) -> None:
        content = _packed(step, kind, rollouts, self._max_bytes // (2 * _PROTECTED))
        replace_file(self.folder / FOLDER / f"step-{step:06d}-{kind}.jsonl.gz", content)
        self._thin()

    def _thin(self) -> None:
        places = rollout_files(self.folder)
        sizes = {place.path: place.path.stat().st_size for place in places}
        while sum(sizes.values()) > self._max_bytes and (spare := _most_crowded(places)) is not None:
            spare.path.unlink()
            del sizes[spare.path]
            places.remove(spare)


def rollout_files(folder: Path) -> list[Place]:
    """The files of a run's folder, by step, evaluations after training."""
    found = []
    for path in (folder / FOLDER).glob("step-*.jsonl.gz"):
        match = _NAME.fullmatch(path.name)
        if match is not None:
            found.append(Place(int(match[1]), match[2], path))
    return sorted(found, key=lambda place: (place.step, place.kind == "eval"))


def read_rollouts(folder: Path, step: int, kind: Kind = "train") -> KeptRollouts:
    """What was kept of a step.

    Raises:
        TrainerError: nothing was, or the file is not what a run writes.
    """
    for place in rollout_files(folder):
        if (place.step, place.kind) == (step, kind):
            return read_file(place)
    steps = [place.step for place in rollout_files(folder) if place.kind == kind]
    there = f"there are steps {_listed(steps)}" if steps else f"no {kind} rollouts were kept"
    raise TrainerError(f"{folder}: no {kind} rollouts of step {step}; {there}")


def read_file(place: Place) -> KeptRollouts:
    """The rollouts in a file.

    Raises:
        TrainerError: the file is gone, or is not what a run writes.
    """
    try:
        with gzip.open(place.path, "rb") as file:
            head = json.loads(file.readline(_MAX_LINE))
            rollouts = [LoggedRollout.of_json(json.loads(line)) for line in iter(lambda: file.readline(_MAX_LINE), b"")]
        return KeptRollouts(place.step, place.kind, rollouts, int(head["left_out"]))
    except FileNotFoundError as error:
        raise TrainerError(f"{place.path} went while it was read; run the command again") from error
    except (OSError, EOFError, zlib.error, ValueError, TypeError, KeyError, AttributeError) as error:
        raise TrainerError(f"{place.path} is no file of rollouts ({error}); move it away") from error


def _packed(step: int, kind: Kind, rollouts: Sequence[LoggedRollout], max_bytes: int) -> bytes:
    """The file's content; the last rollouts are left out where all would take more than `max_bytes`."""
    lines = [rollout.as_line() for rollout in rollouts]
    kept = len(lines)
    while True:
        head = {"format": 1, "step": step, "kind": kind, "rollouts": kept, "left_out": len(lines) - kept}
        content = _compressed([json.dumps(head).encode() + b"\n", *lines[:kept]])
        if len(content) <= max_bytes or kept == 0:
            return content
        kept = min(kept - 1, kept * max_bytes // len(content))


def _compressed(lines: Iterable[bytes]) -> bytes:
    whole = io.BytesIO()
    with gzip.GzipFile(fileobj=whole, mode="wb", mtime=0, compresslevel=6) as file:
        file.writelines(lines)
    return whole.getvalue()


def _most_crowded(places: Sequence[Place]) -> Place | None:
    """The file between the first and the last of its kind whose neighbours are nearest; None where there is none."""
    gaps: list[tuple[int, int, Place]] = []
    for kind in ("train", "eval"):
        own = [place for place in places if place.kind == kind]
        gaps += [
            (after.step - before.step, it.step, it) for before, it, after in zip(own, own[1:], own[2:], strict=False)
        ]
    return min(gaps, key=lambda gap: gap[:2])[2] if gaps else None


def _listed(steps: Sequence[int]) -> str:
    shown = [str(step) for step in steps]
    return ", ".join(shown if len(shown) <= 12 else [*shown[:6], "...", *shown[-5:]])


def values_of(rollouts: Iterable[LoggedRollout]) -> list[dict[str, Any]]:
    """The rollouts as JSON values."""
    return [json.loads(rollout.as_line()) for rollout in rollouts]
