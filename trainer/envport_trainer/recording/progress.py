"""Progress of a run: a bar on a terminal, one line for each step elsewhere. Both go to stderr."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from rich.progress import Task


_LINES = 10
"""Lines of an evaluation where there is no terminal."""


class TrainProgress:
    """Shows `steps` steps, of which `done` are done. Use it as a context manager."""

    def __init__(self, steps: int, *, done: int = 0, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._steps = steps
        self._done = done
        self._started_at = done
        self._began = time.monotonic()
        self._said: set[str] = set()
        """Kinds of activity that were printed, where there is no terminal."""
        self._bar = Progress(
            TextColumn("[bold]training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[measured]}"),
            _Activity(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("training", total=steps, completed=done, measured="", activity="")

    def activity(self, text: str) -> None:
        """Say what is being done within the step, such as "rollouts 37/64".

        Elsewhere than on a terminal only until the first step is done, and each kind of activity once.
        """
        self._bar.update(self._task, activity=text)
        kind = text.partition(" ")[0]
        if not self._console.is_terminal and self._done == self._started_at and kind not in self._said:
            self._said.add(kind)
            self._print(text)

    def step_done(
        self, step: int, *, reward: float, rewards: Mapping[str, float], length: float, tokens_per_s: float
    ) -> None:
        """Show a finished step: mean reward and components, mean sampled tokens of a rollout, tokens a second."""
        self._done = step
        measured = _measured(reward, rewards, length, tokens_per_s)
        self._bar.update(self._task, completed=step, measured=measured, activity="")
        if not self._console.is_terminal:
            self._print(f"step {step}/{self._steps}  {measured}  ETA {_clock(self._eta_s())}")

    def note(self, text: str) -> None:
        """Print a line that stays, above the bar."""
        self._print(text)

    def _print(self, text: str) -> None:
        (self._bar.console if self._bar.live.is_started else self._console).print(
            text, markup=False, highlight=False, soft_wrap=True
        )

    def _eta_s(self) -> float:
        here = self._done - self._started_at
        return (time.monotonic() - self._began) / here * (self._steps - self._done) if here else 0.0

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()


class _Activity(ProgressColumn):
    """The text of `activity`, dim."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["activity"], style="dim")


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
