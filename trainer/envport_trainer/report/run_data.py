"""What a run's folder holds, read without torch. A run that is still going can be read at any moment."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from envport_trainer.errors import TrainerError
from envport_trainer.evaluation.student_t import errors_in_half
from envport_trainer.recording import metrics
from envport_trainer.recording.metrics import read_metrics
from envport_trainer.recording.rollout_log import Place, read_file, rollout_files
from envport_trainer.recording.run_facts import read_run_facts

if TYPE_CHECKING:
    from pathlib import Path

    from envport_trainer.recording.logged_rollout import LoggedRollout

ALARMS = "alarms.jsonl"


@dataclass(frozen=True, slots=True)
class Alarm:
    """A line of `alarms.jsonl`."""

    step: int
    name: str
    severity: str
    text: str


@dataclass(frozen=True, slots=True)
class RunData:
    """A run as its folder has it."""

    folder: Path
    metrics: list[dict[str, Any]]
    """The lines of `metrics.jsonl`, by step."""
    facts: dict[str, Any]
    """`run.json`; {} for a run of a version that wrote none."""
    alarms: list[Alarm]
    files: list[Place] = field(default_factory=list[Place])
    """Of rollouts."""

    @property
    def name(self) -> str:
        """The run's name, that of its folder where it has none."""
        given = self.facts.get("config", {}).get("run_name")
        return str(given) if given else self.folder.resolve().name

    @property
    def steps(self) -> int:
        """Weight updates done."""
        return max((line["step"] for line in self.metrics), default=0)

    def points(self, name: str) -> list[tuple[int, float]]:
        """The steps and values of a metric, without those that are missing."""
        return [(line["step"], float(line[name])) for line in self.metrics if isinstance(line.get(name), int | float)]

    def reward_halves(self) -> dict[int, float]:
        """Half the width of the 95 % interval of the training reward, by steps where it is known."""
        groups = dict(self.points("reward_groups"))
        halves = {step: errors_in_half(groups.get(step)) * error for step, error in self.points("reward_se")}
        return {step: half for step, half in halves.items() if math.isfinite(half)}

    def ends(self, kind: str) -> tuple[list[LoggedRollout], list[LoggedRollout]]:
        """The rollouts of the first and of the last step of a kind; the same where there is one, [] where none."""
        places = [place for place in self.files if place.kind == kind]
        if not places:
            return [], []
        first = read_file(places[0]).rollouts
        return first, (first if len(places) == 1 else read_file(places[-1]).rollouts)

    def end_steps(self, kind: str) -> tuple[int, int] | None:
        """Their steps."""
        steps = [place.step for place in self.files if place.kind == kind]
        return (steps[0], steps[-1]) if steps else None


def read_run(folder: Path) -> RunData:
    """The run in `folder`.

    Raises:
        TrainerError: there is none, or no step of it is done.
        MetricsError: its metrics are not what a run writes.
    """
    if not folder.is_dir():
        raise TrainerError(f"{folder} is no folder; give the output folder of envport train, such as runs/train")
    run = RunData(
        folder,
        read_metrics(folder / metrics.FILE_NAME),
        read_run_facts(folder) or {},
        _alarms(folder / ALARMS),
        rollout_files(folder),
    )
    if run.metrics or run.files:
        return run
    if run.facts:
        raise TrainerError(f"{folder}: the run has started and no step of it is done; run the command again later")
    seen = ", ".join(sorted(path.name for path in folder.iterdir())[:5]) or "nothing"
    raise TrainerError(
        f"{folder} holds no run: expected {metrics.FILE_NAME}, found {seen}; give the output folder of envport train"
    )


def _alarms(path: Path) -> list[Alarm]:
    """The alarms, without lines that are none, such as one that is just being written."""
    if not path.exists():
        return []
    found = []
    for line in path.read_bytes().splitlines():
        try:
            value = json.loads(line)
            found.append(Alarm(int(value["step"]), str(value["name"]), str(value["severity"]), str(value["text"])))
        except (ValueError, KeyError, TypeError):
            continue
    return found
