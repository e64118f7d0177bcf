"""`envport run`, `ps`, `logs`, `stop`: environments running on this machine, in Docker or as processes."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from envport.cli.output import JsonFlag, print_json, print_table, printable, remark
from envport.cli.places import DEFAULT_HUB, HomeOption, HubOption, home_of
from envport.cli.progress_line import ProgressLine
from envport.cli.serve import parse_options
from envport.cli.server_tokens import given_tokens

if TYPE_CHECKING:
    from envport_registry import PulledEnv
    from envport_registry.runner import LoggedError, Running, RunStatus

_RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, the beginning of it, or its reference.")]


def register(app: typer.Typer) -> None:
    """Add `run`, `ps`, `logs` and `stop` to the command line."""
    app.command(name="run")(run)
    app.command(name="ps")(ps)
    app.command(name="logs")(logs)
    app.command(name="stop")(stop)


def run(
    ref: Annotated[
        str,
        typer.Argument(metavar="REF|FOLDER", help="namespace/name[@version] on the hub, or a folder: ./name, /name."),
    ],
    runtime: Annotated[
        Literal["auto", "docker", "process"],
        typer.Option(help="auto: Docker where an engine answers, else a process, which is not isolated."),
    ] = "auto",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = 0,
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Argument for the environment; repeat for more. JSON, or else text. Not for secrets: other users of "
            "this machine can see it.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The run's id; by default made of the environment's name.")] = None,
    base_image: Annotated[
        str | None,
        typer.Option(
            envvar="ENVPORT_BASE_IMAGE",
            help="Docker: a Debian or Ubuntu image with python3 and python3-venv; by default a public Python image.",
        ),
    ] = None,
    ready_timeout: Annotated[float, typer.Option(min=1.0, help="Seconds from its start until it must be ready.")] = 120,
    hub: HubOption = DEFAULT_HUB,
    home: HomeOption = None,
    json: JsonFlag = False,
) -> None:
    """Run an environment from the hub or from a folder, and print its URL when it is ready; `envport stop` ends it.

    It is reached from this machine alone. Where `ENVPORT_TRAINER_TOKEN`, `ENVPORT_AGENT_TOKEN` or `ENVPORT_ADMIN_TOKEN`
    is set, it asks for these tokens.

    Example: envport run envport/extraction@0.1.0
    """
    from envport_registry import runner

    tokens = given_tokens()

    options = parse_options(option or [])
    try:
        with ProgressLine() as progress:
            running = runner.run(
                _source(ref, hub, home_of(home), progress),
                home=home_of(home),
                runtime=runtime,
                port=port,
                base_image=base_image or runner.DEFAULT_BASE_IMAGE,
                options=options,
                tokens=tokens,
                name=name,
                ready_timeout_s=ready_timeout,
                on_progress=progress,
            )
    except runner.LoggedError as error:
        _show_log(error)
        raise
    if running.note:
        remark(running.note)
    if json:
        print_json(_as_json(running))
        return
    remark(f"{running.run_id} runs as a {_KINDS[running.runtime]}; end it by: envport stop {running.run_id}")
    print(running.url)


def ps(home: HomeOption = None, json: JsonFlag = False) -> None:
    """List what runs on this machine.

    Example: envport ps
    """
    from envport_registry import runner

    runs = runner.ps(home_of(home))
    if json:
        print_json([{**_as_json(run), "status": str(status)} for run, status in runs])
        return
    print_table(
        ("RUN", "REF", "RUNTIME", "URL", "STATUS", "AGE"), map(_row, runs), empty="nothing runs; start by: envport run"
    )


def logs(
    wanted: _RunArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines until the run ends.")] = False,
    lines: Annotated[int, typer.Option(min=0, max=100_000, help="How many of the last lines to show.")] = 100,
    home: HomeOption = None,
) -> None:
    """Show a run's log.

    Example: envport logs extraction-1f0c9a --follow
    """
    from envport_registry import runner

    for line in runner.logs(wanted, home=home_of(home), lines=lines, follow=follow):
        print(_log_line(line), flush=follow)


def stop(
    wanted: Annotated[list[str] | None, typer.Argument(metavar="RUN...", help="Runs, named as for `logs`.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Stop all runs.")] = False,
    home: HomeOption = None,
    json: JsonFlag = False,
) -> None:
    """End runs and forget them with their logs.

    Example: envport stop extraction-1f0c9a
    """
    from envport_registry import runner

    if bool(wanted) == everything:
        raise typer.BadParameter("expected one or more RUN, or --all", param_hint="RUN")
    ids = [run.run_id for run, _ in runner.ps(home_of(home))] if everything else wanted or []
    stopped: list[str] = []
    for name in ids:
        stopped.append(runner.stop(name, home=home_of(home)).run_id)
        if not json:
            print(f"stopped {stopped[-1]}")
    if json:
        print_json({"stopped": stopped})
    elif not stopped:
        print("nothing runs")


_KINDS = {"docker": "Docker container", "process": "process"}


def _source(ref: str, hub: str, home: Path, progress: ProgressLine) -> PulledEnv | Path:
    """What the hub has under the reference `ref`; the folder where it begins as a path, or is no reference."""
    if ref.startswith((".", "/", "~")):
        return Path(ref).expanduser()
    from envport_registry import EnvRef, pull
    from envport_registry.errors import BadNameError

    folder = Path(ref)
    try:
        wanted = EnvRef.parse(ref)
    except BadNameError:
        if folder.is_dir():
            return folder
        raise
    # A folder that happens to have the name must not stand in for what was published.
    if folder.is_dir():
        remark(f"{ref} is taken from the hub; for the folder of that name write ./{ref}")
    progress(f"pulling {ref}")
    return pull(wanted, hub, home)


def _show_log(error: LoggedError) -> None:
    for line in error.log:
        print(f"  | {_log_line(line)}", file=sys.stderr)


def _log_line(line: str) -> str:
    """The line as it can be shown: with its indent, without control characters."""
    return " " * (len(line) - len(line.lstrip(" "))) + printable(line)


def _as_json(running: Running) -> dict[str, Any]:
    return running.model_dump(exclude={"pid_birth", "starting"})


def _row(listed: RunStatus) -> tuple[object, ...]:
    run = listed.run
    return run.run_id, run.ref or None, run.runtime, run.url or None, listed.status, _age(time.time() - run.started_at)


def _age(seconds: float) -> str:
    """`90` -> `1m`: the largest unit that fits, rounded down."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"
