"""GRPO over any environment URL: the loop.

    groups of rollouts -> advantages within each group -> packed loss -> weights -> sampler

This is GRPO (2402.03300), except:
  - no reference model and no KL term by default (the practice of 2026; the trust region is the ratio's clip);
  - advantages are not divided by the group's standard deviation by default (Dr. GRPO, 2503.20783);
  - the loss is a token sum over the whole batch's token count, and the clip is higher upwards (DAPO, 2503.14476);
  - groups of equal rewards are replaced by others before the update (DAPO's dynamic sampling);
  - the ratio is taken to the sampler's own logprobs, one update a batch.

Without staleness a run's state after a step depends on the configuration and on that step's number alone: task order
and every rollout's randomness come from seeds, so a run that is killed and resumed goes on with the same next step.
With `max_staleness` the next rollouts are sampled while the weights are updated; those that a checkpoint finds
unfinished are begun anew when the run goes on.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from envport_trainer.conversation.chat import Chat
from envport_trainer.errors import CheckpointError, ConfigError, PromptTooLongError, TrainerError
from envport_trainer.evaluation.evaluate import sampled
from envport_trainer.evaluation.held_out import evaluate_held_out
from envport_trainer.learning import ranks
from envport_trainer.learning.allocator import return_freed_memory
from envport_trainer.learning.learner import advantages_by_id, check_agreement
from envport_trainer.models.card import card_of_run
from envport_trainer.models.folder import save_model, stop_ids
from envport_trainer.recording.measurements import measure
from envport_trainer.recording.progress import TrainProgress
from envport_trainer.rollouts.identity import check_unchanged
from envport_trainer.rollouts.opening import open_tasks
from envport_trainer.rollouts.pipeline import GroupPipeline, StepRollouts
from envport_trainer.rollouts.playing import RolloutLimits, play_group
from envport_trainer.runs.following import Followers, begin, check_several, follow
from envport_trainer.runs.interruption import Interruption
from envport_trainer.runs.records import Records
from envport_trainer.runs.resuming import CHECKPOINTS, check_environments
from envport_trainer.runs.saving import Saver
from envport_trainer.samplers import make_sampler

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from pathlib import Path

    from envport.client import EnvClient
    from envport_protocol.messages import Manifest

    from envport_trainer.alarms.watch import Alarm
    from envport_trainer.config import TrainConfig
    from envport_trainer.errors import RolloutFailedError
    from envport_trainer.rollouts.playing import RolloutSpec
    from envport_trainer.runs.following import Begun
    from envport_trainer.types import Sampler, Trajectory

MODEL = "model"
_ENDING = "finishing: ends the rollouts and writes the model; Ctrl-C again breaks off, after an update that runs"


@dataclass(frozen=True, slots=True)
class TrainResult:
    """How a run ended."""

    step: int
    """Weight updates done in all."""
    interrupted: bool
    """True where Ctrl-C or SIGTERM ended it; from step 1 on a checkpoint holds its state."""
    output: Path
    """The folder with `model/`, `metrics.jsonl`, `curve.png`, `checkpoints/` and `tensorboard/`."""
    stopped_by: Alarm | None = None
    """The alarm that ended it."""


def train(
    config: TrainConfig,
    *,
    resume: bool = False,
    env_tokens: Mapping[str, str] = MappingProxyType({}),
    sampler_token: str | None = None,
) -> TrainResult | None:
    """Run `config` to its last step, or until Ctrl-C or an alarm that stops; the folder then holds the model, and a
    checkpoint once a step was done. Of several processes under torchrun the first gives the result, the others None.

    `env_tokens` has the tokens of environments by their URLs, as these stand in `config`; each is sent to its own
    environment alone, `sampler_token` to the vLLM server; they are written nowhere.

    Raises:
        TrainerError: what a person can mend: a bad model, an output folder in use, an environment that stays away.
            Where steps were done, a checkpoint holds them.
        EnvportError: an environment that refuses the client.
    """
    with ranks.joined(config.device):
        check_several(config)
        if ranks.own_rank():
            follow(config, resume=resume)
            return None
        return asyncio.run(_Run(config, begin(config, resume=resume), env_tokens, sampler_token).to_the_end())


class _Run:
    def __init__(
        self,
        config: TrainConfig,
        begun: Begun,
        env_tokens: Mapping[str, str],
        sampler_token: str | None,
    ) -> None:
        self.config, self.env_tokens = config, env_tokens
        state, self.loaded, self.learner = begun
        loaded = self.loaded
        stops = frozenset(stop_ids(loaded))
        self.chat = Chat(loaded.tokenizer, stops, config.tool_format, config.history)
        if config.max_turns > 1:
            self.chat.check_appendable()
        self.limits = RolloutLimits.of(config)
        self.resumed = state
        self.step = state.step if state is not None else 0
        self.followers = Followers(self.learner, step=self.step)
        self.saver = Saver(config, loaded, self.learner, saved_step=self.step)
        self.progress = TrainProgress(config.steps, done=self.step)
        self.stopped_by: Alarm | None = None
        self.agreed = False
        """Whether trainer and sampler were seen to agree in this process's first update that trained on anything. No
        weights had changed before it, however stale its rollouts may be."""
        try:
            self.sampler: Sampler = make_sampler(config, loaded, stops, sampler_token)
        except BaseException:
            self.followers.dismiss()
            raise

    async def to_the_end(self) -> TrainResult:
        self.interruption = Interruption(lambda: self.progress.note(_ENDING))
        try:
            async with AsyncExitStack() as stack:
                stack.enter_context(self.followers)
                await self._open(stack)
                with self._saved_on_error():
                    if not self.records.has_evaluation(self.step):
                        await self._evaluate()
                    if self.resumed is not None:  # the process before may have been killed before it looked
                        self.stopped_by = self.records.look_for_alarms()
                    while self.step < self.config.steps and not self.interruption and self.stopped_by is None:
                        if not await self._one_step():
                            break
                self._save()
                self.records.draw()
            card = card_of_run(self.config.output, self.step)
            save_model(self.loaded.model, self.loaded.tokenizer, self.config.output / MODEL, card=card)
        finally:
            self.sampler.close()
        return TrainResult(self.step, bool(self.interruption), self.config.output, self.stopped_by)

    async def _one_step(self) -> bool:
        """True when the step was done; False when it was interrupted, with nothing changed."""
        began = time.perf_counter()
        rollouts = await self._next_rollouts()
        if rollouts is None:
            return False
        waited_s = time.perf_counter() - began
        with self._sampler_at_rest():
            learned = await self._update(rollouts)
            self.step += 1
            self.pipeline.updated(self.step)
            self.place = self._place_in_tasks()
            await asyncio.to_thread(self.sampler.update_weights, self.loaded.model)
            return_freed_memory()
        values = measure(rollouts) | learned
        values |= {"rollouts_s": waited_s, "step_s": time.perf_counter() - began}
        values["sampled_tokens_per_s"] = values["sampled_tokens"] / values["step_s"]
        self.records.step_done(
            self.step, rollouts.all, advantages_by_id(rollouts.groups, self.config.advantage), values
        )
        if await asyncio.to_thread(self.saver.save_if_due, self.step, self.place, self._manifests()):
            self.records.draw()
        await self._evaluate()
        self.stopped_by = self.records.look_for_alarms()
        return True

    async def _next_rollouts(self) -> StepRollouts | None:
        """The step's rollouts; None where Ctrl-C came first.

        Raises:
            TrainerError: no rollout has a score, or an environment is another one by now.
        """
        self._count_from_anew()
        rollouts = await self.interruption.unless(self.pipeline.next_step())
        if rollouts is None:
            return None
        if not rollouts.all:
            raise self._all_dropped(rollouts)
        for source in self.stream.sources:
            await check_unchanged(source.env)
        return rollouts

    async def _update(self, rollouts: StepRollouts) -> dict[str, float]:
        """What the update measured; nothing where no group had anything to teach."""
        if not rollouts.groups:
            return {}
        self.progress.activity("update")
        check = [] if self.agreed else [check_agreement]
        learned = await asyncio.to_thread(self.followers.update, rollouts.groups, self.step, *check)
        self.agreed = self.agreed or bool(learned["trained_tokens"])
        return learned

    @contextmanager
    def _sampler_at_rest(self) -> Generator[None]:
        """While the weights change nothing is sampled, unless rollouts may be stale: the sampler's memory is free."""
        if self.config.max_staleness:
            yield
            return
        self.sampler.sleep()
        yield
        self.sampler.wake()

    async def _evaluate(self) -> None:
        """The policy as it is, greedy, where an evaluation is due."""
        config = self.config
        if not config.eval_every or self.step % config.eval_every:
            return
        self.progress.activity("evaluation")
        work = evaluate_held_out(
            list({source.env.url: source.env for source in self.stream.sources}.values()),
            sampled(config.model, self.sampler, self.chat),
            replace(self.limits, temperature=0.0),
            step=self.step,
            split=config.eval_split,
            n=config.eval_tasks,
            seed=config.seed,
        )
        held_out = await self.interruption.unless(work)
        if held_out is not None:
            self.records.evaluated(self.step, held_out)

    async def _open(self, stack: AsyncExitStack) -> None:
        """Connect to the environments, and open what the run writes."""
        config = self.config
        self.stream = await open_tasks(stack, config, self.env_tokens, self.progress.activity)
        self.pipeline = GroupPipeline(
            self.stream,
            partial(_play, self.sampler, self.chat, self.limits, self._count_rollout),
            wanted=config.prompts_per_step,
            steps=config.steps,
            version=self.step,
            max_refills=config.max_refills,
            max_staleness=config.max_staleness,
            truncated=config.truncated,
            by_component=config.advantage == "gdpo",
        )
        stack.push_async_callback(self.pipeline.close)
        if self.resumed is not None:
            check_environments(self.resumed, self._manifests(), config.output / CHECKPOINTS)
            self.stream.load_state(self.resumed.tasks["stream"])
            self.pipeline.load_state(self.resumed.tasks["pipeline"])
        self.place = self._place_in_tasks()
        device = self.loaded.model.device
        self.records = stack.enter_context(Records(config, self._manifests(), device, self.progress, step=self.step))

    def _all_dropped(self, rollouts: StepRollouts) -> TrainerError:
        first = rollouts.failures[0]
        step, again = self.step + 1, "go on with --resume" if self.step else "run it again"
        if all(isinstance(failure, PromptTooLongError) for failure in rollouts.failures):
            return ConfigError(f"step {step}: no prompt leaves room to answer, such as this one: {first}; then {again}")
        return TrainerError(
            f"step {step}: all {rollouts.dropped} rollouts were dropped because their environment failed, the first "
            f"because {first}; look at the environment's log, then {again}"
        )

    def _count_from_anew(self) -> None:
        self.counted, self.awaited = 0, self.config.prompts_per_step * self.config.group_size
        self.progress.activity(f"rollouts 0/{self.awaited}")

    def _count_rollout(self, _: Trajectory) -> None:
        self.counted += 1
        self.progress.activity(f"rollouts {self.counted}/{max(self.awaited, self.counted)}")

    @contextmanager
    def _saved_on_error(self) -> Generator[None]:
        """What ends the run leaves a checkpoint of the last step that was done."""
        try:
            yield
        except Exception:
            with suppress(CheckpointError):  # what went wrong first is what is told
                self._save()
            raise

    def _save(self) -> None:
        self.saver.save(self.step, self.place, self._manifests())

    def _place_in_tasks(self) -> dict[str, Any]:
        return {"stream": self.stream.state(), "pipeline": self.pipeline.state()}

    def _manifests(self) -> list[Manifest]:
        return [source.env.manifest for source in self.stream.sources]


async def _play(
    sampler: Sampler,
    chat: Chat,
    limits: RolloutLimits,
    on_rollout: Callable[[Trajectory], None],
    env: EnvClient,
    specs: Sequence[RolloutSpec],
) -> list[Trajectory | RolloutFailedError]:
    return await play_group(env, sampler, chat, specs, limits, on_rollout)
