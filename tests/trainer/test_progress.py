"""Progress is a dashboard on a terminal and plain lines elsewhere."""

from __future__ import annotations

import io
import re

from envport_trainer.recording import progress as progress
from envport_trainer.recording.dashboard import Shown, picture, shares, sparkline
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
        shown.step_done(12, reward=1.0, rewards={}, length=1.0, tokens_per_s=1.0, truncated=0.834)
        shown.note("saved [bold]step[/bold] 12")
    assert text(out) == (
        "rollouts 0/64\n"
        "update\n"
        "step 11/12  reward 0.512  fields 0.25 json 1.00  72 tok  590 tok/s  ETA 0:00:30\n"
        "step 12/12  reward 1.000  1 tok  1 tok/s  83% cut off  ETA 0:00:00\n"
        "saved [bold]step[/bold] 12\n"
    )


def test_a_terminal_shows_a_dashboard_of_the_run():
    out = console(terminal=True)
    with TrainProgress(4, console=out) as shown:
        for step, reward in enumerate((0.25, 0.5, 0.75), start=1):
            times = {"rollouts": 3.0, "update": 1.0}
            parts = {"fields": reward}
            shown.step_done(step, reward=reward, rewards=parts, length=70, tokens_per_s=500, times=times)
        shown.held_out(3, 0.625, 0.125)
        shown.alarm("step 3: entropy fell below 0.3")
    last = printed(out)[-8:-1]
    assert last[0].startswith("training ━")
    assert last[0].split()[2] == "3/4"
    assert [re.sub(" {2,}", "  ", line) for line in last[1:]] == [
        "reward  0.750  ▁▅█",
        "held out  0.625 ± 0.125  ▄  step 3",
        "  fields  0.75  ▁▅█",
        "tokens  70  ▄▄▄",
        "speed  500 tok/s  ███████████████░░░░░  rollouts 75 %  update 25 %",
        "last alarm: step 3: entropy fell below 0.3",
    ]
    assert "alarm: step 3: entropy fell below 0.3" in printed(out)[:2]


def printed(of: Console) -> list[str]:
    """What a terminal got, without what steers it."""
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text(of)).replace("\r", "\n").split("\n")]


def test_the_picture_has_the_rollouts_in_flight_and_leaves_out_what_is_not_known():
    def drawn(shown: Shown) -> list[str]:
        out = console(terminal=False)
        out.print(picture(shown))
        return [line.rstrip() for line in text(out).splitlines() if line.strip()]

    assert drawn(Shown()) == []
    assert drawn(Shown(activity="rollouts 3/64", in_flight=61)) == ["rollouts 3/64  61 in flight"]
    assert drawn(Shown(rewards=[0.5], components={"[bold]x": [0.5]})) == ["reward     0.500  ▄", "  [bold]x   0.50  ▄"]


def test_a_sparkline_goes_from_the_least_to_the_greatest_of_the_last_values():
    assert sparkline([]) == ""
    assert sparkline([2.0, 2.0]) == "▄▄"
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert sparkline([100.0, 0.0, 1.0], width=2) == "▁█"


def test_the_shares_of_the_time_add_up():
    assert shares({"rollouts": 3.0, "update": 1.0}, width=4) == "███░  rollouts 75 %  update 25 %"
    assert shares({}) == shares({"rollouts": 0.0}) == ""


def test_elsewhere_alarms_and_evaluations_are_lines_of_their_own():
    out = console(terminal=False)
    with TrainProgress(2, console=out) as shown:
        shown.alarm("step 1: [red]reward[/red] fell\x1b[2J")
        shown.held_out(1, 0.5, 0.125)
        shown.held_out(2, 0.75, float("nan"))
        shown.in_flight(3)
    assert text(out) == (
        "alarm: step 1: [red]reward[/red] fell\\u{1b}[2J\n"
        "held out after step 1  reward 0.500 ± 0.125\n"
        "held out after step 2  reward 0.750\n"
    )


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
