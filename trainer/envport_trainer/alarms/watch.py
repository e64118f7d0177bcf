"""What tells, after each step, which alarms begin."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from envport_trainer.alarms.history import History
from envport_trainer.alarms.learning import overfitting, tradeoff
from envport_trainer.alarms.plateau import plateau
from envport_trainer.alarms.policy import entropy, gradient, length, mismatch, repetition
from envport_trainer.alarms.sampling import tool_spam, untrainable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from envport_trainer.alarms.finding import Detector
    from envport_trainer.alarms.history import Line
    from envport_trainer.alarms.settings import AlarmSettings

DETECTORS: Mapping[str, Detector] = MappingProxyType(
    {
        "overfitting": overfitting,
        "tradeoff": tradeoff,
        "length": length,
        "entropy": entropy,
        "repetition": repetition,
        "tool_spam": tool_spam,
        "untrainable": untrainable,
        "mismatch": mismatch,
        "gradient": gradient,
        "plateau": plateau,
    }
)
"""By the name of their setting."""

KEEP = 0.8
"""How much easier it is to keep an alarm than to begin it: a value at the limit is not told every other step."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm that begins with a step."""

    name: str
    step: int
    severity: Literal["warn", "stop"]
    text: str
    """What was seen, with numbers and steps, and what to do. One line."""
    values: dict[str, float]


class Watch:
    """Looks at the lines of a run. Holds no state: equal lines give equal alarms, in a resumed run too."""

    def __init__(self, settings: AlarmSettings) -> None:
        self.settings = settings

    def look(self, lines: Sequence[Line]) -> list[Alarm]:
        """The alarms that begin with the newest of `lines`, which are all of the run so far, in order.

        An alarm that goes on is not told again; one that cleared and comes back is.
        """
        if not lines:
            return []
        history = History(lines)
        alarms = (self._alarm(name, history) for name in DETECTORS)
        return [alarm for alarm in alarms if alarm is not None]

    def _alarm(self, name: str, history: History) -> Alarm | None:
        severity: Literal["off", "warn", "stop"] = getattr(self.settings, name)
        if severity == "off":
            return None
        found = DETECTORS[name](history, self.settings, 1.0)
        if found is None or self._went_on(name, history.lines[:-1]):
            return None
        return Alarm(name, int(history.lines[-1]["step"] or 0), severity, f"{found.seen}; {found.todo}", found.values)

    def _went_on(self, name: str, lines: Sequence[Line]) -> bool:
        """Whether the alarm had begun by the last of `lines` and had not cleared since."""
        for end in range(len(lines), 0, -1):
            history = History(lines[:end])
            if DETECTORS[name](history, self.settings, 1.0) is not None:
                return True
            if DETECTORS[name](history, self.settings, KEEP) is None:
                return False
        return False
