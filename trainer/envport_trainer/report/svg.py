"""A line chart as SVG, drawn here: its colours come from the page's style, so that it fits light and dark, its text
stays text, and nothing but the page is loaded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WIDTH, HEIGHT = 420, 240
LEFT, RIGHT, TOP, BOTTOM = 54, 12, 12, 44
COLOURS = 6
"""Classes `c0` to `c5` of the style; further series begin anew."""
MAX_POINTS = 300
"""Of one series: more than one for each pixel and a half shows nothing."""


class Point(NamedTuple):
    """A value, half the width of its interval (0 where there is none)."""

    x: float
    y: float
    half: float = 0.0


@dataclass(frozen=True, slots=True)
class Series:
    """A line with its band, or marks with error bars."""

    name: str
    points: Sequence[Point]
    marks: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn; series without points are left out."""

    title: str
    y_label: str
    series: Sequence[Series]
    x_label: str = "step"

    @property
    def drawn(self) -> list[Series]:
        """The series that have points."""
        return [one for one in self.series if one.points]

    def colour_of(self, one: Series) -> str:
        """The class of its colour: that of its place among all series, drawn or not."""
        return f"c{self.series.index(one) % COLOURS}"


class _Scale(NamedTuple):
    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def draw(chart: Chart, number: int) -> str:
    """The chart as an `<svg>` element. `number` makes its ids unique on the page; all text is escaped."""
    lines = [(chart.colour_of(one), one.marks, thinned(one.points)) for one in chart.drawn]
    points = [point for _, _, line in lines for point in line]
    xs, ys = _x_scale(points), _y_scale(points)
    parts = [*_grid(xs, ys), *(part for colour, marks, line in lines for part in _line(line, colour, marks, xs, ys))]
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="t{number}" aria-describedby="d{number}">'
        f'<title id="t{number}">{escape(chart.title)}</title><desc id="d{number}">{escape(told(chart))}</desc>'
        f"{''.join(parts)}"
        f'<text class="axis" x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 6}" text-anchor="middle">'
        f"{escape(chart.x_label)}</text>"
        f'<text class="axis" transform="translate(12 {(TOP + HEIGHT - BOTTOM) / 2:.0f}) rotate(-90)" '
        f'text-anchor="middle">{escape(chart.y_label)}</text></svg>'
    )


def told(chart: Chart) -> str:
    """The chart in words: for each series where it begins and ends, its least and its greatest value."""
    return " ".join(
        f"{one.name}: from {one.points[0].y:.4g} at {chart.x_label} {one.points[0].x:g} to {one.points[-1].y:.4g} at "
        f"{chart.x_label} {one.points[-1].x:g}, between {min(p.y for p in one.points):.4g} and "
        f"{max(p.y for p in one.points):.4g}."
        for one in chart.drawn
    )


def thinned(points: Sequence[Point]) -> list[Point]:
    """The points, or where they are more than `MAX_POINTS` the means of equally many neighbours."""
    if len(points) <= MAX_POINTS:
        return list(points)
    size = math.ceil(len(points) / MAX_POINTS)
    parts = [points[start : start + size] for start in range(0, len(points), size)]
    return [Point(*(sum(column) / len(part) for column in zip(*part, strict=True))) for part in parts]


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from `low` to `high`, steps of 1, 2 or 5 times a power of ten, about `most` of them."""
    raw = (high - low) / most
    power = 10 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [place * step for place in range(first, last + 1)]


def _x_scale(points: Sequence[Point]) -> _Scale:
    low, high = _widened(min(p.x for p in points), max(p.x for p in points))
    return _Scale(low, high, LEFT, WIDTH - RIGHT)


def _y_scale(points: Sequence[Point]) -> _Scale:
    low, high = _widened(min(p.y - p.half for p in points), max(p.y + p.half for p in points))
    room = (high - low) * 0.05
    return _Scale(low - room, high + room, HEIGHT - BOTTOM, TOP)


def _widened(low: float, high: float) -> tuple[float, float]:
    """The span, or one around its value where it has no width that can be shown."""
    least = max(abs(low), abs(high), 1e-9) * 1e-6
    return (low, high) if high - low > least else (low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2)


def _grid(xs: _Scale, ys: _Scale) -> Iterable[str]:
    for value in ticks(ys.low, ys.high):
        y = ys.at(value)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_number(value)}</text>'
    below = HEIGHT - BOTTOM + 16
    for value in ticks(xs.low, xs.high):
        if value == round(value):
            yield f'<text x="{xs.at(value):.1f}" y="{below}" text-anchor="middle">{_number(value)}</text>'
    yield f'<path class="frame" d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>'


def _line(points: Sequence[Point], colour: str, marks: bool, xs: _Scale, ys: _Scale) -> Iterable[str]:
    at = [(xs.at(p.x), ys.at(p.y), ys.at(p.y - p.half), ys.at(p.y + p.half)) for p in points]
    if marks:
        yield from (
            f'<path class="bar {colour}" d="M{x:.1f} {low:.1f}V{high:.1f}m-4 0h8M{x - 4:.1f} {low:.1f}h8"/>'
            for x, _, low, high in at
            if low != high
        )
    elif any(point.half for point in points):
        upper = [f"{x:.1f} {high:.1f}" for x, _, _, high in at]
        lower = [f"{x:.1f} {low:.1f}" for x, _, low, _ in reversed(at)]
        yield f'<path class="band {colour}" d="M{"L".join([*upper, *lower])}Z"/>'
    yield f'<path class="line {colour}" d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y, _, _ in at)}"/>'
    if marks or len(at) <= 2:
        yield from (f'<circle class="{colour}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>' for x, y, _, _ in at)


def _number(value: float) -> str:
    return f"{value:.4g}" if value else "0"
