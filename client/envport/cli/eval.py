"""`envport eval`: how well a model does an environment's tasks."""

from __future__ import annotations

import asyncio
import tempfile
from errno import EISDIR, ENOTDIR
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from envport.cli.extras import require
from envport.cli.output import JsonFlag, print_json, print_table, printable, remark
from envport.cli.places import EnvTokenOption

if TYPE_CHECKING:
    from envport_trainer.evaluation.comparison import Comparison, PairedDifference
    from envport_trainer.evaluation.evaluate import EvalModel
    from envport_trainer.evaluation.openai import OpenAiModel
    from envport_trainer.evaluation.result import Estimate, EvalResult
    from envport_trainer.rollouts.playing import RolloutLimits


_SAMPLERS = ("transformers", "vllm")


def register(app: typer.Typer) -> None:
    """Add `eval` to the command line."""
    app.command(name="eval")(evaluate)


def evaluate(
    env: Annotated[str, typer.Option("--env", metavar="URL", help="The environment's URL.")],
    model: Annotated[
        str, typer.Option(metavar="NAME_OR_URL", help="Model folder, GGUF file, hub name, or OpenAI-compatible URL.")
    ],
    against: Annotated[
        str | None,
        typer.Option(
            metavar="NAME_OR_URL_OR_FILE",
            show_default=False,
            help="Another model to compare with on the same tasks, or an earlier result that --out wrote.",
        ),
    ] = None,
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
    against_served_model: Annotated[
        str | None, typer.Option(show_default=False, help="Model name at the URL of --against.")
    ] = None,
    against_api_key: Annotated[
        str | None,
        typer.Option(
            envvar="AGAINST_API_KEY",
            show_default=False,
            help="Key for the URL of --against, which is sent the other key only where both URLs are the same.",
        ),
    ] = None,
    env_token: EnvTokenOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Write every attempt and the means to this JSON file; with --against both.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Evaluate a model on an environment: mean reward with its 95 % interval, and each component.

    With --against, both do the same tasks with the same seeds, one after the other, and the table shows the mean
    difference of each task's two scores with its 95 % interval, how many tasks got better and worse, and the p-value of
    a sign-flip test.

    Examples:

    envport eval --env http://127.0.0.1:8000 --model models/smollm2-135m-instruct --n 128 --out before.json

    envport eval --env http://127.0.0.1:8000 --model runs/first/model --against before.json

    envport eval --env http://127.0.0.1:8000 --model http://127.0.0.1:9000/v1 --temperature 0.7
    """
    if sampler not in _SAMPLERS:
        raise typer.BadParameter(
            f"got {sampler!r}, expected {' or '.join(_SAMPLERS)}; a vLLM server is given as --model URL",
            param_hint="--sampler",
        )
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
    options: dict[str, Any] = {
        "envs": [{"url": env}],
        "max_new_tokens": min(max_new_tokens, max_tokens),
        "max_tokens": max_tokens,
        "micro_batch_tokens": max_tokens,
        "sampler": sampler,
        "precision": precision,
        "chat_template": chat_template,
        "seed": seed,
    }
    asked = _Asked(env, limits, {"split": split, "n": n, "seed": seed, "token": env_token}, options)
    if against is None:
        _finish(_of_model(asked, model, served_model, api_key), as_json, out)
        return
    earlier = _earlier(asked, against)
    first = _of_model(asked, model, served_model, api_key)
    if earlier is None:
        key = against_api_key or (api_key if against == model else None)
        earlier = _of_model(asked, against, against_served_model, key)
    _finish_both(first, earlier, as_json, out)


class _Asked(NamedTuple):
    """What each of the models is asked to do."""

    env: str
    limits: RolloutLimits
    tasks: dict[str, Any]
    options: dict[str, Any]
    """Settings of a local model, all but its name."""


def _earlier(asked: _Asked, against: str) -> EvalResult | None:
    """The result in the file `against`; None where that is a model.

    Raises:
        TrainerError: it is no result, or one of other work than what is asked now.
    """
    path = Path(against).expanduser()
    if not path.is_file() or path.suffix == ".gguf":
        return None
    from envport_trainer.evaluation.result import EvalResult

    result = EvalResult.read(path)
    asyncio.run(_check_same_work(asked, result))
    return result


async def _check_same_work(asked: _Asked, earlier: EvalResult) -> None:
    """Tell what differs before an hour is spent on the model."""
    from envport_trainer.evaluation.comparison import not_comparable, work_differences
    from envport_trainer.evaluation.evaluate import task_count, work_of

    import envport

    split, seed, n = asked.tasks["split"], asked.tasks["seed"], asked.tasks["n"]
    async with envport.connect(asked.env, token=asked.tasks["token"]) as client:
        differing = work_differences(work_of(client, asked.limits, split=split, seed=seed), earlier.work)
        count = await task_count(client, split, n)
    if count != len(earlier.rows):
        differing.append(f"{count} tasks, were {len(earlier.rows)}")
    if differing:
        raise not_comparable(differing)


def _of_model(asked: _Asked, model: str, served_model: str | None, api_key: str | None) -> EvalResult:
    """The result of `model`, which is in memory no longer than this takes."""
    if model.startswith(("http://", "https://")):
        from envport_trainer.evaluation.openai import OpenAiModel

        server = OpenAiModel(model, name=served_model, key=api_key)
        return _evaluate_served(asked.env, server, asked.limits, asked.tasks)
    require("torch", "train")
    require("transformers", "train")
    return _evaluate_local(asked.env, asked.options | {"model": model}, asked.limits, asked.tasks)


def _finish(result: EvalResult, as_json: bool, out: Path | None) -> None:
    if as_json:
        print_json(result.as_json(rows=False))
    else:
        _report(result)
    _tell_failed(result)
    if out is not None:
        result.write(out)
        remark(f"wrote {out}")


def _finish_both(model: EvalResult, against: EvalResult, as_json: bool, out: Path | None) -> None:
    from envport_trainer.evaluation.comparison import compare
    from envport_trainer.evaluation.result import write_json

    comparison = compare(model, against)

    def both(*, rows: bool) -> dict[str, Any]:
        sides = {"model": model.as_json(rows=rows), "against": against.as_json(rows=rows)}
        return sides | {"comparison": comparison.as_json()}

    if as_json:
        print_json(both(rows=False))
    else:
        _report(model)
        _report(against)
        _report_comparison(comparison)
    for result in (model, against):
        _tell_failed(result)
    if comparison.failed_either:
        remark(f"{comparison.failed_either} tasks were not scored for both and are in no difference")
    if model.work.env_digest is None:
        remark("the environment has no digest: whether it was the same both times cannot be told")
    if out is not None:
        write_json(out, both(rows=True))
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


def _report(result: EvalResult) -> None:
    work = result.work
    head = f"{result.model} on {work.env}, split {work.split}, {result.n} tasks in {result.seconds:.0f} s"
    print(printable(head))
    rows = [_cells("reward", result.reward)]
    rows += [_cells(f"  {name}", estimate) for name, estimate in result.rewards.items()]
    rows += [_cells(f"  {name} (metric)", estimate) for name, estimate in result.metrics.items()]
    print_table(["", "mean", "95 %", "n"], rows)


def _tell_failed(result: EvalResult) -> None:
    if result.failed:
        first = next(row.error for row in result.rows if row.error)
        remark(f"{result.failed} attempts could not be scored and are in no mean; the first: {first}")


def _report_comparison(comparison: Comparison) -> None:
    print("difference, the first minus the second, task by task")
    rows = [_paired_cells("reward", comparison.reward)]
    rows += [_paired_cells(f"  {name}", difference) for name, difference in comparison.rewards.items()]
    rows += [_paired_cells(f"  {name} (metric)", difference) for name, difference in comparison.metrics.items()]
    print_table(["", "mean", "95 %", "n", "better", "worse", "equal", "p"], rows)


def _paired_cells(name: str, difference: PairedDifference) -> list[object]:
    interval = f"± {difference.ci95:.3f}" if difference.n > 1 else None
    counts = [difference.n, difference.better, difference.worse, difference.equal]
    return [name, f"{difference.mean:+.3f}", interval, *counts, f"{difference.p:.2g}"]


def _cells(name: str, estimate: Estimate) -> list[object]:
    interval = f"± {estimate.ci95:.3f}" if estimate.n > 1 else None
    return [name, f"{estimate.mean:.3f}", interval, estimate.n]
