"""`envport report`: a run as one HTML file that loads nothing and runs nothing.

What it shows was written by models and environments. Jinja escapes every text; nothing untrusted becomes an address, a
style or a name of an element; control characters are spelled out; and the page's own policy allows this one style and
no script, no other host, no form.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envport_trainer.recording.logged_rollout import cut
from envport_trainer.recording.visible import visible
from envport_trainer.report import pairs
from envport_trainer.report.calls import turns_of
from envport_trainer.report.charts import component_names, sections
from envport_trainer.report.summary import summarize
from envport_trainer.report.svg import Chart, draw

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jinja2 import Environment

    from envport_trainer.report.run_data import RunData
    from envport_trainer.report.svg import Series

_PARTS = Path(__file__).parent / "parts"
PAIRS = 6
"""Held-out tasks that are shown before and after."""
MAX_TEXT = 8_000
"""Characters of one text on the page; what is longer loses its middle."""
MAX_ROWS = 60
"""Of the table of values."""


def report_html(run: RunData) -> str:
    """The page, as one document."""
    style = (_PARTS / "report.css").read_text("utf-8")
    template = _environment().get_template("report.html.jinja")
    held_out, training = run.ends("eval"), run.ends("train")
    held_out_steps = run.end_steps("eval")
    matched = pairs.same_tasks(*held_out) if held_out_steps and held_out_steps[0] != held_out_steps[1] else []
    return template.render(
        style=style,
        policy=_policy(style),
        run=run,
        summary=summarize(run),
        sections=sections(run),
        components=component_names(run),
        descriptions=_descriptions(run.facts),
        held_out_steps=held_out_steps,
        held_out=pairs.chosen(matched, PAIRS),
        held_out_tasks=len(matched),
        training_steps=run.end_steps("train"),
        training=pairs.by_rank(*training),
        values=_value_rows(run),
        environments=run.facts.get("environments", []),
        versions=run.facts.get("versions", {}),
        config=run.facts.get("config", {}),
    )


def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    numbers = iter(range(1, 10_000))

    def chart(drawn: Chart) -> Markup:
        return Markup(draw(_visible_chart(drawn), next(numbers)))  # noqa: S704 - `draw` escapes all text

    environment = Environment(
        loader=FileSystemLoader(_PARTS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters["number"] = _number
    environment.filters["clock"] = _clock
    environment.filters["signed"] = lambda value: f"{value:+.3f}"
    environment.filters["json"] = lambda value: json.dumps(value, ensure_ascii=False)
    functions: dict[str, Any] = {"chart": chart, "turns_of": turns_of}
    environment.globals |= functions
    return environment


def _shown(value: Any) -> Any:
    """What every text goes through before it is escaped."""
    from markupsafe import Markup

    return value if isinstance(value, Markup) or not isinstance(value, str) else visible(cut(value, MAX_TEXT))


def _visible_chart(chart: Chart) -> Chart:
    series: list[Series] = [type(one)(visible(one.name), one.points, one.marks) for one in chart.series]
    return Chart(visible(chart.title), visible(chart.y_label), series, chart.x_label)


def _policy(style: str) -> str:
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"


def _descriptions(facts: Mapping[str, Any]) -> dict[str, str]:
    """What an environment says of its components."""
    parts = [part for env in facts.get("environments", []) for part in env.get("rewards", [])]
    return {str(part["name"]): str(part.get("description", "")) for part in parts if "name" in part}


def _value_rows(run: RunData) -> list[dict[str, Any]]:
    """Lines of the metrics for the table, evenly spread where there are too many; first and last are among them."""
    lines: Sequence[dict[str, Any]] = run.metrics
    if len(lines) <= MAX_ROWS:
        return list(lines)
    return [lines[round(place * (len(lines) - 1) / (MAX_ROWS - 1))] for place in range(MAX_ROWS)]


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
