"""`envport eval`: how well a model does an environment's tasks."""

from __future__ import annotations

import asyncio
import tempfile
from errno import EISDIR, ENOTDIR
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from envport.cli.extras import require
from envport.cli.output import JsonFlag, print_json, print_table, remark
from envport.cli.places import EnvTokenOption

if TYPE_CHECKING:
    from envport_trainer.evaluation.evaluate import EvalModel
    from envport_trainer.evaluation.openai import OpenAiModel
    from envport_trainer.evaluation.result import Estimate, EvalResult
    from envport_trainer.rollouts.playing import RolloutLimits


def register(app: typer.Typer) -> None:
    """Add `eval` to the command line."""
    app.command(name="eval")(evaluate)


def evaluate(
    env: Annotated[str, typer.Option("--env", metavar="URL", help="The environment's URL.")],
    model: Annotated[
        str, typer.Option(metavar="NAME_OR_URL", help="Model folder, GGUF file, hub name, or OpenAI-compatible URL.")
    ],
    split: Annotated[str, typer.Option(help="Which tasks.")] = "eval",
    n: Annotated[int, typer.Option("--n", "-n", min=1, help="How many of them; fewer where there are fewer.")] = 128,
    temperature: Annotated[float, typer.Option(min=0, max=2, help="0 is greedy.")] = 0.0,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Tokens of one turn.")] = 256,
    max_turns: Annotated[int, typer.Option(min=1, help="Turns of the model; 1 offers no tools.")] = 8,
    max_tokens: Annotated[int, typer.Option(min=2, help="Tokens of a whole rollout of a local model.")] = 2048,
    seed: Annotated[int, typer.Option(min=0, help="Of sampling.")] = 0,
    sampler: Annotated[str, typer.Option(help="For a local model: transformers or vllm.")] = "transformers",
    precision: Annotated[str, typer.Option(help="For a local model: bf16 or fp32.")] = "bf16",
    chat_template: Annotated[Path | None, typer.Option(help="Jinja file, for a model without a template.")] = None,
    served_model: Annotated[str | None, typer.Option(help="Model name at the URL, where it serves several.")] = None,
    api_key: Annotated[
        str | None,
        typer.Option(envvar="OPENAI_API_KEY", show_default=False, help="Key for the model's URL; give it as variable."),
    ] = None,
    env_token: EnvTokenOption = None,
    out: Annotated[Path | None, typer.Option(help="Write every attempt and the means to this JSON file.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Evaluate a model on an environment: mean reward with its 95 % interval, and each component.

    Examples:

    envport eval --env http://127.0.0.1:8000 --model models/smollm2-135m-instruct --n 128 --out before.json

    envport eval --env http://127.0.0.1:8000 --model http://127.0.0.1:9000/v1 --temperature 0.7
    """
    if out is not None:
        _check_writable(out)
    from envport_trainer.rollouts.playing import RolloutLimits

    limits = RolloutLimits(
        max_new_tokens=max_new_tokens,
        max_turns=max_turns,
        max_tokens=max_tokens,
        temperature=temperature,
        env_retries=2,
    )
    tasks = {"split": split, "n": n, "seed": seed, "token": env_token}
    if model.startswith(("http://", "https://")):
        from envport_trainer.evaluation.openai import OpenAiModel

        result = _evaluate_served(env, OpenAiModel(model, name=served_model, key=api_key), limits, tasks)
    else:
        require("torch", "train")
        require("transformers", "train")
        options: dict[str, Any] = {
            "envs": [{"url": env}],
            "model": model,
            "max_new_tokens": min(max_new_tokens, max_tokens),
            "max_tokens": max_tokens,
            "micro_batch_tokens": max_tokens,
            "sampler": sampler,
            "precision": precision,
            "chat_template": chat_template,
            "seed": seed,
        }
        result = _evaluate_local(env, options, limits, tasks)
    _report(result, as_json)
    if out is not None:
        result.write(out)
        remark(f"wrote {out}")


def _check_writable(out: Path) -> None:
    """An evaluation may take an hour: a place that takes no file is told before it.

    Raises:
        OSError: no file can be written there.
    """
    if out.is_dir():
        raise IsADirectoryError(EISDIR, "--out is a folder, expected a file", str(out))
    if not out.parent.is_dir():
        raise NotADirectoryError(ENOTDIR, "--out is in a folder that is not there; make it, or give another", str(out))
    with tempfile.TemporaryFile(dir=out.parent):
        pass


def _evaluate_local(env: str, options: dict[str, Any], limits: RolloutLimits, tasks: dict[str, Any]) -> EvalResult:
    from envport_trainer.config import TrainConfig
    from envport_trainer.evaluation.evaluate import local

    from envport.cli.train import quiet_transformers

    config = TrainConfig.from_toml(None, options)
    quiet_transformers()
    asyncio.run(_check(env, tasks["split"], tasks["token"]))
    remark(f"loading {config.model}")
    with local(config) as model:
        return asyncio.run(_evaluate(env, model, limits, tasks))


def _evaluate_served(env: str, server: OpenAiModel, limits: RolloutLimits, tasks: dict[str, Any]) -> EvalResult:
    from envport_trainer.evaluation.evaluate import served

    async def run() -> EvalResult:
        async with server as model:
            return await _evaluate(env, served(model), limits, tasks)

    return asyncio.run(run())


async def _check(env: str, split: str, token: str | None) -> None:
    """A wrong URL, split or token is told before a model is loaded for it."""
    import envport

    async with envport.connect(env, token=token) as client:
        await client.tasks(split, limit=1)


async def _evaluate(env: str, model: EvalModel, limits: RolloutLimits, tasks: dict[str, Any]) -> EvalResult:
    from envport_trainer.evaluation.evaluate import evaluate_url
    from envport_trainer.recording.progress import EvalProgress

    with EvalProgress(tasks["n"]) as progress:
        return await evaluate_url(env, model, limits, **tasks, on_row=lambda row: progress.row_done(row.reward))


def _report(result: EvalResult, as_json: bool) -> None:
    if as_json:
        print_json(result.as_json(rows=False))
        return
    print(f"{result.model} on {result.env}, split {result.split}, {result.n} tasks in {result.seconds:.0f} s")
    rows = [_cells("reward", result.reward)]
    rows += [_cells(f"  {name}", estimate) for name, estimate in result.rewards.items()]
    rows += [_cells(f"  {name} (metric)", estimate) for name, estimate in result.metrics.items()]
    print_table(["", "mean", "95 %", "n"], rows)
    if result.failed:
        first = next(row.error for row in result.rows if row.error)
        remark(f"{result.failed} attempts could not be scored and are in no mean; the first: {first}")


def _cells(name: str, estimate: Estimate) -> list[object]:
    interval = f"± {estimate.ci95:.3f}" if estimate.n > 1 else None
    return [name, f"{estimate.mean:.3f}", interval, estimate.n]
