"""Which curves a run has: the reward first, then its components, lengths, and every other metric."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from envport_trainer.report.svg import Chart, Point, Series

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from envport_trainer.report.run_data import RunData

_PARTS, _HELD_OUT_PARTS = "rewards/", "eval/rewards/"
_LENGTHS = ("completion_tokens", "prompt_tokens")
_INTERVALS = ("reward_se", "reward_groups", "eval/reward_ci95", "eval/reward_n")
_SHOWN = frozenset({"step", "reward", "eval/reward", *_INTERVALS, *_LENGTHS, "truncated_share"})


class Section(NamedTuple):
    """Charts under one heading."""

    name: str
    charts: list[Chart]


def sections(run: RunData) -> list[Section]:
    """The sections of a run that have anything to draw."""
    found = [
        Section("Reward", [reward_chart(run)]),
        Section("Components", _component_charts(run)),
        Section("Lengths", _length_charts(run)),
        Section("Every other metric", _others(run)),
    ]
    drawn = [Section(name, [chart for chart in charts if chart.drawn]) for name, charts in found]
    return [section for section in drawn if section.charts]


def reward_chart(run: RunData) -> Chart:
    """Training and held-out reward, each with its 95 % interval."""
    return Chart(
        "Reward",
        "mean reward",
        [
            Series("training", _with_interval(run, "reward", run.reward_halves())),
            Series("held out", _with_interval(run, "eval/reward", dict(run.points("eval/reward_ci95"))), marks=True),
        ],
    )


def component_names(run: RunData) -> list[str]:
    """The reward's components, in the order of the environments' manifests as far as these are known."""
    known = [str(part.get("name")) for env in run.facts.get("environments", []) for part in env.get("rewards", [])]
    seen = {name.removeprefix(_PARTS) for line in run.metrics for name in line if name.startswith(_PARTS)}
    return [name for name in dict.fromkeys(known) if name in seen] + sorted(seen - set(known))


def _component_charts(run: RunData) -> list[Chart]:
    names = component_names(run)
    return [
        Chart("Components in training", "mean score", [_plain(run, f"{_PARTS}{name}", name) for name in names]),
        Chart(
            "Components held out",
            "mean score",
            [_plain(run, f"{_HELD_OUT_PARTS}{name}", name, marks=True) for name in names],
        ),
    ]


def _length_charts(run: RunData) -> list[Chart]:
    tokens = [_plain(run, name, name.replace("_", " ")) for name in _LENGTHS]
    return [
        Chart("Tokens of a rollout", "mean tokens", tokens),
        Chart("Truncated rollouts", "share", [_plain(run, "truncated_share", "truncated")]),
    ]


def _others(run: RunData) -> list[Chart]:
    names = dict.fromkeys(name for line in run.metrics for name in line)
    left = [name for name in names if name not in _SHOWN and not name.startswith((_PARTS, _HELD_OUT_PARTS))]
    return [Chart(name, name, [_plain(run, name, name)]) for name in left]


def _plain(run: RunData, metric: str, name: str, *, marks: bool = False) -> Series:
    return Series(name, [Point(step, value) for step, value in run.points(metric)], marks)


def _with_interval(run: RunData, metric: str, halves: Mapping[int, float]) -> Sequence[Point]:
    known = {step: half for step, half in halves.items() if math.isfinite(half)}
    return [Point(step, value, known.get(step, 0.0)) for step, value in run.points(metric)]
