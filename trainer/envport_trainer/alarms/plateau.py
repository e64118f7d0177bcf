"""The alarm that a run has nothing more to gain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envport_trainer.alarms.finding import Finding
from envport_trainer.alarms.history import trend

if TYPE_CHECKING:
    from envport_trainer.alarms.history import History, Span
    from envport_trainer.alarms.settings import AlarmSettings

REWARD_SIGMAS = 2.0
COMPONENT_SIGMAS = 3.0
"""More than for the reward: there are several components, one of which rises by chance."""


def plateau(history: History, settings: AlarmSettings, ease: float) -> Finding | None:
    """No held-out reward exceeded the best one for `plateau_evals` evaluations, and over these nothing rose.

    A slow rise behind an early, lucky best is seen by the trend of the reward, and progress below the reward by those
    of its components.
    """
    held_out, count = history.held_out, settings.plateau_evals
    best = best_place(held_out.values, settings.plateau_gain)
    if best is None or len(held_out) - 1 - best < count:
        return None
    late = held_out[-count:]
    parts = [span[-count:] for span in history.components("eval/rewards/")]
    if _rises(late, REWARD_SIGMAS / ease) or any(_rises(part, COMPONENT_SIGMAS / ease) for part in parts):
        return None
    return Finding(
        f"nothing improved in {len(held_out) - 1 - best} evaluations: the best held-out reward, "
        f"{held_out.values[best]:.3f}, is that of step {held_out.steps[best]}, and the last one, of step "
        f"{held_out.steps[-1]}, is {held_out.values[-1]:.3f}",
        "the checkpoint of the best evaluation is the one to keep; more comes from harder tasks or another lr",
        {"eval/reward_best": held_out.values[best], "eval/reward": held_out.values[-1]},
    )


def best_place(values: tuple[float, ...], gain: float) -> int | None:
    """Place of the last value that exceeded the best before it by more than `gain`; None where there are none."""
    best: int | None = None
    for place, value in enumerate(values):
        if best is None or value > values[best] + gain:
            best = place
    return best


def _rises(span: Span, sigmas: float) -> bool:
    return len(span) >= 3 and trend(span).sigmas >= sigmas
