"""Each alarm begins when its fault is provoked, is told once, and stays silent over healthy runs."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING

import pytest
from envport_trainer.alarms.history import History, change, trend
from envport_trainer.alarms.plateau import best_place
from envport_trainer.alarms.repetition import repeated_share
from envport_trainer.alarms.settings import AlarmSettings
from envport_trainer.alarms.watch import DETECTORS, Alarm, Watch
from pydantic import ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Line = dict[str, float | None]
Lines = list[Line]

# 30 steps of examples/code.toml with SmolLM2-135M: reward rises from 0.2 to 0.8 while entropy falls to a tenth, groups
# become equal, and one gradient is five times as long as the others.
REAL = {
    "reward": "317 192 361 196 274 293 409 525 553 456 545 508 439 674 574 486 493 476 685 811 805 496 814 749 "
    "762 737 673 624 547 842",
    "reward_se": "52 38 50 38 41 41 48 47 53 50 44 49 42 45 43 44 43 36 44 41 40 44 38 42 39 40 40 46 45 35",
    "entropy": "1309 1108 803 860 794 551 458 334 153 300 258 345 183 155 215 193 273 191 143 214 99 153 214 "
    "109 220 132 285 225 152 111",
    "completion_tokens": "55516 58266 37078 53234 34234 30172 27359 23812 20667 24391 23312 23736 21812 21738 "
    "22325 22828 23988 24450 21538 25062 23050 21262 22012 20913 22387 24525 22188 21438 23175 22050",
    "truncated_share": "281 281 78 266 94 16 16 0 0 0 0 0 0 0 0 0 0 0 0 25 0 0 0 0 0 0 0 0 0 0",
    "grad_norm": "983 999 1288 921 1392 1244 1063 1117 1543 1630 1230 1318 1355 1050 7674 1554 1382 1637 1710 "
    "2273 2842 1799 1425 1590 2398 2134 2429 2827 1897 1860",
    "mismatch_k3": "1 2 1 1 2 1 1 1 0 1 1 1 1 1 2 1 1 1 1 2 1 1 1 0 1 1 1 1 1 1",
    "untrainable_share": "0 0 0 0 0 0 0 300 111 0 200 111 300 200 300 0 300 200 300 600 600 300 500 600 600 400 "
    "700 600 200 700",
    "rewards/all_passed": "266 109 266 109 141 156 281 425 500 328 400 389 275 588 425 297 338 250 600 787 762 "
    "362 762 688 675 637 525 525 412 787",
    "rewards/format": "688 625 797 688 812 938 906 963 972 984 963 917 988 1000 975 1000 988 950 1000 975 988 "
    "975 988 988 1000 1000 988 988 963 1000",
    "rewards/tests_passed": "312 201 385 193 336 326 453 544 516 487 635 558 529 713 665 599 583 642 715 806 "
    "815 548 835 765 810 802 787 658 629 873",
}


def run_of(**columns: Sequence[float | None] | Callable[[int], float | None]) -> Lines:
    """The lines of a run of 100 steps, or as many as the longest list has."""
    steps = max((len(column) for column in columns.values() if not callable(column)), default=100)
    lines: Lines = []
    for place in range(steps):
        line: Line = {"step": place + 1}
        for name, column in columns.items():
            line[name.replace("__", "/")] = column(place + 1) if callable(column) else column[place]
        lines.append(line)
    return lines


def told(lines: Lines, settings: AlarmSettings | None = None) -> list[Alarm]:
    """All alarms of a run, looked at after each step."""
    watch = Watch(settings or AlarmSettings())
    return [alarm for end in range(1, len(lines) + 1) for alarm in watch.look(lines[:end])]


def names(alarms: Sequence[Alarm]) -> list[str]:
    return [alarm.name for alarm in alarms]


def noisy(seed: int, value: Callable[[int], float], sd: float) -> list[float]:
    """100 values around a curve."""
    draw = random.Random(seed)
    return [value(step) + draw.gauss(0, sd) for step in range(1, 101)]


def rising(seed: int, start: float = 0.2, end: float = 0.8, sd: float = 0.06) -> list[float]:
    """A reward that saturates half-way through a run, with the scatter of 8 tasks a step."""
    return noisy(seed, lambda step: end - (end - start) * math.exp(-step / 25), sd)


def flat(seed: int, value: float = 0.5, sd: float = 0.06) -> list[float]:
    return noisy(seed, lambda _: value, sd)


def at_evaluations(values: Callable[[int], float], every: int = 10) -> Callable[[int], float | None]:
    return lambda step: values(step) if step % every == 0 else None


# Healthy runs


def test_a_real_run_that_went_well_has_no_alarm():
    columns = {name: [int(value) / 1000 for value in text.split()] for name, text in REAL.items()}
    assert {len(values) for values in columns.values()} == {30}
    assert told(run_of(**columns), AlarmSettings(plateau="stop")) == []


def healthy(seed: int) -> Lines:
    draw = random.Random(seed)
    reward = rising(seed)
    held_out = [max(0.0, value + draw.gauss(0, 0.04)) for value in rising(seed, 0.25, 0.75, sd=0.0)]
    return run_of(
        reward=reward,
        reward_se=[0.04] * 100,
        rewards__right=rising(seed + 1000, 0.1, 0.7),
        rewards__format=rising(seed + 2000, 0.7, 0.98, sd=0.03),
        rewards__style=flat(seed + 3000),
        eval__reward=at_evaluations(lambda step: held_out[step - 1]),
        eval__reward_ci95=at_evaluations(lambda _: 0.1),
        eval__rewards__right=at_evaluations(lambda step: held_out[step - 1] - 0.1),
        completion_tokens=[200 * math.exp(value) for value in rising(seed + 4000, 0.0, 0.9, sd=0.1)],
        truncated_share=[abs(draw.gauss(0.05, 0.05)) for _ in range(100)],
        tool_calls=[abs(value) for value in rising(seed + 5000, 0.3, 2.5, sd=0.3)],
        tool_errors=[abs(value) for value in flat(seed + 6000, 0.3, 0.2)],
        entropy=[math.exp(draw.gauss(0, 0.3)) * (0.1 + math.exp(-step / 15)) for step in range(100)],
        repetition=[abs(value) for value in flat(seed + 7000, 0.15, 0.05)],
        untrainable_share=[min(1.0, abs(value)) for value in rising(seed + 8000, 0.1, 0.6, sd=0.12)],
        mismatch_k3=[0.001 * math.exp(draw.gauss(0, 0.7)) for _ in range(100)],
        grad_norm=[math.exp(draw.gauss(0, 0.4)) for _ in range(100)],
    )


def test_noisy_runs_that_rise_and_saturate_have_next_to_no_alarms():
    alarms = [alarm for seed in range(30) for alarm in told(healthy(seed))]
    assert len(alarms) <= 1, names(alarms)


def test_noise_around_nothing_learned_has_next_to_no_alarms():
    runs = (run_of(reward=flat(s), rewards__a=flat(s + 900), rewards__b=flat(s + 1900)) for s in range(30))
    assert len([alarm for lines in runs for alarm in told(lines)]) <= 1


def test_few_held_out_tasks_that_happen_not_to_rise_are_no_overfitting():
    """Of 16 tasks the interval is ±0.25: a rise of 0.1 could not be seen."""
    lines = run_of(
        reward=rising(1, 0.2, 0.3, sd=0.01), eval__reward=at_evaluations(lambda _: 0.3), eval__reward_ci95=[0.25] * 100
    )
    assert told(lines) == []


# What raises each


def provoked(name: str) -> tuple[Lines, int]:
    """A run whose fault begins, or can be seen first, at a step."""
    reward, after = rising(7), 60
    runs: dict[str, Lines] = {
        "overfitting": run_of(
            reward=noisy(1, lambda step: 0.2 + 0.006 * step, 0.05),
            eval__reward=at_evaluations(lambda step: 0.4 - 0.0005 * step),
            eval__reward_ci95=at_evaluations(lambda _: 0.08),
        ),
        "tradeoff": run_of(
            reward=reward,
            rewards__right=noisy(2, lambda step: 0.9 if step < after else 0.5, 0.05),
            rewards__long=rising(3),
        ),
        "length": run_of(reward=flat(4), completion_tokens=noisy(5, lambda step: 200 + 20 * max(0, step - after), 20)),
        "entropy": run_of(reward=reward, entropy=lambda step: 0.5 if step < after else 0.004),
        "repetition": run_of(reward=reward, repetition=noisy(6, lambda step: 0.1 if step < after else 0.5, 0.05)),
        "tool_spam": run_of(
            reward=flat(4),
            tool_calls=noisy(8, lambda step: 2 if step < after else 6, 0.4),
            tool_errors=lambda step: 0.5 if step < after else 3.0,
        ),
        "untrainable": run_of(reward=reward, untrainable_share=lambda step: 0.4 if step < after else 0.95),
        "mismatch": run_of(reward=reward, mismatch_k3=lambda step: 0.001 if step < after else 0.3),
        "gradient": run_of(reward=reward, grad_norm=lambda step: 8.0 if step >= after and step % 3 == 0 else 1.0),
        "plateau": run_of(
            reward=lambda step: 0.1 + min(step, 40) / 100,
            eval__reward=at_evaluations(lambda step: min(step, 40) / 100),
            eval__reward_ci95=at_evaluations(lambda _: 0.05),
        ),
    }
    first = {"overfitting": 30, "plateau": 90}
    return runs[name], first.get(name, after)


@pytest.mark.parametrize("name", DETECTORS)
def test_each_alarm_begins_with_its_fault_and_is_told_once(name):
    lines, begins = provoked(name)
    alarms = told(lines, AlarmSettings(plateau="stop" if name == "plateau" else "off"))
    assert names(alarms) == [name]
    assert begins <= alarms[0].step <= begins + 30
    assert alarms[0].severity == ("stop" if name == "plateau" else "warn")
    assert alarms[0].values
    assert "\n" not in alarms[0].text


@pytest.mark.parametrize("name", DETECTORS)
def test_an_alarm_that_is_off_is_not_told_and_one_that_stops_says_so(name):
    lines, _ = provoked(name)
    assert told(lines, AlarmSettings.model_validate({name: "off"})) == []
    assert [alarm.severity for alarm in told(lines, AlarmSettings.model_validate({name: "stop"}))] == ["stop"]


def the_alarm(lines: Lines, **settings: object) -> Alarm:
    (alarm,) = told(lines, AlarmSettings.model_validate(settings))
    return alarm


def test_overfitting_says_both_changes_and_where_they_were_seen():
    reward = [0.2 if step <= 10 else 0.6 for step in range(1, 31)]
    lines = run_of(
        reward=reward, reward_se=[0.02] * 30, eval__reward=at_evaluations(lambda _: 0.4), eval__reward_ci95=[0.05] * 30
    )
    alarm = the_alarm(lines)
    assert alarm.text.startswith(
        "reward in training rose by 0.400 ± 0.018 from steps 1 to 10 to steps 21 to 30, while on the held-out tasks it "
        "changed by +0.000 ± 0.071 over the 3 evaluations of steps 10 to 30; "
    )
    assert (alarm.step, alarm.values["reward_gain"]) == (30, pytest.approx(0.4))


def test_overfitting_that_begins_late_is_seen_from_the_evaluation_halfway():
    lines = run_of(
        reward=noisy(1, lambda step: 0.2 + 0.006 * step, 0.03),
        eval__reward=at_evaluations(lambda step: 0.2 + 0.01 * min(step, 50), every=5),
        eval__reward_ci95=[0.06] * 100,
    )
    alarm = the_alarm(lines, plateau="off")
    assert alarm.step > 60
    assert alarm.values["eval/reward_gain"] < 0.06


def test_an_evaluation_before_the_first_steps_is_no_start_to_compare_with():
    lines, _ = provoked("overfitting")
    begun: Line = {"step": 0, "eval/reward": 0.0, "eval/reward_ci95": 0.01}
    (alarm,) = told([begun, *lines])
    assert alarm == the_alarm(lines)


def test_held_out_reward_that_falls_alone_is_no_overfitting():
    falls = run_of(reward=flat(1), eval__reward=at_evaluations(lambda step: 0.9 - 0.006 * step))
    assert told(falls) == []


def test_held_out_reward_that_rises_more_slowly_is_no_overfitting():
    lines = run_of(
        reward=rising(1),
        eval__reward=at_evaluations(lambda step: 0.2 + 0.2 * (1 - math.exp(-step / 25))),
        eval__reward_ci95=at_evaluations(lambda _: 0.04),
    )
    assert told(lines) == []


def test_a_tradeoff_names_who_pays_and_who_wins():
    lines = run_of(
        reward=[0.3 + 0.01 * step for step in range(20)],
        rewards__right=[0.8 - 0.02 * step for step in range(20)],
        rewards__long=[0.1 + 0.04 * step for step in range(20)],
        rewards__steady=[0.5] * 20,
    )
    alarm = the_alarm(lines)
    assert alarm.text.startswith(
        "component right fell from 0.710 to 0.510 while the reward rose by 0.100, most of all by long (+0.400), from "
        "steps 1 to 10 to steps 11 to 20; "
    )
    assert alarm.values == {"reward_gain": pytest.approx(0.1), "rewards/right_gain": pytest.approx(-0.2)}
    assert told(lines, AlarmSettings(tradeoff_ignore=("right",))) == []


@pytest.mark.parametrize(
    ("reward", "right"),
    [
        (lambda step: 0.5, lambda step: 0.9 - 0.005 * step),
        (lambda step: 0.2 + 0.005 * step, lambda step: 0.9 - 0.0008 * step),
    ],
    ids=["the reward did not rise", "it fell by less than a tenth"],
)
def test_a_component_that_falls_is_no_tradeoff_where(reward, right):
    assert told(run_of(reward=reward, rewards__right=noisy(1, right, 0.02))) == []


def test_length_that_brings_reward_is_no_alarm_and_length_that_goes_on_without_is():
    def reward(step: int) -> float:
        return 0.2 + 0.01 * min(step, 50)

    grows_to_60 = run_of(reward=reward, completion_tokens=lambda step: 100.0 + 10 * min(step, 60))
    grows_on = run_of(reward=reward, completion_tokens=lambda step: 100 * math.exp(step / 30))
    assert told(grows_to_60) == []
    assert the_alarm(grows_on).step > 60


def test_one_step_of_long_completions_is_no_growth():
    assert told(run_of(reward=flat(1), completion_tokens=lambda step: 1500 if step == 60 else 100)) == []


def test_completions_that_are_cut_off_ever_more_raise_the_alarm_even_with_the_reward():
    alarm = the_alarm(run_of(reward=rising(1), truncated_share=lambda step: 0.01 * step % 2))
    assert alarm.name == "length"
    assert alarm.text.startswith(
        "26% of the completions in steps 21 to 30 were cut off for length, 6% in steps 1 to 10"
    )
    assert told(run_of(reward=rising(1), truncated_share=lambda _: 0.6)) == []


def test_tool_calls_that_bring_reward_are_no_spam():
    assert told(run_of(reward=rising(1), tool_calls=lambda step: 5 - 5 * math.exp(-step / 25))) == []


def test_a_loop_is_told_even_where_it_was_there_from_the_start():
    assert the_alarm(run_of(repetition=lambda _: 0.9)).step == 5
    assert told(run_of(repetition=lambda _: 0.6)) == []


def test_gradients_that_are_not_finite_and_one_very_long_raise_the_alarm():
    usual = [1.0] * 30
    assert told(run_of(grad_norm=[*usual, 19.0, *usual])) == []
    assert the_alarm(run_of(grad_norm=[*usual, 21.0, *usual])).values == {"spikes": 1.0, "largest": 21.0}
    assert the_alarm(run_of(grad_norm=[*usual, None, *usual])).text.endswith("in these steps")
    assert names(told(run_of(grad_norm=[*usual, math.nan, *usual]))) == ["gradient"]


def test_a_step_without_an_update_is_no_spike():
    lines = run_of(reward=rising(1), grad_norm=lambda _: 1.0)
    del lines[50]["grad_norm"]
    assert told(lines) == []


def test_a_plateau_is_the_count_of_evaluations_since_the_best():
    values = [0.1, 0.3, 0.2, 0.25, 0.302, 0.2, 0.28]
    lines = run_of(eval__reward=values)
    assert told(lines, AlarmSettings(plateau="stop", plateau_evals=6)) == []
    alarm = the_alarm(lines, plateau="stop", plateau_evals=4)
    assert alarm.step == 6
    assert alarm.text.startswith(
        "nothing improved in 4 evaluations: the best held-out reward, 0.300, is that of step 2, and the last one, of "
        "step 6, is 0.200; "
    )
    assert best_place(tuple(values), 0.005) == 1
    assert best_place(tuple(values), 0.001) == 4


def test_a_slow_rise_behind_a_lucky_best_or_of_one_component_is_no_plateau():
    settings = AlarmSettings(plateau="stop")
    assert told(run_of(eval__reward=[0.5, *(0.2 + 0.02 * n for n in range(12))]), settings) == []
    still = run_of(eval__reward=[0.5] * 12, eval__rewards__format=[0.3 + 0.02 * n for n in range(12)])
    assert told(still, settings) == []


# When alarms are told


def test_an_alarm_that_cleared_and_comes_back_is_told_again():
    """The mean of ten steps is 0.82 from the ninth high one on, and below 0.64 from the fourth low one on."""
    lines = run_of(untrainable_share=[0.1] * 10 + [0.9] * 20 + [0.1] * 20 + [0.9] * 20)
    assert [alarm.step for alarm in told(lines)] == [19, 59]
    barely = run_of(untrainable_share=[0.9] * 20 + [0.1] * 3 + [0.9] * 20)
    assert [alarm.step for alarm in told(barely)] == [10]


def test_a_value_around_its_limit_is_told_once():
    lines = run_of(untrainable_share=lambda step: 0.9 if step // 10 % 2 else 0.71)
    assert [alarm.step for alarm in told(lines)] == [14]


def test_alarms_follow_from_the_lines_alone():
    lines = [
        {"step": n + 1, **{key: value for name in DETECTORS for key, value in provoked(name)[0][n].items()}}
        for n in range(100)
    ]
    settings = AlarmSettings(plateau="warn")
    undisturbed = told(lines, settings)
    assert len(undisturbed) > 5
    for step in {alarm.step for alarm in undisturbed} | {1, 50, 100}:
        kept = json.loads(json.dumps(lines[:step]))
        assert Watch(settings).look(kept) == [alarm for alarm in undisturbed if alarm.step == step]


@pytest.mark.parametrize("nothing", [None, math.nan, math.inf, -math.inf, 1e308])
def test_values_that_are_missing_or_not_finite_never_crash_and_count_as_not_measured(nothing):
    whole = healthy(3)
    gaps = [dict(line) for line in whole]
    draw = random.Random(0)
    for line in gaps:
        for name in list(line):
            if name not in {"step", "grad_norm"} and draw.random() < 0.3:
                line[name] = nothing
    assert told(gaps) == []
    assert told([{"step": n, **dict.fromkeys(list(whole[0])[1:], nothing)} for n in range(1, 60)])[1:] == []
    assert Watch(AlarmSettings()).look([]) == []
    assert told([{"step": n} for n in range(1, 60)]) == []


# The numbers behind them


def test_a_line_of_least_squares_has_the_textbooks_slope_and_error():
    """y = 1, 3, 2, 5 at x = 0, 2, 4, 6: slope 0.55, residuals -0.1, 0.8, -1.3, 0.6, their error sqrt(2.7 / 2 / 20)."""
    span = run_span([(0, 1), (2, 3), (4, 2), (6, 5)])
    got = trend(span)
    assert got.gain == pytest.approx(0.55 * 6)
    assert got.error == pytest.approx(math.sqrt(2.7 / 2 / 20) * 6)


def run_span(points: list[tuple[int, float]], error: float = 0.0):
    return History([{"step": x, "y": y, "se": error} for x, y in points]).span("y", "se")


def test_errors_that_were_measured_are_the_least_that_is_assumed():
    points = [(n, 0.5) for n in range(4)]
    assert trend(run_span(points, 0.1)).error == pytest.approx(0.1 / math.sqrt(5) * 3)
    assert run_span(points, 0.1).error == pytest.approx(0.05)
    moved = change(run_span(points, 0.1), run_span([(n, n / 10) for n in range(4)]))
    assert moved.gain == pytest.approx(-0.35)
    assert moved.error == pytest.approx(math.hypot(0.05, stdev([0, 0.1, 0.2, 0.3]) / 2))


def test_the_evaluations_interval_is_read_as_95_percent():
    span = History([{"step": 1, "eval/reward": 0.5, "eval/reward_ci95": 0.196}]).held_out
    assert span.errors == (pytest.approx(0.1),)
    few = History([{"step": 1, "eval/reward": 0.5, "eval/reward_ci95": 0.31824463, "eval/reward_n": 4.0}]).held_out
    assert few.errors == (pytest.approx(0.1),)


@pytest.mark.parametrize(
    ("tokens", "share"),
    [
        ([], 0.0),
        ([1, 2, 3], 0.0),
        ([1, 2, 3, 4], 0.0),
        (list(range(50)), 0.0),
        ([7] * 13, 1 - 1 / 10),
        ([1, 2, 3, 4, 1, 2, 3, 4], 1 - 4 / 5),
        ([1, 2, 3, 4, 5, 1, 2, 3, 4], 1 - 5 / 6),
    ],
)
def test_the_repeated_share_is_what_counting_by_hand_gives(tokens, share):
    assert repeated_share(tokens) == pytest.approx(share)


def test_the_repeated_share_of_single_tokens_is_one_minus_the_share_of_distinct_ones():
    draw = [random.Random(1).randrange(30) for _ in range(200)]
    assert repeated_share(draw, n=1) == pytest.approx(1 - len(set(draw)) / 200)
    with pytest.raises(ValueError, match="n is 0"):
        repeated_share(draw, n=0)


# Settings and their page


@pytest.mark.parametrize("wrong", [{"plateu": "stop"}, {"plateau": True}, {"plateau_evals": 1}, {"window": 3}])
def test_settings_that_do_not_fit_are_refused(wrong):
    with pytest.raises(ValidationError):
        AlarmSettings.model_validate(wrong)


def test_every_alarm_and_every_setting_is_on_the_page_with_its_default():
    page = (Path(__file__).parents[2] / "docs" / "alarms.md").read_text(encoding="utf-8")
    for name in DETECTORS:
        assert f"\n## `{name}`" in page
    assert set(DETECTORS) <= set(AlarmSettings.model_fields)
    for name, field in AlarmSettings.model_fields.items():
        default = {tuple: "[]"}.get(type(field.default), str(field.default))
        assert (f"\n## `{name}`\n\n({default}) " if name in DETECTORS else f"`{name}` ({default})") in page, name


def test_the_healthy_runs_of_these_tests_do_rise():
    lines = healthy(0)
    assert fmean(line["reward"] or 0 for line in lines[-10:]) > fmean(line["reward"] or 0 for line in lines[:10]) + 0.3
