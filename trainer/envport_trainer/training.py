"""GRPO over any environment URL: the loop.

    groups of rollouts -> advantages within each group -> packed loss -> weights -> sampler

This is GRPO (2402.03300), except:
  - no reference model and no KL term (the practice of 2026; the trust region is the ratio's clip);
  - advantages are not divided by the group's standard deviation by default (Dr. GRPO, 2503.20783);
  - the loss is a token sum over the whole batch's token count, and the clip is higher upwards (DAPO, 2503.14476);
  - groups of equal rewards are replaced by others before the update (DAPO's dynamic sampling);
  - the ratio is taken to the sampler's own logprobs, one update a batch.

A run's state after a step depends on the configuration and on that step's number alone: task order and every rollout's
randomness come from seeds, so a run that is killed and resumed goes on with the same next step.
"""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, TypeVar

import envport
import torch

from envport_trainer.chat import Chat
from envport_trainer.checkpoint import TrainState, load_latest, save_checkpoint
from envport_trainer.curve import draw_curve
from envport_trainer.errors import CheckpointError, ConfigError, PromptTooLongError, TrainerError
from envport_trainer.evaluation import evaluate, sampled
from envport_trainer.evaluation_result import Estimate, estimate_columns
from envport_trainer.learner import Learner, check_agreement
from envport_trainer.metrics import FILE_NAME, MetricsLog
from envport_trainer.models import LoadedModel, load_policy, save_model, stop_ids
from envport_trainer.policy import Policy
from envport_trainer.progress import TrainProgress
from envport_trainer.rollouts import RolloutLimits, StepRollouts, collect_step
from envport_trainer.samplers import make_sampler
from envport_trainer.tasks import TaskSource, TaskStream
from envport_trainer.types import Finish, Sampler, Trajectory

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from pathlib import Path

    from envport_trainer.config import TrainConfig

T = TypeVar("T")

CHECKPOINTS = "checkpoints"
MODEL = "model"
CURVE = "curve.png"


@dataclass(frozen=True, slots=True)
class TrainResult:
    """How a run ended."""

    step: int
    """Weight updates done in all."""
    interrupted: bool
    """True where Ctrl-C or SIGTERM ended it; a checkpoint holds its state."""
    output: Path
    """The folder with `model/`, `metrics.jsonl`, `curve.png`, `checkpoints/` and `tensorboard/`."""


def train(config: TrainConfig, *, resume: bool = False) -> TrainResult:
    """Run `config` to its last step, or until Ctrl-C; either way the folder holds a checkpoint and the model.

    Raises:
        TrainerError: what a person can mend: a bad model, an output folder in use, an environment that stays away.
        EnvportError: an environment that refuses the client.
    """
    state = _earlier_state(config, resume)
    loaded = load_policy(config.model, chat_template=config.chat_template)
    device = _device(config.device)
    loaded.model.to(device)  # pyright: ignore[reportArgumentType]  # transformers wraps torch's signature
    if state is not None:
        loaded.model.load_state_dict(state.model)
    return asyncio.run(_Run(config, loaded, state).to_the_end())


