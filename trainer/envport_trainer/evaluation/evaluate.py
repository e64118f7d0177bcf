"""A model on the tasks of one split, through the environment's URL: mean reward with its interval, and each component.

An attempt whose environment fails is retried, then reported as failed and left out of every mean, never scored 0.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import envport

from envport_trainer.errors import RequestRefusedError, RolloutFailedError, TrainerError
from envport_trainer.evaluation.result import EvalResult, EvalRow, EvalWork
from envport_trainer.rollouts.playing import RolloutLimits, RolloutSpec, derive_seed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from envport.client import EnvClient

    from envport_trainer.config import TrainConfig
    from envport_trainer.conversation.chat import Chat
    from envport_trainer.evaluation.openai import OpenAiModel
    from envport_trainer.types import Sampler

    Attempt = Callable[[EnvClient, RolloutSpec, RolloutLimits], Awaitable[EvalRow]]


class EvalModel(NamedTuple):
    """A model that can be evaluated: its name for the report, and how it makes one attempt."""

    name: str
    attempt: Attempt
    concurrency: int
    """Attempts made at once."""


def sampled(name: str, sampler: Sampler, chat: Chat, *, concurrency: int = 128) -> EvalModel:
    """A model in this process. A batching sampler wants many attempts at once."""
    from envport_trainer.rollouts.playing import run_rollout

    async def attempt(env: EnvClient, spec: RolloutSpec, limits: RolloutLimits) -> EvalRow:
        return EvalRow.of_trajectory(spec.index, await run_rollout(env, sampler, chat, spec, limits))

    return EvalModel(name, attempt, concurrency)


@contextmanager
def local(config: TrainConfig) -> Generator[EvalModel]:
    """The model that `config` names, loaded into this process with its sampler for as long as the context is open.

    Its memory is free again after it: several models are held one after the other.

    Raises:
        ModelError: it cannot be loaded.
        TrainerError: its device is not there.
        SamplerError: the sampler does not start.
    """
    from envport_trainer.conversation.chat import Chat
    from envport_trainer.models.devices import find_device, free_memory
    from envport_trainer.models.folder import load_policy, stop_ids
    from envport_trainer.samplers import make_sampler

    device = find_device(config.device)
    loaded = load_policy(config.model, chat_template=config.chat_template)
    loaded.model.to(device)  # pyright: ignore[reportArgumentType]  # transformers wraps torch's signature
    stops = stop_ids(loaded)
    sampler = make_sampler(config, loaded, stops)
    try:
        yield sampled(config.model, sampler, Chat(loaded.tokenizer, stops, config.tool_format, config.history))
    finally:
        sampler.close()
        del loaded, sampler
        free_memory()


def served(model: OpenAiModel, *, concurrency: int = 32) -> EvalModel:
    """A model behind an OpenAI-compatible server."""
    from envport_trainer.evaluation.openai_rollout import run_openai_rollout

    async def attempt(env: EnvClient, spec: RolloutSpec, limits: RolloutLimits) -> EvalRow:
        return await run_openai_rollout(env, model, spec, limits)

    return EvalModel(f"{model.name} at {model.url}", attempt, concurrency)


async def evaluate(
    env: EnvClient,
    model: EvalModel,
    limits: RolloutLimits,
    *,
    split: str = "eval",
    n: int = 128,
    seed: int = 0,
    on_row: Callable[[EvalRow], None] = lambda _: None,
) -> EvalResult:
    """The result on the first `n` tasks of `split`, or all where there are fewer. `on_row` hears of each as it ends.

    The same tasks and seeds every time, so that two models are compared on the same work.

    Raises:
        UnknownTaskError: the environment has no such split.
        ModelServerError: the model's server is gone.
        TrainerError: the split is empty, or no attempt could be scored.
    """
    began = time.monotonic()
    count = await task_count(env, split, n)
    places = asyncio.Semaphore(model.concurrency)

    async def one(index: int) -> EvalRow:
        async with places:
            own = derive_seed("eval", seed, index)
            row = await _try(env, model, RolloutSpec(split, index, own, env_seed=own), limits)
        on_row(row)
        return row

    rows = await _gather([one(index) for index in range(count)])
    if all(row.reward is None for row in rows):
        raise TrainerError(f"none of {count} attempts could be scored; the first: {rows[0].error}")
    return EvalResult(
        work=work_of(env, limits, split=split, seed=seed),
        env_url=env.url,
        model=model.name,
        seconds=time.monotonic() - began,
        rows=rows,
    )


async def evaluate_url(
    url: str,
    model: EvalModel,
    limits: RolloutLimits,
    *,
    split: str = "eval",
    n: int = 128,
    seed: int = 0,
    timeout_s: float | None = None,
    token: str | None = None,
    on_row: Callable[[EvalRow], None] = lambda _: None,
) -> EvalResult:
    """`evaluate` on the environment served at `url`, which asks for `token` or for none.

    Raises:
        EnvportError: the URL serves no environment, and what `evaluate` raises.
    """
    async with envport.connect(url, token=token, timeout_s=timeout_s) as env:
        return await evaluate(env, model, limits, split=split, n=n, seed=seed, on_row=on_row)


def work_of(env: EnvClient, limits: RolloutLimits, *, split: str, seed: int) -> EvalWork:
    """What `evaluate` asks of every model under these arguments."""
    return EvalWork(
        env=f"{env.manifest.name} {env.manifest.version}",
        env_digest=env.manifest.digest,
        split=split,
        seed=seed,
        max_new_tokens=limits.max_new_tokens,
        max_turns=limits.max_turns,
        max_tokens=limits.max_tokens,
        temperature=limits.temperature,
    )


async def task_count(env: EnvClient, split: str, n: int) -> int:
    """How many tasks an evaluation of `n` has: fewer where the split has fewer.

    Raises:
        UnknownTaskError: the environment has no such split.
        TrainerError: the split is empty.
    """
    total = (await env.tasks(split, limit=1)).total
    if total == 0:
        raise TrainerError(f"the split {split!r} of {env.url} has no tasks")
    return n if total is None else min(n, total)


async def _try(env: EnvClient, model: EvalModel, spec: RolloutSpec, limits: RolloutLimits) -> EvalRow:
    try:
        return await model.attempt(env, spec, limits)
    except (RolloutFailedError, RequestRefusedError) as error:
        return EvalRow(index=spec.index, error=str(error))


async def _gather(attempts: list[Awaitable[EvalRow]]) -> list[EvalRow]:
    """Their rows in order. Where one raises, the others are stopped before the error goes on."""
    tasks = [asyncio.ensure_future(attempt) for attempt in attempts]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
