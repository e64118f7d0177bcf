"""Progress of a run: a dashboard on a terminal, one line for each step elsewhere. Both go to stderr."""

from __future__ import annotations

import math
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from envport_trainer.recording.dashboard import Shown, picture
from envport_trainer.recording.visible import printable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from rich.console import RenderableType


_LINES = 10
"""Lines of an evaluation where there is no terminal."""


_MANY_TRUNCATED = 0.1
"""Share of cut-off rollouts from which on a step's line names it."""


class TrainProgress:
    """Shows `steps` steps, of which `done` are done. Use it as a context manager.

    On a terminal a bar with the run's figures below it, elsewhere one line for each step. Alarms and notes are lines
    that stay, in both.
    """

    def __init__(self, steps: int, *, done: int = 0, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._steps = steps
        self._done = done
        self._started_at = done
        self._began = time.monotonic()
        self._said: set[str] = set()
        """Kinds of activity that were printed, where there is no terminal."""
        self._shown = Shown()
        self._bar = Progress(
            TextColumn("[bold]training"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=self._console,
        )
        self._task = self._bar.add_task("training", total=steps, completed=done)
        self._live = Live(console=self._console, get_renderable=self._picture, refresh_per_second=4)

    def activity(self, text: str) -> None:
        """Say what is being done within the step, such as "rollouts 37/64".

        Elsewhere than on a terminal only until the first step is done, and each kind of activity once.
        """
        self._shown.activity = printable(text)
        kind = text.partition(" ")[0]
        if not self._console.is_terminal and self._done == self._started_at and kind not in self._said:
            self._said.add(kind)
            self._print(text)

    def in_flight(self, rollouts: int | None) -> None:
        """Say how many rollouts are open; a terminal shows it."""
        self._shown.in_flight = rollouts

    def step_done(
        self,
        step: int,
        *,
        reward: float,
        rewards: Mapping[str, float],
        length: float,
        tokens_per_s: float,
        times: Mapping[str, float] = MappingProxyType({}),
        truncated: float = 0.0,
    ) -> None:
        """Show a finished step: mean reward and components, mean sampled tokens of a rollout, tokens a second, the
        seconds that went into each part, such as {"rollouts": 3.0, "update": 1.0}, and the share of rollouts that were
        cut off."""
        self._done = step
        self._bar.update(self._task, completed=step)
        shown = self._shown
        shown.rewards.append(reward)
        shown.lengths.append(length)
        for name, score in rewards.items():
            shown.components.setdefault(printable(name), []).append(score)
        shown.tokens_per_s, shown.times, shown.activity = tokens_per_s, dict(times), ""
        if not self._console.is_terminal:
            measured = _measured(reward, rewards, length, tokens_per_s)
            if truncated >= _MANY_TRUNCATED:
                measured += f"  {truncated:.0%} cut off"
            self._print(f"step {step}/{self._steps}  {measured}  ETA {_clock(self._eta_s())}")

    def held_out(self, step: int, reward: float, ci95: float | None = None) -> None:
        """Show an evaluation: mean reward on held-out tasks, half the width of its 95 % interval where it has one."""
        width = None if ci95 is None or not math.isfinite(ci95) else ci95
        self._shown.held_out.append((step, reward, width))
        if not self._console.is_terminal:
            interval = "" if width is None else f" ± {width:.3f}"
            self._print(f"held out after step {step}  reward {reward:.3f}{interval}")

    def note(self, text: str) -> None:
        """Print a line that stays, above the bar."""
        self._print(text)

    def alarm(self, text: str) -> None:
        """Print an alarm: a line that stays; a terminal shows the last one below the bar too."""
        self._shown.alarm = printable(text)
        self._print(f"alarm: {text}", style="yellow")

    def _picture(self) -> RenderableType:
        return Group(self._bar.get_renderable(), picture(self._shown))

    def _print(self, text: str, style: str | None = None) -> None:
        self._console.print(printable(text), markup=False, highlight=False, emoji=False, soft_wrap=True, style=style)

    def _eta_s(self) -> float:
        here = self._done - self._started_at
        return (time.monotonic() - self._began) / here * (self._steps - self._done) if here else 0.0

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shown.activity = ""
        self._live.stop()


def _measured(reward: float, rewards: Mapping[str, float], length: float, tokens_per_s: float) -> str:
    parts = [f"reward {reward:.3f}"]
    if rewards:
        parts.append(" ".join(f"{name} {score:.2f}" for name, score in rewards.items()))
    return "  ".join([*parts, f"{length:.0f} tok", f"{tokens_per_s:.0f} tok/s"])


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


class EvalProgress:
    """Shows how many of `total` attempts are done and their mean reward: a bar on a terminal, elsewhere a line for each
    tenth of them."""

    def __init__(self, total: int, *, console: Console | None = None) -> None:
        self._console = console = console or Console(stderr=True)
        self._total = total
        self._bar = Progress(
            TextColumn("[bold]evaluating"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[measured]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("evaluating", total=total, measured="")
        self._rewards: list[float] = []
        self._failed = 0

    def row_done(self, reward: float | None) -> None:
        """Count a finished attempt; None is one that could not be scored."""
        if reward is None:
            self._failed += 1
        else:
            self._rewards.append(reward)
        measured = self._measured()
        self._bar.update(self._task, advance=1, measured=measured)
        done = len(self._rewards) + self._failed
        if not self._console.is_terminal and done * _LINES // self._total > (done - 1) * _LINES // self._total:
            self._print(f"evaluated {done}/{self._total}  {measured}")

    def _measured(self) -> str:
        measured = f"reward {sum(self._rewards) / len(self._rewards):.3f}" if self._rewards else ""
        return measured + (f"  {self._failed} failed" if self._failed else "")

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        self._bar.start()
        if not self._console.is_terminal:
            self._print(f"evaluating up to {self._total} tasks")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
