"""`envport report`: a training run as one HTML file."""

from __future__ import annotations

from errno import EISDIR, ENOTDIR
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from envport.cli.extras import require
from envport.cli.output import JsonFlag, print_json, print_table, remark

if TYPE_CHECKING:
    from envport_trainer.report.summary import Measured, Summary

FILE_NAME = "report.html"


def register(app: typer.Typer) -> None:
    """Add `report` to the command line."""
    app.command(name="report")(report)


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Output folder of envport train.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="File to write; report.html in the run's folder by default.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Write a training run as one HTML file: curves, alarms, rollouts before and after, configuration and versions.

    The file loads nothing from elsewhere. The run may still be going.

    Example:

    envport report runs/first --out first.html
    """
    require("jinja2", "train")
    from envport_trainer.recording.atomic_files import replace_file
    from envport_trainer.report.page import report_html
    from envport_trainer.report.run_data import read_run
    from envport_trainer.report.summary import summarize

    data = read_run(run)
    place = out or run / FILE_NAME
    if place.is_dir():
        raise IsADirectoryError(EISDIR, "--out is a folder, expected a file", str(place))
    if not place.parent.is_dir():
        raise NotADirectoryError(
            ENOTDIR, "--out is in a folder that is not there; make it, or give another", str(place)
        )
    replace_file(place, report_html(data).encode())
    summary = summarize(data)
    if as_json:
        print_json(summary.as_json() | {"out": str(place)})
    else:
        _print(summary)
    remark(f"wrote {place}")


def _print(summary: Summary) -> None:
    planned = "" if summary.planned_steps is None else f" of {summary.planned_steps}"
    rows: list[list[object]] = [["steps", f"{summary.steps}{planned}", None]]
    for name, ends in (("held-out reward", summary.held_out), ("training reward", summary.training)):
        if ends is not None:
            rows.append([name, *map(_cell, ends)])
    rows.append(["alarms", summary.alarms, None])
    print_table(["", "first", "last"], rows)


def _cell(part: Measured) -> str:
    interval = "" if part.ci95 is None else f" ± {part.ci95:.3f}"
    return f"{part.reward:.3f}{interval} (step {part.step})"
