"""The reward curve of a run as a PNG, from its metrics file."""

from __future__ import annotations

import math
from io import BytesIO
from typing import TYPE_CHECKING, Any

from envport_trainer.errors import MetricsError
from envport_trainer.evaluation.student_t import errors_in_half
from envport_trainer.recording.atomic_files import replace_file
from envport_trainer.recording.metrics import read_metrics

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

_COMPONENT = "rewards/"


def draw_curve(metrics: Path, image: Path, *, title: str = "Reward") -> None:
    """Draw reward by step and the evaluations with their 95 % intervals, and components.

    Atomic: `image` is the earlier picture or the whole new one.

    Raises:
        MetricsError: the file holds no step with a reward.
    """
    lines = read_metrics(metrics)
    if not any(line.get("reward") is not None or line.get("eval/reward") is not None for line in lines):
        raise MetricsError(f"{metrics} holds no reward yet, so there is nothing to draw")
    # The object interface, not pyplot: no window system and no global state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = sorted({name for line in lines for name in line if name.startswith(_COMPONENT)})
    figure = Figure(figsize=(8, 7 if names else 4), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(2 if names else 1, 1, sharex=True, squeeze=False)[:, 0]
    _draw_reward(axes[0], lines, title)
    if names:
        _draw_components(axes[1], lines, names)
    axes[-1].set_xlabel("step")
    picture = BytesIO()
    canvas.print_png(picture)
    replace_file(image, picture.getvalue())


def _draw_reward(axes: Axes, lines: Sequence[dict[str, Any]], title: str) -> None:
    steps, rewards = _column(lines, "reward")
    if steps:
        axes.plot(steps, rewards, color="tab:blue", linewidth=1.5, label="training, mean of the step, 95 %")
        halves = {line["step"]: _half(line) for line in lines}
        low = [reward - halves[step] for step, reward in zip(steps, rewards, strict=True)]
        high = [reward + halves[step] for step, reward in zip(steps, rewards, strict=True)]
        axes.fill_between(steps, low, high, color="tab:blue", alpha=0.2, linewidth=0)
    steps, rewards = _column(lines, "eval/reward")
    if steps:
        widths = {line["step"]: line.get("eval/reward_ci95") or 0.0 for line in lines}
        bars = [widths[step] for step in steps]
        axes.errorbar(steps, rewards, yerr=bars, fmt="o", color="tab:orange", capsize=4, label="held out, 95 %")
    axes.set_title(title)
    axes.set_ylabel("reward")
    axes.grid(alpha=0.3)
    axes.legend(loc="best")


def _half(line: dict[str, Any]) -> float:
    """Half the width of the 95 % interval of a step's reward; 0 where it is not known."""
    error = line.get("reward_se")
    half = errors_in_half(line.get("reward_groups")) * error if error is not None else math.nan
    return half if math.isfinite(half) else 0.0


def _draw_components(axes: Axes, lines: Sequence[dict[str, Any]], names: Sequence[str]) -> None:
    for name in names:
        steps, scores = _column(lines, name)
        axes.plot(steps, scores, linewidth=1.2, label=name.removeprefix(_COMPONENT).replace("$", r"\$"))
    axes.set_ylabel("components")
    axes.grid(alpha=0.3)
    axes.legend(loc="best", fontsize="small")


def _column(lines: Sequence[dict[str, Any]], name: str) -> tuple[list[int], list[float]]:
    rows = [(line["step"], line[name]) for line in lines if line.get(name) is not None]
    return [step for step, _ in rows], [value for _, value in rows]
