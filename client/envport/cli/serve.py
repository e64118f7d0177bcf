"""`envport serve`: an environment folder over HTTP, in this process or in several."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import orjson
import typer

from envport.cli.extras import require
from envport.cli.places import HomeOption, home_of
from envport.cli.server_tokens import take_tokens

if TYPE_CHECKING:
    from envport_protocol.config import Tokens


def register(app: typer.Typer) -> None:
    """Add `serve` to the command line."""
    app.command(name="serve")(serve)


def serve(
    folder: Annotated[Path, typer.Argument(help="The environment's folder, the one with envport.toml.")],
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for all, which needs tokens (see above) or --no-auth.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Argument for the environment; repeat for more. JSON, or else text. Not for secrets: other users of "
            "this machine can see it.",
        ),
    ] = None,
    digest: Annotated[
        str | None,
        typer.Option(
            help="Content digest of the published bundle, told in the manifest. Not checked here: "
            "`envport run` checks what was pulled before it serves it."
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, max=256, help="Processes to serve by; each rollout lives in one of them.")
    ] = 1,
    max_rollouts: Annotated[
        int | None,
        typer.Option(min=1, help="Rollouts held at a time; by default what envport.toml says, else 1000."),
    ] = None,
    call_timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that a call may take.")] = 60.0,
    idle_timeout: Annotated[
        float, typer.Option(min=1.0, help="Seconds after which a rollout expires that nothing was asked of.")
    ] = 600.0,
    journal: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Where to write down what was answered, so that rollouts outlive a restart; by default a folder of "
            "this environment, host and port in ENVPORT_HOME, and with port 0 none.",
        ),
    ] = None,
    no_journal: Annotated[bool, typer.Option("--no-journal", help="A restart loses all rollouts.")] = False,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="Serve other machines without tokens: who reaches it may do everything.")
    ] = False,
    log_format: Annotated[
        Literal["auto", "text", "json"], typer.Option(help="auto: text on a terminal, JSON elsewhere.")
    ] = "auto",
    log_level: Annotated[Literal["debug", "info", "warning", "error"], typer.Option(help="Least to log.")] = "info",
    home: HomeOption = None,
) -> None:
    """Serve an environment from its folder until Ctrl-C.

    On this machine alone it needs no tokens. To serve others, set the variable `ENVPORT_TRAINER_TOKEN` for who trains,
    and where wanted `ENVPORT_AGENT_TOKEN` for who only runs tools and `ENVPORT_ADMIN_TOKEN` for who operates it.

    Examples:

    envport serve envs/extraction --port 8000 --option eval_tasks=200

    ENVPORT_TRAINER_TOKEN=$(openssl rand -hex 32) envport serve envs/extraction --host 0.0.0.0 --workers 4
    """
    options = parse_options(option or [])
    tokens = _tokens(no_auth)
    if journal is not None and no_journal:
        raise typer.BadParameter("expected --journal or --no-journal, not both", param_hint="--no-journal")
    # A pulled folder is what its digest says only as long as nothing is written beside its modules.
    sys.dont_write_bytecode = True
    require("fastapi", "serve")
    require("uvicorn", "serve")
    from envport_protocol.project import load_project

    project = load_project(folder)
    if journal is None and port and not no_journal:
        journal = _default_journal(home_of(home), project.name, host, port)
    changes: dict[str, Any] = {
        "tokens": tokens,
        "journal": None if journal is None else journal.absolute(),
        "call_timeout_s": call_timeout,
        "idle_timeout_s": idle_timeout,
    }
    if max_rollouts is not None:
        changes["max_rollouts"] = max_rollouts
    how: dict[str, Any] = {
        "config": project.serve_config(**changes),
        "options": options,
        "digest": digest,
        "allow_open": no_auth,
        "log_format": log_format,
        "log_level": log_level,
    }
    if workers == 1:
        from envport_protocol.server.serving import run_server

        run_server(folder, host, port, **how)
    else:
        from envport_protocol.server.workers import run_workers

        run_workers(folder, host, port, workers=workers, **how)


def parse_options(pairs: list[str]) -> dict[str, Any]:
    """`["n=3", "name=abc"]` -> `{"n": 3, "name": "abc"}`: a value that is no JSON is taken as text.

    Raises:
        typer.BadParameter: a pair without `=`, without a key, or a key that was given before.
    """
    options: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.isidentifier():
            raise typer.BadParameter(f"got {pair!r}, expected KEY=VALUE", param_hint="--option")
        if key in options:
            raise typer.BadParameter(f"{key!r} was given twice", param_hint="--option")
        options[key] = _value(value)
    return options


def _value(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _tokens(no_auth: bool) -> Tokens | None:
    tokens = take_tokens()
    if tokens is not None and no_auth:
        raise typer.BadParameter(
            "tokens are set by ENVPORT_..._TOKEN variables; unset them, or leave out --no-auth", param_hint="--no-auth"
        )
    return tokens


def _default_journal(home: Path, name: str, host: str, port: int) -> Path:
    """The same for the same command, so that it finds its rollouts after a crash."""
    place = re.sub(r"[^A-Za-z0-9.-]", "_", host)
    return home / "journals" / f"{name}-{place}-{port}"
