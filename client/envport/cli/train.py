"""`envport train`: nudge a model's weights by rollouts against environments."""

from __future__ import annotations

import logging
import os
import tomllib
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from envport.cli.boundary import FAILED, INTERRUPTED
from envport.cli.extras import require
from envport.cli.output import JsonFlag, print_json, print_table, printable, remark
from envport.cli.places import EnvTokenOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envport_trainer.config import EnvSource, TrainConfig
    from envport_trainer.training import TrainResult


def register(app: typer.Typer) -> None:
    """Add `train` to the command line."""
    app.command(name="train")(train)


def train(
    config: Annotated[Path | None, typer.Argument(help="A TOML file; flags override it.", show_default=False)] = None,
    env: Annotated[
        list[str] | None, typer.Option("--env", metavar="URL", help="An environment's URL; repeat for several.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model folder, GGUF file, or hub name.")] = None,
    steps: Annotated[int | None, typer.Option(help="Weight updates.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for checkpoints, metrics and the trained model; runs/train by default."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint in the output folder.")
    ] = False,
    sampler: Annotated[
        str | None, typer.Option(help="transformers, vllm, or vllm-server (with --set sampler_url=URL).")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of task order and sampling.")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    chat_template: Annotated[Path | None, typer.Option(help="Jinja file, for a model without a template.")] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Any key of the TOML file (keys: docs/train-config.md); repeat."
        ),
    ] = None,
    env_token: EnvTokenOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Train a model on environments, each given by its URL. Ctrl-C ends cleanly; --resume goes on.

    Several environments that ask for tokens each have a token_env in the TOML file.

    Several processes share the updates of one run under torchrun, see docs/several-processes.md: torchrun --standalone
    --nproc-per-node 2 -m envport train run.toml

    Examples:

    envport train --env http://127.0.0.1:8000 --model models/smollm2-135m-instruct --steps 20 --output runs/first

    envport train run.toml --steps 200 --set group_size=16

    envport train run.toml --set max_staleness=1

    ENVPORT_ENV_TOKEN=... envport train run.toml --env https://envs.example/extraction
    """
    flags: dict[str, Any] = {
        "envs": [{"url": url} for url in env] if env else None,
        "model": model,
        "steps": steps,
        "output": output,
        "sampler": sampler,
        "seed": seed,
        "lr": lr,
        "chat_template": chat_template,
    }
    overrides = parse_settings(setting or []) | {name: value for name, value in flags.items() if value is not None}
    require("torch", "train")
    require("transformers", "train")
    from envport_trainer.config import TrainConfig
    from envport_trainer.training import train as run

    settings = TrainConfig.from_toml(config, overrides)
    first = os.environ.get("RANK", "0") == "0"  # of several processes under torchrun; the others call no server
    env_tokens = tokens_of(settings.envs, env_token) if first else {}
    sampler_token = sampler_token_of(settings.sampler_token_env) if first else None
    quiet_transformers()
    if first:
        remark(f"loading {settings.model}")
    result = run(settings, resume=resume, env_tokens=env_tokens, sampler_token=sampler_token)
    if result is not None:
        _report(result, settings, as_json)


def tokens_of(envs: Sequence[EnvSource], env_token: str | None) -> dict[str, str]:
    """The token of each environment that has one, by its URL. `env_token` is that of the only one.

    Raises:
        typer.BadParameter: `env_token` was given and there are several, or it is not the only token; or a variable is
            not set.
    """
    named = {env.url: env.token_env for env in envs if env.token_env is not None}
    missing = [name for name in named.values() if not os.environ.get(name)]
    if missing:
        raise typer.BadParameter(f"{missing[0]} is not set, and an [[env]] of the file says token_env = {missing[0]!r}")
    tokens = {url: os.environ[name] for url, name in named.items()}
    if env_token is None:
        return tokens
    if named:
        raise typer.BadParameter(
            "the file names the variables of its tokens (token_env); leave this one and ENVPORT_ENV_TOKEN out",
            param_hint="--env-token",
        )
    if len({env.url.rstrip("/") for env in envs}) > 1:
        raise typer.BadParameter(
            "one token is not sent to several servers; give each [[env]] of a TOML file a token_env = NAME, the "
            "variable that holds its token, and leave this one and ENVPORT_ENV_TOKEN out",
            param_hint="--env-token",
        )
    return dict.fromkeys((env.url for env in envs), env_token)


def sampler_token_of(variable: str | None) -> str | None:
    """The value of the variable that the file names.

    Raises:
        typer.BadParameter: it is not set.
    """
    if variable is None:
        return None
    if not os.environ.get(variable):
        raise typer.BadParameter(f"{variable} is not set, and the file says sampler_token_env = {variable!r}")
    return os.environ[variable]


def parse_settings(pairs: list[str]) -> dict[str, Any]:
    """`["group_size=16", "loss=cispo"]` -> `{"group_size": 16, "loss": "cispo"}`: TOML values, or else text.

    Raises:
        typer.BadParameter: a pair without `=` or without a key.
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip().isidentifier():
            raise typer.BadParameter(f"got {pair!r}, expected KEY=VALUE", param_hint="--set")
        try:
            settings[key.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            settings[key.strip()] = value.strip()
    return settings


def quiet_transformers() -> None:
    """Keep its loading bars and remarks off the terminal: errors are raised, and progress is ours. All that loads a
    model is imported with it."""
    from transformers.utils import logging as transformers_logging

    for package in ("huggingface_hub", "bitsandbytes"):
        logging.getLogger(package).setLevel(logging.ERROR)
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    require("transformers.models.auto.modeling_auto", "train")
    require("transformers.models.auto.tokenization_auto", "train")


def _report(result: TrainResult, settings: TrainConfig, as_json: bool) -> None:
    from envport_trainer.recording.metrics import FILE_NAME, read_metrics

    lines = read_metrics(result.output / FILE_NAME)
    rewards = [line["reward"] for line in lines if line.get("reward") is not None]
    first, last = (rewards[0], rewards[-1]) if rewards else (None, None)
    summary = {
        "step": result.step,
        "interrupted": result.interrupted,
        "first_reward": first,
        "last_reward": last,
        "output": str(result.output),
        "stopped_by": result.stopped_by.name if result.stopped_by else None,
    }
    if as_json:
        print_json(summary)
    else:
        shown = [None if value is None else f"{value:.3f}" for value in (first, last)]
        print_table(["steps", "first reward", "last reward", "output"], [[result.step, *shown, result.output]])
    _tell_end(result, settings.steps)
    if result.step:
        remark(_look_next(result.output, settings))
    if result.interrupted and result.step < settings.steps:
        raise typer.Exit(INTERRUPTED)
    if result.stopped_by is not None:
        raise typer.Exit(FAILED)


def _tell_end(result: TrainResult, steps: int) -> None:
    if result.stopped_by is not None:
        alarm = printable(f"{result.stopped_by.name}: {result.stopped_by.text}")
        remark(f"stopped at step {result.step} by the alarm {alarm}; --resume goes on once its cause is mended")
    elif result.step >= steps:
        remark(f"the run is complete: {result.step} of {steps} steps; its model is in {result.output / 'model'}")
    elif result.step:
        remark(f"ended at step {result.step}; the same command with --resume goes on")
    else:
        remark("ended before the first step was done; the same command begins anew")


def _look_next(output: Path, settings: TrainConfig) -> str:
    """The commands that show what the run did, on one line that can be copied."""
    from envport_trainer.recording.run_facts import bare_url

    words: list[object] = ["--env", bare_url(settings.envs[0].url), "--split", settings.eval_split]
    words += ["--max-turns", settings.max_turns, "--max-new-tokens", settings.max_new_tokens]
    words += ["--max-tokens", settings.max_tokens]
    words += ["--n", settings.eval_tasks] if settings.eval_every else []
    words += [] if settings.chat_template is None else ["--chat-template", settings.chat_template]
    words += ["--model", output / "model", "--against", settings.model]
    compare = " ".join(quote(str(word)) for word in words)
    return f"next: envport report {quote(str(output))}; envport eval {compare}"
