"""A run is told truly: its numbers, curves, and rollouts before and after; and no text of others can do anything."""

from __future__ import annotations

import gzip
import json
import math
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from envport.cli import app
from envport.cli.boundary import exit_code_of
from envport_trainer.errors import TrainerError
from envport_trainer.recording.logged_rollout import LoggedRollout, of_trajectory
from envport_trainer.recording.metrics import MetricsLog
from envport_trainer.recording.rollout_log import RolloutLog
from envport_trainer.recording.run_facts import run_facts, write_run_facts
from envport_trainer.recording.trackers import Trackers
from envport_trainer.recording.visible import visible
from envport_trainer.report import pairs
from envport_trainer.report.calls import turns_of
from envport_trainer.report.charts import reward_chart, sections
from envport_trainer.report.page import report_html
from envport_trainer.report.run_data import Alarm, read_run
from envport_trainer.report.summary import Change, Measured, summarize
from envport_trainer.report.svg import Chart, Point, Series, draw, thinned, ticks, told

from .made_run import DIGEST, MANIFEST, config, conversation, evaluated, make_run, row, trajectory

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = (
    "</pre></style></title><script>window.pwned=1</script><img src=x onerror=window.pwned=1>"
    "<a href='javascript:window.pwned=1'>go</a>{{ 7*7 }}{% raw %}&lt;b&gt;\" onload=\"window.pwned=1"
    "\u202eevil\u2066\x1b[31m\x00\ud800"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "made")


