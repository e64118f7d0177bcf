"""What a terminal shows of a run while it goes: a picture of a few lines, drawn anew from what was told last."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

_BARS = "▁▂▃▄▅▆▇█"
SPARK_WIDTH = 24
"""Characters of a curve: the last values, one for each."""
_SHARE_WIDTH = 20
_MAX_NAMES = 8
"""Components that are shown, each on a line of its own."""


@dataclass(slots=True)
class Shown:
    """What was told of a run so far."""

    rewards: list[float] = field(default_factory=list[float])
    """Mean reward of each step seen by this process."""
    components: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    lengths: list[float] = field(default_factory=list[float])
    held_out: list[tuple[int, float, float | None]] = field(default_factory=list[tuple[int, float, float | None]])
    """Step, mean and half the width of its 95 % interval."""
    tokens_per_s: float | None = None
    times: dict[str, float] = field(default_factory=dict[str, float])
    """Seconds of the last step by what they went into."""
    activity: str = ""
    in_flight: int | None = None
    """Rollouts that are open now."""
    alarm: str = ""
    """The last one."""


def picture(shown: Shown) -> RenderableType:
    """The lines below the bar, those of which nothing is known yet left out. No text in it is taken for markup."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True, overflow="ellipsis")
    for name, value, picture_of_it in _rows(shown):
        table.add_row(Text(name), Text(value), Text(picture_of_it))
    lines: list[RenderableType] = [table]
    if shown.activity:
        open_ones = "" if shown.in_flight is None else f"  {shown.in_flight} in flight"
        lines.append(Text(f"{shown.activity}{open_ones}", style="dim", no_wrap=True, overflow="ellipsis"))
    if shown.alarm:
        lines.append(Text(f"last alarm: {shown.alarm}", style="yellow", no_wrap=True, overflow="ellipsis"))
    return Group(*lines)


def sparkline(values: Sequence[float], width: int = SPARK_WIDTH) -> str:
    """The last `width` values as bars, from the least to the greatest of them; level where all are equal."""
    last = list(values)[-width:]
    if not last:
        return ""
    low, high = min(last), max(last)
    if not math.isfinite(high - low) or high - low <= 1e-9 * max(abs(low), abs(high), 1e-9):
        return _BARS[3] * len(last)
    return "".join(_BARS[round((value - low) / (high - low) * (len(_BARS) - 1))] for value in last)


def shares(times: Mapping[str, float], width: int = _SHARE_WIDTH) -> str:
    """What each part took of the whole: "rollouts 75 %  update 25 %" after a bar of it."""
    total = sum(times.values())
    if total <= 0:
        return ""
    first = round(next(iter(times.values())) / total * width)
    told = "  ".join(f"{name} {value / total:.0%}".replace("%", " %") for name, value in times.items())
    return f"{'█' * first}{'░' * (width - first)}  {told}"


def _rows(shown: Shown) -> list[tuple[str, str, str]]:
    rows: list[tuple[str, str, str]] = []
    if shown.rewards:
        rows.append(("reward", f"{shown.rewards[-1]:.3f}", sparkline(shown.rewards)))
    if shown.held_out:
        step, reward, ci95 = shown.held_out[-1]
        interval = "" if ci95 is None else f" ± {ci95:.3f}"
        curve = sparkline([value for _, value, _ in shown.held_out])
        rows.append(("held out", f"{reward:.3f}{interval}", f"{curve}  step {step}"))
    for name, values in list(shown.components.items())[:_MAX_NAMES]:
        rows.append((f"  {name}", f"{values[-1]:.2f}", sparkline(values)))
    if shown.lengths:
        rows.append(("tokens", f"{shown.lengths[-1]:.0f}", sparkline(shown.lengths)))
    if shown.tokens_per_s is not None:
        rows.append(("speed", f"{shown.tokens_per_s:.0f} tok/s", shares(shown.times)))
    return rows
