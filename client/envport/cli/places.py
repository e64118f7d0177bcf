"""Where the commands find the hub and this user's files: the options, and what they mean when left out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_HUB = "http://127.0.0.1:8800"

HubOption = Annotated[str, typer.Option("--hub", metavar="URL", envvar="ENVPORT_HUB", help="URL of the hub.")]
"""The `--hub` of every command that asks one; its default is `DEFAULT_HUB`."""
HomeOption = Annotated[
    Path | None,
    typer.Option(envvar="ENVPORT_HOME", help="Where envport keeps its files; by default the user's data folder."),
]
"""The `--home` of every command that reads or writes there; `home_of` tells what it means."""
EnvTokenOption = Annotated[
    str | None,
    typer.Option(
        "--env-token",
        envvar="ENVPORT_ENV_TOKEN",
        show_default=False,
        help="Trainer's token of the one environment's server; give it as variable.",
    ),
]
"""The `--env-token` of every command that starts rollouts; it is for one server and is sent to no other."""


def home_of(given: Path | None) -> Path:
    """The folder that was given, else the user's data folder; absolute."""
    from envport_registry import default_home

    return (given or default_home()).absolute()
