"""Progress is a bar on a terminal and plain lines elsewhere."""

from __future__ import annotations

import io

from envport_trainer.recording import progress as progress
from envport_trainer.recording.progress import EvalProgress, TrainProgress
from rich.console import Console


def console(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=160, color_system=None)


def text(of: Console) -> str:
    assert isinstance(of.file, io.StringIO)
    return of.file.getvalue()


def test_elsewhere_each_step_is_one_line_with_the_time_left(monkeypatch):
    clock = iter([100.0, 130.0, 160.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: 100.0)
    out = console(terminal=False)
    with TrainProgress(12, done=10, console=out) as shown:
        monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock) + 30)
        shown.activity("rollouts 0/64")
        shown.activity("rollouts 1/64")
        shown.activity("update")
        shown.step_done(11, reward=0.51234, rewards={"fields": 0.25, "json": 1.0}, length=71.6, tokens_per_s=590.4)
        shown.activity("evaluation")
        shown.step_done(12, reward=1.0, rewards={}, length=1.0, tokens_per_s=1.0)
        shown.note("saved [bold]step[/bold] 12")
    assert text(out) == (
        "rollouts 0/64\n"
        "update\n"
        "step 11/12  reward 0.512  fields 0.25 json 1.00  72 tok  590 tok/s  ETA 0:00:30\n"
        "step 12/12  reward 1.000  1 tok  1 tok/s  ETA 0:00:00\n"
        "saved [bold]step[/bold] 12\n"
    )


def test_a_terminal_shows_a_bar_with_what_is_being_done():
    out = console(terminal=True)
    with TrainProgress(2, console=out) as shown:
        shown.step_done(1, reward=0.5, rewards={"fields": 0.25}, length=70, tokens_per_s=500)
        shown.activity("rollouts 3/64")
    assert "reward 0.500  fields 0.25  70 tok  500 tok/s" in text(out)
    assert "1/2" in text(out)
    assert "rollouts 3/64" in text(out)


def test_an_evaluation_shows_its_mean_and_its_failures():
    out = console(terminal=True)
    with EvalProgress(4, console=out) as shown:
        for reward in (0.5, 1.0, None):
            shown.row_done(reward)
    assert "3/4" in text(out)
    assert "reward 0.750  1 failed" in text(out)


def test_elsewhere_an_evaluation_says_each_tenth():
    out = console(terminal=False)
    with EvalProgress(20, console=out) as shown:
        for _ in range(4):
            shown.row_done(0.5)
        shown.row_done(None)
        shown.row_done(1.0)
    assert text(out) == (
        "evaluating up to 20 tasks\n"
        "evaluated 2/20  reward 0.500\n"
        "evaluated 4/20  reward 0.500\n"
        "evaluated 6/20  reward 0.600  1 failed\n"
    )
    out = console(terminal=False)
    with EvalProgress(3, console=out) as shown:
        shown.row_done(1.0)
    assert text(out) == "evaluating up to 3 tasks\nevaluated 1/3  reward 1.000\n"
