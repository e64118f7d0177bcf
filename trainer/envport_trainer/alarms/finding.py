"""What a detector sees in a run's history."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from envport_trainer.alarms.history import History
from envport_trainer.alarms.settings import AlarmSettings


@dataclass(frozen=True, slots=True)
class Finding:
    """Something is wrong at the newest line."""

    seen: str
    """With numbers, and over which steps."""
    todo: str
    """What to look at and what to do."""
    values: dict[str, float]
    """The numbers that decided."""


Detector = Callable[[History, AlarmSettings, float], Finding | None]
"""Of the history and the settings alone. The last argument is 1 to begin an alarm, and less to keep one that has begun:
limits are then as much easier to be beyond."""
