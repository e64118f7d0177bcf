"""The `envport` command: one module per group of commands, and the boundary that turns errors into one line."""

from __future__ import annotations

import signal
from typing import Any

import typer
from typer.core import TyperGroup

from envport.cli import check, eval, export, hub, report, rollouts, run, serve, train
from envport.cli.boundary import exit_code_of

__all__ = ["app", "main"]


class _Commands(TyperGroup):
    """The command group, with typer's usage errors freed of pydantic's words."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise


app = typer.Typer(
    name="envport",
    cls=_Commands,
    help="Environments for training language models by reinforcement learning, served over HTTP.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
)


@app.callback(invoke_without_command=True)
def _root(
    version: bool = typer.Option(False, "--version", help="Print the version of envport and exit.", is_eager=True),
) -> None:
    if version:
        from importlib import metadata

        typer.echo(f"envport {metadata.version('envport')}")
        raise typer.Exit


for group in (serve, hub, run, check, train, eval, export, report, rollouts):
    group.register(app)


def main() -> None:
    """Run the command line of this process and leave with its exit code. SIGTERM ends it as cleanly as Ctrl-C."""
    signal.signal(signal.SIGTERM, _terminated)
    raise SystemExit(exit_code_of(app))


def _terminated(number: int, _: object) -> None:
    signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once
    raise KeyboardInterrupt