class Outline(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def run_command(capsys, *arguments: object) -> tuple[int, str, str]:
    code = exit_code_of(lambda: app([str(part) for part in arguments], standalone_mode=True))
    out, err = capsys.readouterr()
    return code, out, err


def test_the_summary_has_first_and_last_with_their_intervals(made):
    summary = summarize(read_run(made))
    assert (summary.name, summary.steps, summary.planned_steps, summary.alarms) == ("made", 6, 6, 1)
    assert summary.training == (Measured(1, pytest.approx(0.3), 0.098), Measured(6, pytest.approx(0.8), 0.098))
    assert summary.held_out == (Measured(3, 0.5, 0.2), Measured(6, 0.6875, 0.2))
    assert (summary.seconds, summary.rollouts_share, summary.sampled_tokens) == (24.0, 0.75, 2400.0)


def test_the_change_is_that_of_the_same_tasks_with_the_interval_of_the_differences(made):
    # differences 0.75, 0, -0.25, 0.5: mean 0.25, variance (0.25 + 0.0625 + 0.25 + 0.0625) / 3, over 4 tasks
    se = (0.625 / 3 / 4) ** 0.5
    # Student's t of 3 degrees of freedom, from printed tables
    assert summarize(read_run(made)).change == Change(0.25, pytest.approx(3.1824463 * se), 4, 0, 6)


@pytest.mark.parametrize(("n", "t"), [(2, 12.7062047), (11, 2.2281389), (31, 2.0422725), (121, 1.9799304)])
def test_the_interval_of_the_change_is_students_by_the_number_of_tasks(n, t):
    # changes 0 and 1 in turn, from a task that gained nothing: their mean and variance in closed form
    ends = [
        [LoggedRollout("e", None, str(k), "r", None, "stop", float(after * (k % 2))) for k in range(n)]
        for after in (0, 1)
    ]
    gained = n // 2
    variance = gained * (n - gained) / n / (n - 1)
    change = pairs.change_of(pairs.same_tasks(*ends))
    assert change == (pytest.approx(gained / n), pytest.approx(t * (variance / n) ** 0.5), n)


def test_of_one_task_the_change_has_no_interval():
    one = [LoggedRollout("e", None, "t", "r", None, "stop", 0.5)]
    mean, ci95, n = pairs.change_of(pairs.same_tasks(one, one))
    assert (mean, n) == (0.0, 1)
    assert math.isnan(ci95)


def test_pairs_are_the_same_task_of_the_same_environment_from_gain_to_loss():
    def rollout(task: str, reward: float | None, digest: str | None = "a", env: str = "http://x") -> LoggedRollout:
        return LoggedRollout(env, digest, task, "r", None, "stop", reward)

    before = [rollout("1", 0.5), rollout("2", 0.5), rollout("3", None), rollout("4", 0.5, "b"), rollout("5", 1, None)]
    after = [
        rollout("1", 0.25),
        rollout("2", 1.0, env="http://moved"),
        rollout("3", 1.0),
        rollout("4", 1.0, "c"),
        rollout("5", 0, None, env="http://y"),
        rollout("6", 1.0),
    ]
    matched = pairs.same_tasks(before, after)
    assert [(pair.label, pair.change) for pair in matched] == [("2", 0.5), ("1", -0.25)]


def test_a_task_that_two_urls_of_one_environment_gave_is_one_pair():
    def attempts(first: float, second: float) -> list[LoggedRollout]:
        return [
            LoggedRollout(env, "a", "t", "r", None, "stop", reward)
            for env, reward in (("http://x", first), ("http://y", second))
        ]

    assert [pair.change for pair in pairs.same_tasks(attempts(0.25, 0.5), attempts(1.0, 0.75))] == [0.75]


def test_the_shown_pairs_are_spread_from_the_largest_gain_to_the_largest_loss():
    many = [pairs.Pair(str(n), *2 * [LoggedRollout("e", None, "t", "r", None, "stop", 0.0)]) for n in range(11)]
    assert [pair.label for pair in pairs.chosen(many, 6)] == ["0", "2", "4", "6", "8", "10"]
    assert pairs.chosen(many[:3], 6) == many[:3]


def test_training_rollouts_are_matched_by_rank():
    def some(*rewards: float | None) -> list[LoggedRollout]:
        return [LoggedRollout("e", None, "t", "r", None, "stop", reward) for reward in rewards]

    ranked = pairs.by_rank(some(0.5, None, 0.1, 0.9), some(0.2, 0.4, 0.6, 0.8, 1.0))
    shown = [(pair.label, pair.before.reward, pair.after.reward) for pair in ranked]
    assert shown == [("best", 0.9, 1.0), ("median", 0.5, 0.6), ("worst", 0.1, 0.2)]
    assert pairs.by_rank([], some(0.5)) == []


def test_the_page_shows_both_rollouts_of_a_task_with_each_call_its_answer_and_each_component(made):
    outline = Outline(report_html(read_run(made)))
    for text in ("before 0", "after 0", "Held-out task 0?", "call of lookup", '"name": "Yakawlang"', "bamyan"):
        assert text in outline.text
    for text in (
        "extraction 1.2.0",
        DIGEST,
        "entropy fell below 0.3",
        "models/tiny",
        "prompts_per_step",
        "transformers",
    ):
        assert text in outline.text
    assert "Task held-0 +0.750" in outline.text
    assert "+0.250 ± 0.726" in outline.text
    tables = re.findall(
        r"fields\s*</th><td[^>]*>([^<]*)</td><td[^>]*>([^<]*)</td><td[^>]*>([^<]*)", report_html(read_run(made))
    )
    assert tables[0] == ("0.000", "0.750", "0.000")
    assert tables[1] == ("1.000", "0.750", "0.750")


def kept_with_reasons(folder: Path, reasons: dict[str, str]) -> Path:
    """A run of one step, whose rollout has these reasons."""
    line = replace(of_trajectory(trajectory()), reasons=reasons).as_line()
    (folder / "rollouts").mkdir()
    (folder / "rollouts" / "step-000001-train.jsonl.gz").write_bytes(gzip.compress(b'{"left_out": 0}\n' + line))
    with MetricsLog(folder, trackers=Trackers((), folder, "x", {})) as metrics:
        metrics.write(1, {"reward": 0.5})
    return folder


REASONS = {"fields": "2 of 4 fields right: title, date wrong", "judge": "not scored: the judge did not answer"}


def test_the_page_shows_why_beside_each_score(tmp_path):
    html = report_html(read_run(kept_with_reasons(tmp_path, REASONS)))
    rows = re.findall(r'<tr><th scope="row">(\w+)</th>((?:<td[^>]*>[^<]*</td>)+)</tr>', html)
    shown = {name: re.findall(r"<td[^>]*>([^<]*)</td>", cells) for name, cells in rows}
    assert shown["fields"] == ["0.333", "0.750", "0.250", "2 of 4 fields right: title, date wrong"]
    assert shown["json"] == ["1.000", "0.250", "0.250", ""]
    assert shown["judge"] == ["–", "–", "–", "not scored: the judge did not answer"]


def test_a_run_without_reasons_has_no_column_for_them(made):
    assert '<th scope="col">Reason</th>' not in report_html(read_run(made))


def test_a_reason_stays_text(tmp_path):
    html = report_html(read_run(kept_with_reasons(tmp_path, {"fields": HOSTILE})))
    outline = Outline(html)
    assert {tag for tag, _ in outline.elements}.isdisjoint({"script", "img", "form"})
    assert "&lt;script&gt;window.pwned=1&lt;/script&gt;" in html
    assert r"\u{202e}evil\u{2066}\u{1b}[31m\u{0}" in outline.text
    assert not set("\u202e\u2066\x1b\x00") & set(html)


def test_the_page_loads_nothing_and_allows_one_style_and_no_script(made):
    outline = Outline(report_html(read_run(made)))
    assert outline.named("script") == outline.named("img") == outline.named("iframe") == outline.named("form") == []
    addresses = {
        name: value for _, found in outline.elements for name, value in found.items() if name in ("href", "src")
    }
    assert all(value.startswith(("#", "data:,")) for value in addresses.values() if value)
    (policy,) = [m["content"] for m in outline.named("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert not [tag for tag, attributes in outline.elements if "style" in attributes]


def hostile_run(tmp_path: Path) -> Path:
    """A run in which every text that others can write is markup."""
    hostile_rewards = {HOSTILE: 0.5}
    facts = run_facts(config(tmp_path, model=HOSTILE.replace("\ud800", "")), [MANIFEST], "cpu")
    environment = {"name": HOSTILE, "version": HOSTILE, "digest": HOSTILE, "url": HOSTILE, "tools": [HOSTILE]}
    environment |= {"rewards": [{"name": HOSTILE, "weight": 1.0, "description": HOSTILE}]}
    (tmp_path / "run.json").write_text(json.dumps(facts | {"environments": [environment]}))
    (tmp_path / "alarms.jsonl").write_text(
        json.dumps({"step": 1, "name": HOSTILE, "severity": HOSTILE, "text": HOSTILE}) + "\n"
    )
    messages = [
        {"role": HOSTILE, "content": HOSTILE},
        {"role": "assistant", "content": HOSTILE, "tool_calls": [{"name": HOSTILE, "arguments": {HOSTILE: HOSTILE}}]},
        {"role": "tool", "name": HOSTILE, "content": HOSTILE},
    ]
    log = RolloutLog(tmp_path)
    with MetricsLog(tmp_path, trackers=Trackers((), tmp_path, "x", {})) as metrics:
        for step in (1, 2):
            metrics.write(step, {"reward": 0.5, f"rewards/{HOSTILE}": 0.5, f"metrics/{HOSTILE}": 0.5})
            more: dict[str, Any] = {"messages": messages, "rewards": hostile_rewards, "weights": {}, "task_id": HOSTILE}
            log.write(step, "train", [trajectory(**more)])
            log.write_eval(step, evaluated(row(0, 0.5, HOSTILE)))
    return tmp_path


def test_what_others_wrote_stays_text(tmp_path):
    html = report_html(read_run(hostile_run(tmp_path)))
    outline = Outline(html)
    assert {tag for tag, _ in outline.elements}.isdisjoint({"script", "img", "iframe", "object", "base", "form", "b2"})
    assert {name for _, found in outline.elements for name in found if name.startswith("on")} == set()
    assert [a["href"] for a in outline.named("a") if not (a["href"] or "").startswith("#")] == []
    assert "<script>window.pwned=1</script>" in outline.text
    assert "{{ 7*7 }}" in outline.text
    for char in "\u202e\u2066\x1b\x00\ud800":
        assert char not in html
    assert r"\u{202e}evil\u{2066}\u{1b}[31m\u{0}\u{d800}" in outline.text
    html.encode("utf-8")


def test_invisible_characters_are_spelled_out_and_letters_of_all_scripts_stay():
    plain = "Grüße, 你好, שלום, नमस्ते 👩\u200d👧\n\ttabbed"
    assert visible(plain) == plain
    assert visible("a\x1b]0;x\x07b\r\u200b\u2028\ufeff\x85\x7f") == (
        r"a\u{1b}]0;x\u{7}b\u{d}\u{200b}\u{2028}\u{feff}\u{85}\u{7f}"
    )


def test_a_run_without_evaluation_says_how_to_have_one(tmp_path):
    run = read_run(make_run(tmp_path / "r", evals=False))
    assert (summarize(run).held_out, summarize(run).change) == (None, None)
    text = Outline(report_html(run)).text
    assert "not measured" in text
    assert "No held-out rollouts were kept. Set eval_every to have them." in text
    assert "The best, the median and the worst rollout of step 1 and of step 6" in text


def test_a_run_that_is_still_going_can_be_told_at_any_moment(tmp_path):
    run = make_run(tmp_path / "r", steps=1)
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "rew')
    with (run / "alarms.jsonl").open("a") as file:
        file.write('{"step": 9')
    data = read_run(run)
    assert (data.steps, data.alarms) == (1, [Alarm(4, "entropy", "warning", "entropy fell below 0.3")])
    assert "Held-out tasks were tried after step 0 alone" in Outline(report_html(data)).text


def test_a_run_of_an_earlier_version_has_its_curves(tmp_path):
    with MetricsLog(tmp_path / "old", trackers=Trackers((), tmp_path / "old", "x", {})) as metrics:
        metrics.write(1, {"reward": 0.5})
    text = Outline(report_html(read_run(tmp_path / "old"))).text
    assert "The run wrote no run.json" in text
    assert "No training rollouts were kept." in text


def test_an_empty_run_says_what_was_seen_and_what_to_do(tmp_path, capsys):
    write_run_facts(tmp_path / "young", run_facts(config(tmp_path), [MANIFEST], "cpu"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "diary.txt").write_text("dear diary")
    for folder, told_of in (
        ("young", "the run has started and no step of it is done; run the command again later"),
        ("other", "holds no run: expected metrics.jsonl, found diary.txt; give the output folder of envport train"),
        ("absent", "is no folder; give the output folder of envport train, such as runs/train"),
    ):
        code, out, err = run_command(capsys, "report", tmp_path / folder)
        assert (code, out) == (1, "")
        assert told_of in err
        with pytest.raises(TrainerError):
            read_run(tmp_path / folder)


def test_the_command_writes_the_file_and_says_so(made, tmp_path, capsys):
    run = shutil.copytree(made, tmp_path / "run")
    code, out, err = run_command(capsys, "report", run)
    assert (code, err) == (0, f"wrote {run}/report.html\n")
    assert "held-out reward  0.500 ± 0.200 (step 3)  0.688 ± 0.200 (step 6)" in out
    assert (run / "report.html").read_text().startswith("<!doctype html>")
    code, out, err = run_command(capsys, "report", run, "--out", tmp_path / "x.html", "--json")
    told_as_json = json.loads(out)
    assert (told_as_json["out"], told_as_json["change"]["mean"]) == (str(tmp_path / "x.html"), 0.25)
    assert (tmp_path / "x.html").read_text() == (run / "report.html").read_text()


def test_a_place_that_takes_no_file_is_told(made, tmp_path, capsys):
    code, _, err = run_command(capsys, "report", made, "--out", tmp_path)
    assert (code, "--out is a folder, expected a file" in err) == (1, True)
    code, _, err = run_command(capsys, "report", made, "--out", tmp_path / "a" / "b.html")
    assert (code, "--out is in a folder that is not there" in err) == (1, True)


def test_curves_have_the_values_of_the_run_and_intervals_of_95_percent(made):
    training, held_out = reward_chart(read_run(made)).series
    assert [tuple(point) for point in training.points][1:3] == [(2, 0.4, 0.098), (3, 0.5, 0.098)]
    assert [tuple(point) for point in held_out.points] == [(3, 0.5, 0.2), (6, 0.6875, 0.2)]
    found = {section.name: [chart.title for chart in section.charts] for section in sections(read_run(made))}
    assert found["Components"] == ["Components in training", "Components held out"]
    assert found["Lengths"] == ["Tokens of a rollout", "Truncated rollouts"]
    assert found["Every other metric"] == [
        "tool_calls",
        "entropy",
        "grad_norm",
        "rollouts_s",
        "step_s",
        "sampled_tokens",
    ]


def test_a_chart_draws_each_value_where_its_axis_has_it():
    svg = draw(Chart("T", "y", [Series("s", [Point(0, 0.0), Point(10, 1.0)])]), 7)
    # x from 54 to 408, y from 196 up to 12 with a room of a twentieth of the span on both sides
    low, high = 196 - 184 * 0.05 / 1.1, 196 - 184 * 1.05 / 1.1
    assert f'<path class="line c0" d="M54.0 {low:.1f}L408.0 {high:.1f}"/>' in svg
    assert 'aria-labelledby="t7" aria-describedby="d7"' in svg
    assert "s: from 0 at step 0 to 1 at step 10, between 0 and 1." in svg


def test_a_band_is_as_wide_as_its_interval_and_marks_have_bars():
    svg = draw(Chart("T", "y", [Series("s", [Point(0, 0.5, 0.5), Point(10, 0.5, 0.5)])]), 1)
    low, high = 196 - 184 * 0.05 / 1.1, 196 - 184 * 1.05 / 1.1
    assert f'd="M54.0 {high:.1f}L408.0 {high:.1f}L408.0 {low:.1f}L54.0 {low:.1f}Z"' in svg
    marks = draw(Chart("T", "y", [Series("s", [Point(0, 0.5, 0.5), Point(10, 0.5, 0)], marks=True)]), 1)
    assert marks.count('class="bar') == 1
    assert marks.count("<circle") == 2


@pytest.mark.parametrize(
    "points", [[Point(3, 0.0)], [Point(1, 5.0), Point(2, 5.0)], [Point(1, 1e-12), Point(2, -1e300)]]
)
def test_odd_values_are_drawn_within_the_chart(points):
    svg = draw(Chart("T", "y", [Series("s", points)]), 1)
    numbers = [float(part) for part in re.findall(r'<circle[^>]* c[xy]="([^"]*)"', svg)]
    assert numbers
    assert all(0 <= number <= 420 for number in numbers)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (1, 6, [1, 2, 3, 4, 5, 6]), (-0.5, 0.5, [-0.4, -0.2, 0, 0.2, 0.4])],
)
def test_ticks_are_round(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


def test_many_points_become_means_of_neighbours():
    points = [Point(step, float(step % 2)) for step in range(600)]
    assert thinned(points)[:2] == [Point(0.5, 0.5), Point(2.5, 0.5)]
    assert len(thinned(points)) == 300
    assert told(Chart("T", "y", [Series("s", points)])).startswith("s: from 0 at step 0 to 1 at step 599")


def test_each_call_stands_with_its_answer():
    (_, asked, said) = turns_of(conversation("done"))
    assert [(c.name, c.arguments, c.answer) for c in asked.calls] == [
        ("lookup", '{\n  "name": "Yakawlang"\n}', "bamyan")
    ]
    assert (said.role, said.text, said.calls) == ("assistant", "done", [])


def test_calls_of_any_form_are_shown():
    given = [
        {"role": "assistant", "content": "a", "tool_calls": [{"function": {"name": "f", "arguments": '{"x": 1}'}}]},
        {"role": "tool", "name": "f", "content": "one"},
        {"role": "assistant", "content": "[g(1)]"},
        {"role": "tool", "name": "g", "content": "two"},
        {"role": "assistant", "content": "<tool_call>{nonsense</tool_call><tool_call>[1]</tool_call>"},
        {"role": "tool", "name": "error", "content": "not JSON"},
    ]
    shown = [(call.name, call.arguments, call.answer) for turn in turns_of(given) for call in turn.calls]
    assert shown == [
        ("f", '{"x": 1}', "one"),
        ("g", None, "two"),
        ("unreadable call", "{nonsense", "not JSON"),
        ("unreadable call", "[1]", None),
    ]
    assert [turn.role for turn in turns_of([{"role": "tool", "content": None}, {}])] == ["tool", ""]


def test_rollouts_are_listed_with_the_worst_first(made, capsys):
    code, out, err = run_command(capsys, "rollouts", made, "--worst", "--limit", "2")
    assert code == 0
    assert out.splitlines() == [
        "number  task    reward  components             finish  tokens  calls  wrong",
        "1       task-6  0.650   fields 0.53 json 1.00  stop    2       1      0",
        "2       task-6  0.750   fields 0.67 json 1.00  stop    2       1      0",
    ]
    assert err == "step 6, train: 2 of 4 rollouts; --show NUMBER prints one\n"
    code, out, _ = run_command(capsys, "rollouts", made, "--best", "--limit", "1", "--json")
    assert [(one["number"], one["reward"]) for one in json.loads(out)] == [(4, pytest.approx(0.95))]


def test_held_out_rollouts_are_listed_by_task_and_step(made, capsys):
    code, out, _ = run_command(capsys, "rollouts", made, "--kind", "eval", "--step", "0", "--task", "held-2", "--json")
    (one,) = json.loads(out)
    assert (code, one["task_id"], one["reward"], one["messages"][-1]["content"]) == (0, "held-2", 0.75, "before 2")
    code, out, _ = run_command(capsys, "rollouts", made, "--step", "0", "--task", "none")
    assert (code, out) == (0, "no rollout of that task\n")


def test_one_rollout_is_printed_with_its_calls_and_components(made, capsys):
    code, out, _ = run_command(capsys, "rollouts", made, "--kind", "eval", "--show", "held")
    assert code == 1
    code, out, _ = run_command(capsys, "rollouts", made, "--kind", "eval", "--show", "eval-0")
    assert code == 0
    assert "step 6, eval, rollout 1, task held-0: reward 1.000" in out
    assert '  call of lookup\n  {\n    "name": "Yakawlang"\n  }\n  answer\n  bamyan\n' in out
    assert out.endswith(
        "component  score  weight  share of the reward\n"
        "fields     1.000  0.75    0.750\n"
        "json       1.000  0.25    0.250\n"
    )
    code, out, _ = run_command(capsys, "rollouts", made, "--show", "2", "--json")
    assert json.loads(out)["advantage"] == pytest.approx(-0.05)


def test_one_rollout_is_printed_with_the_reasons_for_its_scores(tmp_path, capsys):
    kept_with_reasons(tmp_path, REASONS)
    code, out, _ = run_command(capsys, "rollouts", tmp_path, "--show", "1")
    assert code == 0
    assert out.endswith(
        "component  score  weight  share of the reward  reason\n"
        "fields     0.333  0.75    0.250                2 of 4 fields right: title, date wrong\n"
        "json       1.000  0.25    0.250                -\n"
        "judge      -      -       -                    not scored: the judge did not answer\n"
    )
    code, out, _ = run_command(capsys, "rollouts", tmp_path, "--show", "1", "--json")
    assert json.loads(out)["reasons"] == REASONS


def test_a_terminal_is_not_steered_by_a_reason(tmp_path, capsys):
    kept_with_reasons(tmp_path, {"fields": f"{HOSTILE}\nnext\tline"})
    code, out, err = run_command(capsys, "rollouts", tmp_path, "--show", "1")
    assert code == 0
    assert not set("\u202e\u2066\x1b\x00\ud800") & set(out + err)
    assert "\\u{202e}evil\\u{2066}\\u{1b}[31m\\u{0}\ufffd\\nnext\\tline" in out


def test_a_terminal_is_not_steered_by_what_is_printed(tmp_path, capsys):
    RolloutLog(tmp_path).write(
        1, "train", [trajectory(task_id=HOSTILE, messages=conversation(HOSTILE + "[bold]x[/bold]"))]
    )
    for arguments in ((), ("--show", "1")):
        code, out, err = run_command(capsys, "rollouts", tmp_path, *arguments)
        assert code == 0
        assert not set("\u202e\u2066\x1b\x00\ud800") & set(out + err)
    code, out, _ = run_command(capsys, "rollouts", tmp_path, "--json")
    assert "\x1b" not in out
    assert json.loads(out)[0]["task_id"] == HOSTILE.replace("\ud800", "\ufffd")
    code, out, _ = run_command(capsys, "rollouts", tmp_path, "--show", "1")
    assert "\\u{202e}evil\\u{2066}\\u{1b}[31m\\u{0}\ufffd[bold]x[/bold]" in out


@pytest.mark.parametrize(
    ("arguments", "told_of"),
    [
        (("--show", "77"), "no rollout '77' among the 4 of step 6 (train)"),
        (("--step", "99"), "no train rollouts of step 99; there are steps 1, 2, 3, 4, 5, 6"),
        (("--step", "1", "--kind", "eval"), "no eval rollouts of step 1; there are steps 0, 3, 6"),
    ],
)
def test_a_rollout_that_was_not_kept_is_told(made, capsys, arguments, told_of):
    code, out, err = run_command(capsys, "rollouts", made, *arguments)
    assert (code, out) == (1, "")
    assert told_of in err


def test_a_folder_without_rollouts_is_told(tmp_path, capsys):
    code, _, err = run_command(capsys, "rollouts", tmp_path)
    assert (code, err) == (1, f"error: {tmp_path}: no rollouts were kept; a run keeps them from its first step on\n")
    code, _, err = run_command(capsys, "rollouts", tmp_path / "absent")
    assert (code, "is no folder" in err) == (1, True)
    code, _, err = run_command(capsys, "rollouts", tmp_path, "--best", "--worst")
    assert code == 2
