"""`envport check`: does an environment keep the protocol's promises?"""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from envport.cli.extras import require
from envport.cli.interruptible import run_interruptible
from envport.cli.output import JsonFlag, print_json, print_table

if TYPE_CHECKING:
    from envport.check import Report


def register(app: typer.Typer) -> None:
    """Add `check` to the command line."""
    app.command(name="check")(check)


def check(
    target: Annotated[
        str | None,
        typer.Argument(metavar="URL|FOLDER", help="A served environment, or a folder that is then served for it."),
    ] = None,
    project: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="For a URL: the environment's folder, whose code knows ground truths and oracle."
        ),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="NAME", help="Run this check alone; repeat for more.")
    ] = None,
    list_checks: Annotated[bool, typer.Option("--list", help="List the checks and run none.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the tool arguments that are made up, and of the rollouts.")] = 0,
    timeout: Annotated[float, typer.Option(min=1.0, help="Seconds that an answer may take.")] = 60.0,
    token: Annotated[
        str | None,
        typer.Option(
            "--env-token",
            envvar="ENVPORT_ENV_TOKEN",
            show_default=False,
            help="The trainer's token; give it as variable.",
        ),
    ] = None,
    agent_token: Annotated[
        str | None,
        typer.Option(envvar="ENVPORT_AGENT_TOKEN", show_default=False, help="The agent's token; give it as variable."),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Check that an environment keeps the promises of the protocol; exit status 1 where one is broken.

    The server should have no other clients meanwhile: some checks fill it, or count what it did.

    Examples:

    envport check envs/extraction

    envport check http://127.0.0.1:8000 --project envs/extraction --json
    """
    if list_checks:
        _list(json)
        return
    if target is None:
        raise typer.BadParameter("expected the URL or the folder of an environment", param_hint="URL|FOLDER")
    report = _checked(target, project, only or [], seed, timeout, (token, agent_token))
    if json:
        print_json(report.to_json())
    else:
        print(report.table())
    if not report.has_passed:
        raise typer.Exit(1)


def _checked(
    target: str,
    project: Path | None,
    only: list[str],
    seed: int,
    timeout_s: float,
    tokens: tuple[str | None, str | None],
) -> Report:
    from envport.check import Access, run
    from envport.check.running import is_url
    from envport.cli.progress_line import ProgressLine

    if not is_url(target):
        require("fastapi", "serve")
        require("uvicorn", "serve")
    # The environment's own code may print, and stdout is for the report.
    with ProgressLine() as progress, redirect_stdout(sys.stderr):
        return run_interruptible(
            run(
                target,
                project=project,
                only=only,
                seed=seed,
                timeout_s=timeout_s,
                access=Access(*tokens),
                on_check=lambda name: progress(f"checking: {name}"),
            )
        )


def _list(as_json: bool) -> None:
    from envport.check import CHECKS

    if as_json:
        print_json([{"name": one.name, "promise": one.promise, "does": one.does} for one in CHECKS])
    else:
        print_table(("PROMISE", "CHECK", "DOES"), [(one.promise, one.name, one.does) for one in CHECKS])
