"""Alarms about what is learned: the training tasks by heart, or one component at another's expense."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from envport_trainer.alarms.finding import Finding
from envport_trainer.alarms.history import Change, Span, change, start_and_now, trend

if TYPE_CHECKING:
    from envport_trainer.alarms.history import History
    from envport_trainer.alarms.settings import AlarmSettings


APART_SIGMAS = 3.0
"""Between training and held-out tasks. Fewer than `sigmas`, since evaluations are few and so are the looks at them."""
LEAST_STEPS = 4
"""Before an evaluation, for a mean of the training reward that it is compared with."""


def overfitting(history: History, settings: AlarmSettings, ease: float) -> Finding | None:
    """Training reward rose since the first evaluation, or since the one halfway, and held-out reward did not.

    It did not where the 95 % interval of its trend holds 0 or lies below, and where the two changes differ by more
    than their errors. Held-out tasks that were too few to see anything thus raise no alarm.
    """
    reward, held_out = history.reward, history.held_out
    known = [place for place, step in enumerate(held_out.steps) if len(reward.until(step)) >= LEAST_STEPS]
    if len(known) < settings.overfitting_evals:
        return None
    for place in dict.fromkeys([known[0], known[len(known) // 2]]):
        if len(held_out) - place >= settings.overfitting_evals:
            found = _apart(reward, held_out[place:], settings, ease)
            if found is not None:
                return found
    return None


def _apart(reward: Span, held_out: Span, settings: AlarmSettings, ease: float) -> Finding | None:
    before = reward.until(held_out.steps[0])[-settings.window :]
    after = reward.until(held_out.steps[-1])[-settings.window :]
    if after.steps[0] <= before.steps[-1]:
        return None
    trained, held = change(before, after), trend(held_out)
    between = Change(trained.gain - held.gain, math.hypot(trained.error, held.error))
    if trained.sigmas < settings.sigmas * ease or between.sigmas < APART_SIGMAS * ease:
        return None
    if held.gain - 1.96 * held.error > 0:
        return None
    return Finding(
        f"reward in training rose by {trained.gain:.3f} ± {1.96 * trained.error:.3f} from {before.where} to "
        f"{after.where}, while on the held-out tasks it changed by {held.gain:+.3f} ± {1.96 * held.error:.3f} over the "
        f"{len(held_out)} evaluations of {held_out.where}",
        "read rollouts of high reward for tricks that the reward should not pay, give the run more tasks, and take the "
        "checkpoint before the two parted",
        {"reward_gain": trained.gain, "eval/reward_gain": held.gain, "sigmas": between.sigmas},
    )


def tradeoff(history: History, settings: AlarmSettings, ease: float) -> Finding | None:
    """Reward rose from the first window to the last, and a component fell by more than errors and `tradeoff_drop`."""
    least = settings.sigmas * ease
    windows = start_and_now(history.reward, settings.window)
    if windows is None or (reward := change(*windows)).sigmas < least:
        return None
    changes = _component_changes(history, settings.window)
    fallen = {
        name: moved
        for name, (start, moved) in changes.items()
        if name not in settings.tradeoff_ignore
        and moved.sigmas <= -least
        and -moved.gain > settings.tradeoff_drop * ease * abs(start)
    }
    if not fallen:
        return None
    payer = min(fallen, key=lambda name: fallen[name].sigmas)
    winner = max(changes, key=lambda name: changes[name][1].gain)
    start, moved = changes[payer]
    others = f" (so did {', '.join(name for name in fallen if name != payer)})" if len(fallen) > 1 else ""
    return Finding(
        f"component {payer} fell from {start:.3f} to {start + moved.gain:.3f}{others} while the reward rose by "
        f"{reward.gain:.3f}, most of all by {winner} ({changes[winner][1].gain:+.3f}), from {windows[0].where} to "
        f"{windows[1].where}",
        f"see in the rollouts whether {winner} is had at the expense of {payer}; weigh {payer} more, or let {winner} "
        f"count only where {payer} holds (a component that may fall goes into tradeoff_ignore)",
        {"reward_gain": reward.gain} | {f"rewards/{name}_gain": moved.gain for name, moved in fallen.items()},
    )


def _component_changes(history: History, window: int) -> dict[str, tuple[float, Change]]:
    """Where each component began, and its change from the first window to the last."""
    found: dict[str, tuple[float, Change]] = {}
    for span in history.components():
        windows = start_and_now(span, window)
        if windows is not None:
            found[span.name.removeprefix("rewards/")] = windows[0].mean, change(*windows)
    return found
