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
import logging
import signal
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import envport
from envport import ProtocolError, TransportError
from envport_protocol.errors import WireError

from envport_trainer.conversation.chat import Chat
from envport_trainer.errors import ConfigError, PromptTooLongError, TrainerError
from envport_trainer.evaluation.evaluate import evaluate, sampled
from envport_trainer.evaluation.result import Estimate, estimate_columns
from envport_trainer.learning.learner import Learner, check_agreement
from envport_trainer.learning.policy import Policy
from envport_trainer.models.devices import find_device
from envport_trainer.models.folder import LoadedModel, load_policy, save_model, stop_ids
from envport_trainer.recording.curve import draw_curve
from envport_trainer.recording.measurements import measure
from envport_trainer.recording.metrics import FILE_NAME, MetricsLog, read_metrics
from envport_trainer.recording.progress import TrainProgress
from envport_trainer.rollouts.group_room import check_room
from envport_trainer.rollouts.group_scoring import compares
from envport_trainer.rollouts.playing import RolloutLimits, StepRollouts, collect_step
from envport_trainer.rollouts.tasks import TaskSource, TaskStream
from envport_trainer.runs.checkpoint import TrainState, save_checkpoint
from envport_trainer.runs.resuming import CHECKPOINTS, check_environments, earlier_state, identity, restore
from envport_trainer.samplers import make_sampler

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping
    from pathlib import Path

    from envport_protocol.messages import Manifest

    from envport_trainer.config import TrainConfig
    from envport_trainer.types import Sampler, Trajectory

T = TypeVar("T")

logger = logging.getLogger(__name__)

MODEL = "model"
CURVE = "curve.png"


@dataclass(frozen=True, slots=True)
class TrainResult:
    """How a run ended."""

    step: int
    """Weight updates done in all."""
    interrupted: bool
    """True where Ctrl-C or SIGTERM ended it; from step 1 on a checkpoint holds its state."""
    output: Path
    """The folder with `model/`, `metrics.jsonl`, `curve.png`, `checkpoints/` and `tensorboard/`."""


def train(
    config: TrainConfig, *, resume: bool = False, env_tokens: Mapping[str, str] = MappingProxyType({})
) -> TrainResult:
    """Run `config` to its last step, or until Ctrl-C; either way the folder then holds the model, and a checkpoint
    once a step was done. `env_tokens` has the tokens of environments by their URLs, as these stand in `config`; each is
    sent to its own environment alone, and is written nowhere.

    Raises:
        TrainerError: what a person can mend: a bad model, an output folder in use, an environment that stays away.
        EnvportError: an environment that refuses the client.
    """
    state = earlier_state(config, resume=resume)
    device = find_device(config.device)
    loaded = load_policy(config.model, chat_template=config.chat_template)
    loaded.model.to(device)  # pyright: ignore[reportArgumentType]  # transformers wraps torch's signature
    return asyncio.run(_Run(config, loaded, state, env_tokens).to_the_end())


