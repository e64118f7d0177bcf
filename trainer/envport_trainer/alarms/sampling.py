"""Alarms about the rollouts: tools that are called for nothing, and rollouts that teach nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envport_trainer.alarms.finding import Finding
from envport_trainer.alarms.policy import grown

if TYPE_CHECKING:
    from envport_trainer.alarms.history import History
    from envport_trainer.alarms.settings import AlarmSettings


def tool_spam(history: History, settings: AlarmSettings, ease: float) -> Finding | None:
    """Tool calls per rollout grew by `tool_factor` and by one at least, and the reward did not rise meanwhile."""
    windows = grown(history, "tool_calls", settings.tool_factor, settings, ease)
    if windows is None or windows[1].mean - windows[0].mean < ease:
        return None
    before, now = windows
    errors = history.span("tool_errors").until(now.steps[-1])[-settings.window :]
    failed = errors.mean / now.mean if errors else 0.0
    return Finding(
        f"tool calls per rollout grew from {before.mean:.1f} in {before.where} to {now.mean:.1f} in {now.where} "
        f"({failed:.0%} of them failed), and the reward did not rise meanwhile",
        "read rollouts with many calls; lower max_turns, or let the reward count calls",
        {"tool_calls": now.mean, "tool_calls_before": before.mean, "tool_errors_share": failed},
    )


def untrainable(history: History, settings: AlarmSettings, ease: float) -> Finding | None:
    """Mean share of rollouts that were not trained on is over `untrainable_limit`."""
    now = history.span("untrainable_share")[-settings.window :]
    if len(now) < settings.window or now.mean < settings.untrainable_limit * ease:
        return None
    reward, dropped = (history.span(name)[-settings.window :] for name in ("reward", "rollouts_dropped"))
    return Finding(
        f"{now.mean:.0%} of the rollouts in {now.where} taught nothing (mean reward "
        f"{f'{reward.mean:.3f}' if reward else 'unknown'}, {dropped.mean if dropped else 0:.1f} dropped per step)",
        "tasks are too easy or too hard: choose others or curriculum = difficulty; where many were dropped, look at "
        "the environment's log",
        {"untrainable_share": now.mean},
    )
