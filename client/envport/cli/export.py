"""`envport export`: the model of a run as a folder that others load."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from envport.cli.extras import require
from envport.cli.output import JsonFlag, print_json, print_table, remark

_DTYPES = {"bf16": "bfloat16", "fp32": "float32"}


def register(app: typer.Typer) -> None:
    """Add `export` to the command line."""
    app.command(name="export")(export)


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The output folder of a run.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write; by default export, or adapter, within the run's.", show_default=False),
    ] = None,
    step: Annotated[
        int | None, typer.Option(min=1, help="Its checkpoint of this step, instead of the last.", show_default=False)
    ] = None,
    adapter: Annotated[
        bool,
        typer.Option(
            "--adapter/--merged", help="Of a run with lora_rank: the adapters alone, or added to the weights."
        ),
    ] = False,
    dtype: Annotated[str, typer.Option(help="bf16, or fp32 for exactly the trained weights.")] = "bf16",
    base: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Where the model that the run began with is now, if moved.", show_default=False
        ),
    ] = None,
    chat_template: Annotated[
        Path | None, typer.Option(help="The Jinja file that the run was given, if moved.", show_default=False)
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Write a run's model as an ordinary Hugging Face folder with a model card.

    The card names the environments by digest, the rewards before and after, all settings, and how to make it again.

    Examples:

    envport export runs/first

    envport export runs/first --step 40 --out my-model --dtype fp32
    """
    if dtype not in _DTYPES:
        raise typer.BadParameter(f"got {dtype!r}, expected {' or '.join(_DTYPES)}", param_hint="--dtype")
    torch = require("torch", "train")
    require("transformers", "train")
    from envport_trainer.models.export import export_run

    from envport.cli.train import quiet_transformers

    quiet_transformers()
    folder = out or run / ("adapter" if adapter else "export")
    done = export_run(
        run,
        folder,
        step=step,
        adapter=adapter,
        dtype=getattr(torch, _DTYPES[dtype]),
        base=base,
        chat_template=chat_template,
        tell=remark,
    )
    kind = "adapter" if adapter else "model"
    if as_json:
        print_json({"step": done, "kind": kind, "dtype": dtype, "folder": str(folder)})
    else:
        print_table(["step", "kind", "dtype", "folder"], [[done, kind, dtype, folder]])
