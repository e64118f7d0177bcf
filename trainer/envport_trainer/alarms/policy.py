"""Alarms about what the policy writes and how it is updated."""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING

from envport_trainer.alarms.finding import Finding
from envport_trainer.alarms.history import Span, change, earlier_windows, finite, start_and_now

if TYPE_CHECKING:
    from envport_trainer.alarms.history import History
    from envport_trainer.alarms.settings import AlarmSettings

RISE_SIGMAS = 2.0
"""Standard errors from which on a reward counts as risen where that excuses something else: less proof is asked."""
SPIKES = 3
LARGE_SPIKE = 4.0
"""Times `gradient_factor`: a single gradient as long as that is an alarm."""
_PRIOR_NORMS = 5


def grown(history: History, name: str, factor: float, settings: AlarmSettings, ease: float) -> tuple[Span, Span] | None:
    """The earlier window and the last one of `name` where it grew by `factor` and the reward did not rise meanwhile."""
    span, reward = history.span(name), history.reward
    now, reward_now = span[-settings.window :], reward[-settings.window :]
    for before in earlier_windows(span, settings.window):
        moved = change(before, now)
        if now.mean < factor * ease * before.mean or moved.sigmas < settings.sigmas * ease:
            continue
        reward_before = reward.until(before.steps[-1])[-settings.window :]
        if not reward_before or not reward_now or change(reward_before, reward_now).sigmas < RISE_SIGMAS / ease:
            return before, now
    return None


def length(history: History, settings: AlarmSettings, ease: float) -> Finding | None:
    """Completions grew by `length_factor` and the reward did not rise, or ever more of them are cut off."""
    windows = grown(history, "completion_tokens", settings.length_factor, settings, ease)
    if windows is not None:
        before, now = windows
        return Finding(
            f"completions grew from {before.mean:.0f} tokens in {before.where} to {now.mean:.0f} in {now.where}, "
            "and the reward did not rise meanwhile",
            "read the longest rollouts; lower max_new_tokens, choose aggregation = constant, or let the reward count "
            "length",
            {"completion_tokens": now.mean, "completion_tokens_before": before.mean},
        )
    return _cut_off(history, settings, ease)


def _cut_off(history: History, settings: AlarmSettings, ease: float) -> Finding | None:
    windows = start_and_now(history.span("truncated_share"), settings.window)
    if windows is None:
        return None
    before, now = windows
    if now.mean < settings.length_truncated * ease or change(before, now).sigmas < settings.sigmas * ease:
        return None
    return Finding(
        f"{now.mean:.0%} of the completions in {now.where} were cut off for length, {before.mean:.0%} in "
        f"{before.where}",
        "see whether they repeat themselves or need the room; raise max_new_tokens and max_tokens, or set truncated to "
        "mask",
        {"truncated_share": now.mean, "truncated_share_before": before.mean},
    )


def entropy(history: History, settings: AlarmSettings, ease: float) -> Finding | None:
    """Entropy of the policy's tokens is below `entropy_floor`."""
    span = history.span("entropy")
    now = span[-settings.recent :]
    if len(now) < settings.recent or now.median >= settings.entropy_floor / ease:
        return None
    return Finding(
        f"entropy was {now.median:.4f} nats per token in {now.where} (limit {settings.entropy_floor:g}), "
        f"{span.values[0]:.3f} in step {span.steps[0]}",
        "the policy is all but sure of each token and groups come out equal: lower lr, raise clip_high or temperature, "
        "and go on from an earlier checkpoint",
        {"entropy": now.median, "entropy_at_start": span.values[0]},
    )


def repetition(history: History, settings: AlarmSettings, ease: float) -> Finding | None:
    """Share of repeated 4-grams is `repetition_rise` above the first steps', or over `repetition_limit`."""
    span = history.span("repetition")
    start, now = span[: settings.recent], span[-settings.recent :]
    if len(now) < settings.recent:
        return None
    limit = min(start.median + settings.repetition_rise * ease, settings.repetition_limit * ease)
    if now.median < limit:
        return None
    return Finding(
        f"{now.median:.0%} of the 4-grams that were sampled in {now.where} repeat an earlier one of their text, "
        f"{start.median:.0%} in {start.where}",
        "read the longest rollouts for loops; see whether a component pays for length, and go on from an earlier "
        "checkpoint with a lower lr",
        {"repetition": now.median, "repetition_at_start": start.median},
    )


def mismatch(history: History, settings: AlarmSettings, ease: float) -> Finding | None:
    """KL divergence between sampler and trainer is over `mismatch_limit`."""
    now = history.span("mismatch_k3")[-settings.recent :]
    if len(now) < min(3, settings.recent) or now.median < settings.mismatch_limit * ease:
        return None
    return Finding(
        f"sampler and trainer were {now.median:.4f} nats per token apart (k3) in {now.where}; "
        f"at most {settings.mismatch_limit:g} is expected",
        "lower max_staleness or lr, set precision = fp32, or set correction = truncate",
        {"mismatch_k3": now.median},
    )


def gradient(history: History, settings: AlarmSettings, ease: float) -> Finding | None:
    """Among the last `window` updates are `SPIKES` spikes, or one large or not finite. Any spike keeps the alarm."""
    spikes = {step: size for step, size in _sizes(history, settings.window).items() if size >= settings.gradient_factor}
    large = settings.gradient_factor * LARGE_SPIKE
    if not spikes or (ease == 1 and len(spikes) < SPIKES and max(spikes.values()) < large):
        return None
    told = ", ".join(
        f"step {step} ({size:.0f} times)" if math.isfinite(size) else f"step {step} (not finite)"
        for step, size in spikes.items()
    )
    return Finding(
        f"the gradient's norm was far above the median of the updates before it in {told}",
        "lower lr or max_grad_norm, set warmup_steps, and see whether mismatch or reward jumped in these steps",
        {"spikes": float(len(spikes)), "largest": max(spikes.values())},
    )


def _sizes(history: History, window: int) -> dict[int, float]:
    """Norm of each of the last `window` updates, over the median of up to 2 windows of finite ones before it."""
    norms: list[tuple[int, float]] = []
    for line in history.lines[-4 * window :]:
        if "grad_norm" in line:
            norm = finite(line["grad_norm"])
            norms.append((int(line["step"] or 0), math.inf if norm is None else norm))
    sizes: dict[int, float] = {}
    for place, (step, norm) in list(enumerate(norms))[-window:]:
        before = [norm for _, norm in norms[max(0, place - 2 * window) : place] if math.isfinite(norm)]
        if norm == math.inf:
            sizes[step] = norm
        elif len(before) >= _PRIOR_NORMS and median(before) > 0:
            sizes[step] = norm / median(before)
    return sizes