class _Run:
    def __init__(
        self, config: TrainConfig, loaded: LoadedModel, state: TrainState | None, env_tokens: Mapping[str, str]
    ) -> None:
        self.config, self.loaded, self.model = config, loaded, loaded.model
        self.env_tokens = env_tokens
        self.learner = Learner(Policy.under_plan(self.model, config.precision), config)
        if state is not None:
            restore(state, loaded, self.learner, config.output / CHECKPOINTS)
        stops = frozenset(stop_ids(loaded))
        self.chat = Chat(loaded.tokenizer, stops)
        self.sampler: Sampler = make_sampler(config, loaded, stops)
        self.limits = RolloutLimits(
            max_new_tokens=config.max_new_tokens,
            max_turns=config.max_turns,
            max_tokens=config.max_tokens,
            temperature=config.temperature,
            env_retries=config.env_retries,
        )
        self.resumed = state
        self.step = self.saved_step = state.step if state is not None else 0
        self.progress = TrainProgress(config.steps, done=self.step)
        self.agreed = False
        """Whether trainer and sampler were seen to agree in this process's first update."""
        if state is not None:
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
                stack.enter_context(self.progress)
                while self.step < self.config.steps and not self.interrupted.is_set():
                    if not await self._one_step(stream, log):
                        break
                self._save(stream)
            save_model(self.model, self.loaded.tokenizer, self.config.output / MODEL)
            self._draw()
        finally:
            self.sampler.close()
        return TrainResult(self.step, self.interrupted.is_set(), self.config.output)

    async def _open_tasks(self, stack: AsyncExitStack) -> TaskStream:
        sources = []
        for env in self.config.envs:
            self.progress.activity(f"connecting to {env.url}")
            token = self.env_tokens.get(env.url)
            connection = envport.connect(env.url, token=token, timeout_s=self.config.env_timeout_s)
            client = await stack.enter_async_context(connection)
            if compares(client):
                check_room(client, self.config.group_size)
            sources.append(TaskSource(client, env.split, env.weight))
            if self.config.eval_every:
                TaskSource(client, self.config.eval_split, env.weight).count()  # raises now, not after many steps
        stream = TaskStream(sources, self.config.seed, self.config.group_size)
        if self.resumed is not None:
            stream.taken = list(self.resumed.tasks_taken.values())
            for remark in check_environments(self.resumed, _manifests(stream), self.config.output / CHECKPOINTS):
                self.progress.note(f"note: {remark}")
        return stream

    async def _one_step(self, stream: TaskStream, log: MetricsLog) -> bool:
        """True when the step was done; False when it was interrupted, with nothing changed."""
        began, taken = time.perf_counter(), list(stream.taken)
        rollouts = await self._rollouts(stream)
        if rollouts is None:
            stream.taken = taken
            return False
        rollouts_s = time.perf_counter() - began
        if not rollouts.all:
            stream.taken = taken
            self._save(stream)
            raise self._all_dropped(rollouts)
        self.progress.activity("update")
        learned = self.learner.update(rollouts.groups, self.step) if rollouts.groups else {}
        if learned and not self.agreed:
            check_agreement(learned)
            self.agreed = True
        self.sampler.update_weights(self.model)
        self.step += 1
        values = measure(rollouts) | learned
        values |= {"rollouts_s": rollouts_s, "step_s": time.perf_counter() - began}
        values["sampled_tokens_per_s"] = values["sampled_tokens"] / rollouts_s
        log.write(self.step, values)
        self.progress.step_done(
            self.step,
            reward=values["reward"],
            rewards={k.removeprefix("rewards/"): v for k, v in values.items() if k.startswith("rewards/")},
            length=values["completion_tokens"],
            tokens_per_s=values["sampled_tokens"] / values["step_s"],
        )
        if self.step % self.config.checkpoint_every == 0:
            self._save(stream)
            self._draw()
        if self.config.eval_every and self.step % self.config.eval_every == 0:
            self.progress.activity("evaluation")
            log.amend(self.step, await self._unless_interrupted(self._evaluate(stream)) or {})
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

    async def _rollouts(self, stream: TaskStream) -> StepRollouts | None:
        """The step's rollouts; None where Ctrl-C came first."""
        total = self.config.prompts_per_step * self.config.group_size
        done = 0

        def count(_: Trajectory) -> None:
            nonlocal done
            done += 1
            self.progress.activity(f"rollouts {done}/{max(total, done)}")

        self.progress.activity(f"rollouts 0/{total}")
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
        """The policy as it is, greedy, on each environment's `eval_split`; the means over all their tasks.

        Nothing where it fails: the run does not depend on it.
        """
        model = sampled(self.config.model, self.sampler, self.chat)
        limits = replace(self.limits, temperature=0.0)
        split, n, seed = self.config.eval_split, self.config.eval_tasks, self.config.seed
        try:
            results = [await evaluate(s.env, model, limits, split=split, n=n, seed=seed) for s in stream.sources]
        except (TrainerError, TransportError, WireError, ProtocolError) as error:
            logger.warning("the evaluation after step %d failed, the training goes on: %s", self.step, error)
            return {}
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
        if not self.interrupted.is_set():
            self.progress.note("finishing: ends the rollouts and writes the model; Ctrl-C again stops at once")
        self.interrupted.set()

    def _draw(self) -> None:
        if read_metrics(self.config.output / FILE_NAME):
            draw_curve(self.config.output / FILE_NAME, self.config.output / CURVE)

    def _save(self, stream: TaskStream) -> None:
        """Write a checkpoint, unless there is one of this step. Step 0 has none: there is nothing to go on from."""
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
                extra=identity(self.loaded, _manifests(stream)),
            ),
            keep=self.config.keep_checkpoints,
        )
        self.saved_step = self.step


def _manifests(stream: TaskStream) -> list[Manifest]:
    return [source.env.manifest for source in stream.sources]