class _Run:
    def __init__(self, config: TrainConfig, loaded: LoadedModel, state: TrainState | None) -> None:
        self.config, self.model, self.tokenizer = config, loaded.model, loaded.tokenizer
        stops = frozenset(stop_ids(loaded))
        self.chat = Chat(self.tokenizer, stops)
        self.sampler: Sampler = make_sampler(config, loaded, stops)
        self.learner = Learner(Policy.under_plan(self.model, config.precision), config)
        self.limits = RolloutLimits(
            max_new_tokens=config.max_new_tokens,
            max_turns=config.max_turns,
            max_tokens=config.max_tokens,
            temperature=config.temperature,
            env_retries=config.env_retries,
        )
        self.step = 0
        self.taken: list[int] | None = None
        self.saved_step: int | None = None
        self.agreed = False
        """Whether trainer and sampler were seen to agree in this process's first update."""
        if state is not None:
            self.step = self.saved_step = state.step
            self.learner.load_state(state.optimizer)
            self.taken = list(state.tasks_taken.values())
            self.sampler.update_weights(self.model)
        self.interrupted = asyncio.Event()

    async def to_the_end(self) -> TrainResult:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupt)
        try:
            async with AsyncExitStack() as stack:
                stream = await self._open_tasks(stack)
                log = stack.enter_context(MetricsLog(self.config.output, resume_step=self.step if self.step else None))
                progress = stack.enter_context(TrainProgress(self.config.steps, done=self.step))
                while self.step < self.config.steps and not self.interrupted.is_set():
                    if not await self._one_step(stream, log, progress):
                        break
                self._save(stream)
            draw_curve(self.config.output / FILE_NAME, self.config.output / CURVE)
            save_model(self.model, self.tokenizer, self.config.output / MODEL)
        finally:
            self.sampler.close()
        return TrainResult(self.step, self.interrupted.is_set(), self.config.output)

    async def _open_tasks(self, stack: AsyncExitStack) -> TaskStream:
        sources = []
        for env in self.config.envs:
            client = await stack.enter_async_context(envport.connect(env.url, timeout_s=self.config.env_timeout_s))
            sources.append(TaskSource(client, env.split, env.weight))
            if self.config.eval_every:
                TaskSource(client, self.config.eval_split, env.weight).count()  # raises now, not after many steps
        stream = TaskStream(sources, self.config.seed, self.config.group_size)
        if self.taken is not None:
            stream.taken = self.taken
        return stream

    async def _one_step(self, stream: TaskStream, log: MetricsLog, progress: TrainProgress) -> bool:
        """True when the step was done; False when it was interrupted, with nothing changed."""
        began, taken = time.perf_counter(), list(stream.taken)
        rollouts = await self._rollouts(stream, progress)
        if rollouts is None:
            stream.taken = taken
            return False
        rollouts_s = time.perf_counter() - began
        if not rollouts.all:
            self._save(stream)
            raise self._all_dropped(rollouts)
        progress.activity("update")
        learned = self.learner.update(rollouts.groups, self.step) if rollouts.groups else {}
        if learned and not self.agreed:
            check_agreement(learned)
            self.agreed = True
        self.sampler.update_weights(self.model)
        self.step += 1
        values = _measure(rollouts) | learned
        values |= {"rollouts_s": rollouts_s, "step_s": time.perf_counter() - began}
        values["sampled_tokens_per_s"] = values["sampled_tokens"] / rollouts_s
        if self.config.eval_every and self.step % self.config.eval_every == 0:
            progress.activity("evaluation")
            values |= await self._unless_interrupted(self._evaluate(stream)) or {}
        log.write(self.step, values)
        progress.step_done(
            self.step,
            reward=values["reward"],
            rewards={k.removeprefix("rewards/"): v for k, v in values.items() if k.startswith("rewards/")},
            length=values["completion_tokens"],
            tokens_per_s=values["sampled_tokens"] / values["step_s"],
        )
        if self.step % self.config.checkpoint_every == 0:
            self._save(stream)
            draw_curve(log.path, self.config.output / CURVE)
        return True

    def _all_dropped(self, rollouts: StepRollouts) -> TrainerError:
        first = rollouts.failures[0]
        step, again = self.step + 1, "go on with --resume" if self.step else "run it again"
        if all(isinstance(failure, PromptTooLongError) for failure in rollouts.failures):
            return ConfigError(f"step {step}: no prompt leaves room to answer, such as this one: {first}; then {again}")
        return TrainerError(
            f"step {step}: all {rollouts.dropped} rollouts were dropped because their environment failed, the first "
            f"because {first}; look at the environment's log, then {again}"
        )

    async def _rollouts(self, stream: TaskStream, progress: TrainProgress) -> StepRollouts | None:
        """The step's rollouts; None where Ctrl-C came first."""
        total = self.config.prompts_per_step * self.config.group_size
        done = 0

        def count(_: Trajectory) -> None:
            nonlocal done
            done += 1
            progress.activity(f"rollouts {done}/{max(total, done)}")

        progress.activity(f"rollouts 0/{total}")
        work = collect_step(
            self.config.prompts_per_step,
            self.config.max_refills,
            self.config.group_size,
            lambda number: stream.start_group(self.step, number),
            self.sampler,
            self.chat,
            self.limits,
            on_rollout=count,
        )
        return await self._unless_interrupted(work)

    async def _unless_interrupted(self, work: Coroutine[Any, Any, T]) -> T | None:
        """The result of `work`; None where Ctrl-C came first, once `work` has come to its end."""
        task = asyncio.create_task(work)
        stop = asyncio.create_task(self.interrupted.wait())
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return None

    async def _evaluate(self, stream: TaskStream) -> dict[str, float]:
        """The policy as it is, greedy, on each environment's `eval_split`; the means over all their tasks."""
        model = sampled(self.config.model, self.sampler, self.chat)
        limits = replace(self.limits, temperature=0.0)
        split, n, seed = self.config.eval_split, self.config.eval_tasks, self.config.seed
        results = [await evaluate(source.env, model, limits, split=split, n=n, seed=seed) for source in stream.sources]
        rows = [row for result in results for row in result.rows if row.reward is not None]
        reward = Estimate.of([row.reward for row in rows if row.reward is not None])
        parts = estimate_columns([row.rewards for row in rows])
        return {"eval/reward": reward.mean, "eval/reward_ci95": reward.ci95} | {
            f"eval/rewards/{name}": part.mean for name, part in parts.items()
        }

    def _interrupt(self) -> None:
        """First signal: end cleanly. A second one ends at once."""
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().remove_signal_handler(number)
        self.interrupted.set()

    def _save(self, stream: TaskStream) -> None:
        if self.saved_step == self.step:
            return
        names = [f"{number}:{env.split}" for number, env in enumerate(self.config.envs)]
        save_checkpoint(
            self.config.output / CHECKPOINTS,
            TrainState(
                step=self.step,
                model=dict(self.model.state_dict()),
                optimizer=self.learner.state(),
                tasks_taken=dict(zip(names, stream.taken, strict=True)),
                config=self.config.resume_values(),
            ),
            keep=self.config.keep_checkpoints,
        )
        self.saved_step = self.step


