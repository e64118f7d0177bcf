"""`envport serve`: an environment folder over HTTP, in this process."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from envport.cli.extras import require


def register(app: typer.Typer) -> None:
    """Add `serve` to the command line."""
    app.command(name="serve")(serve)


def serve(
    folder: Annotated[Path, typer.Argument(help="The environment's folder, the one with envport.toml.")],
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
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
) -> None:
    """Serve an environment from its folder until Ctrl-C.

    Example: envport serve envs/extraction --port 8000 --option eval_tasks=200
    """
    options = parse_options(option or [])
    # A pulled folder is what its digest says only as long as nothing is written beside its modules.
    sys.dont_write_bytecode = True
    require("fastapi", "serve")
    require("uvicorn", "serve")
    from envport_protocol.server.serving import run_server

    run_server(folder, host=host, port=port, options=options, digest=digest)


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