def _earlier_state(config: TrainConfig, resume: bool) -> TrainState | None:
    """The checkpoint to go on from; None for a new run.

    Raises:
        CheckpointError: the folder holds a run and `resume` was not asked for, or that run was another one.
    """
    folder = config.output / CHECKPOINTS
    state = load_latest(folder)
    if state is None:
        return None
    if not resume:
        raise CheckpointError(
            f"{config.output} already holds a run (at step {state.step}); go on with it by --resume, or choose another "
            "--output"
        )
    changed = config.differences(state.config)
    if changed:
        raise CheckpointError(
            f"{folder} belongs to a run with other settings: {'; '.join(changed)}. Resume with the same settings, or "
            "choose another --output"
        )
    return state


def _measure(rollouts: StepRollouts) -> dict[str, float]:
    """What the rollouts of a step were like, over all that were scored."""
    scored = rollouts.all
    reward = [t.reward for t in scored]
    sampled = [sum(t.loss_mask) for t in scored]
    values = {
        "reward": fmean(reward),
        "reward_se": stdev(reward) / len(reward) ** 0.5 if len(reward) > 1 else 0.0,
        "completion_tokens": fmean(sampled),
        "sampled_tokens": float(sum(sampled)),
        "prompt_tokens": fmean(t.prompt_length for t in scored),
        "truncated_share": fmean(t.finish == Finish.LENGTH for t in scored),
        "tool_calls": fmean(t.tool_calls for t in scored),
        "tool_errors": fmean(t.tool_errors for t in scored),
        "groups": float(len(rollouts.groups)),
        "groups_started": float(rollouts.started),
        "rollouts_dropped": float(rollouts.dropped),
    }
    if rollouts.groups:
        values["reward_std_in_group"] = fmean(stdev([t.reward for t in group]) for group in rollouts.groups)
    return values | _means("rewards/", [t.rewards for t in scored]) | _means("metrics/", [t.metrics for t in scored])


def _means(prefix: str, parts: Sequence[dict[str, float]]) -> dict[str, float]:
    names = sorted({name for part in parts for name in part})
    return {f"{prefix}{name}": fmean(part[name] for part in parts if name in part) for name in names}


def _device(wanted: str) -> torch.device:
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise TrainerError('device is "cuda", but torch sees no CUDA device; use "auto" or "cpu"')
    return torch.device(wanted)
