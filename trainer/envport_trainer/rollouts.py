"""Rollouts against an environment: one attempt, a group of them, and the groups of a step.

The way of one rollout: start -> prompt ids -> sample -> tool calls -> their answers' ids appended -> sample -> ... ->
reward -> trajectory. Ids are only ever appended.

A failure of the environment is never a reward. A rollout whose environment fails is begun anew, `env_retries` times;
where the environment cannot be reached it is waited for, `ENV_PATIENCE_S` long; then the rollout is dropped.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from envport import NotReadyError, Rollout, TransportError
from envport_protocol.errors import EnvportError, InvalidRequestError, OverloadedError, UnknownRolloutError, WireError
from envport_protocol.messages import ComputeRewardAnswer, Message, Outcome

from envport_trainer.advantages import has_spread
from envport_trainer.errors import ConfigError, RolloutFailedError
from envport_trainer.types import Finish, Sampler, SampleRequest, Trajectory

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from envport.client import EnvClient

    from envport_trainer.chat import Chat, ToolCall, Turn

T = TypeVar("T")

logger = logging.getLogger(__name__)

ENV_PATIENCE_S = 600.0
"""Longest wait for an environment that cannot be reached: a container may be rebuilt, a machine restarted."""
_RETRY_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class RolloutLimits:
    """What one rollout may use; the fields of the same names in the configuration."""

    max_new_tokens: int
    max_turns: int
    max_tokens: int
    temperature: float
    env_retries: int


@dataclass(frozen=True, slots=True)
class RolloutSpec:
    """Which attempt: of which task, as which member of which group, with which randomness."""

    split: str
    index: int
    seed: int
    group: int = 0
    policy_version: int = 0


@dataclass(slots=True)
class StepRollouts:
    """The rollouts of one training step."""

    groups: list[list[Trajectory]] = field(default_factory=list[list[Trajectory]])
    """Groups with a spread of rewards, in the order they were asked for."""
    flat: list[Trajectory] = field(default_factory=list[Trajectory])
    """Rollouts of groups whose rewards were all equal; they are counted and not trained on."""
    started: int = 0
    """Groups started, refills included."""
    dropped: int = 0
    """Rollouts given up because their environment failed."""

    @property
    def all(self) -> list[Trajectory]:
        """Every scored rollout."""
        return [t for group in self.groups for t in group] + self.flat


def derive_seed(*parts: object) -> int:
    """A 63-bit seed that depends on every part and on nothing else."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


async def collect_step(
    wanted: int,
    max_refills: int,
    group_size: int,
    start_group: Callable[[int], tuple[EnvClient, Sequence[RolloutSpec]]],
    sampler: Sampler,
    chat: Chat,
    limits: RolloutLimits,
    on_rollout: Callable[[Trajectory], None] = lambda _: None,
) -> StepRollouts:
    """Run `wanted` groups at once, and others in place of those without a spread of rewards.

    `start_group(n)` names the environment and the rollouts of the n-th group of this step. A group that lost more than
    half of its rollouts is replaced too: its baseline would be poor.
    """
    step = StepRollouts()
    while len(step.groups) < wanted and step.started < wanted + max_refills:
        count = min(wanted - len(step.groups), wanted + max_refills - step.started)
        plans = [start_group(step.started + n) for n in range(count)]
        step.started += count
        jobs = [_run_or_drop(env, sampler, chat, spec, limits, on_rollout) for env, specs in plans for spec in specs]
        done = await _at_once(jobs)
        for n in range(count):
            members = [t for t in done[n * group_size : (n + 1) * group_size] if t is not None]
            step.dropped += group_size - len(members)
            if 2 * len(members) > group_size and has_spread([t.reward for t in members]):
                step.groups.append(members)
            else:
                step.flat += members
    return step


async def _run_or_drop(
    env: EnvClient,
    sampler: Sampler,
    chat: Chat,
    spec: RolloutSpec,
    limits: RolloutLimits,
    on_rollout: Callable[[Trajectory], None],
) -> Trajectory | None:
    try:
        trajectory = await run_rollout(env, sampler, chat, spec, limits)
    except RolloutFailedError as error:
        logger.warning("a rollout was dropped, not scored: %s", error)
        return None
    on_rollout(trajectory)
    return trajectory


async def run_rollout(
    env: EnvClient, sampler: Sampler, chat: Chat, spec: RolloutSpec, limits: RolloutLimits
) -> Trajectory:
    """One scored attempt, begun anew where the environment fails.

    Raises:
        RolloutFailedError: the environment failed `env_retries` + 1 times, or was away for `ENV_PATIENCE_S`.
        ConfigError: the task's prompt leaves no room to answer.
    """
    async with sampler.rollout():
        failures = 0
        away_since: float | None = None
        while True:
            try:
                return await _attempt(env, sampler, chat, spec, limits)
            except _AWAY as error:
                now = asyncio.get_running_loop().time()
                away_since = now if away_since is None else away_since
                if now - away_since >= ENV_PATIENCE_S:
                    raise RolloutFailedError(f"{env.url} was away for {ENV_PATIENCE_S:.0f} s: {error}") from error
                logger.warning("%s is away, trying again: %s", env.url, error)
            except (WireError, RolloutFailedError) as error:
                failures += 1
                if failures > limits.env_retries:
                    raise RolloutFailedError(f"{env.url} failed {failures} times: {error}") from error
            await asyncio.sleep(_RETRY_EVERY_S)


_AWAY = (TransportError, NotReadyError, OverloadedError, UnknownRolloutError)
"""The environment is not there, or came back without its rollouts: not its own failure."""


async def _attempt(
    env: EnvClient, sampler: Sampler, chat: Chat, spec: RolloutSpec, limits: RolloutLimits
) -> Trajectory:
    rollout = await env.start_rollout(split=spec.split, index=spec.index, seed=spec.seed)
    try:
        tokens = _Tokens(chat, rollout, offer_tools=limits.max_turns > 1, max_tokens=limits.max_tokens)
        finish = await _converse(tokens, rollout, sampler, spec, limits)
        answer = await rollout.compute_reward(tokens.completion)
    finally:
        await _end_quietly(rollout)
    if answer.reward is None or not answer.trainable or answer.outcome != Outcome.OK:
        raise RolloutFailedError(f"the environment gave no reward (outcome {answer.outcome})")
    return tokens.trajectory(env, spec, finish, answer.reward, answer)


async def _converse(
    tokens: _Tokens, rollout: Rollout, sampler: Sampler, spec: RolloutSpec, limits: RolloutLimits
) -> Finish:
    for turn_number in range(limits.max_turns):
        room = min(limits.max_new_tokens, limits.max_tokens - len(tokens.ids))
        if room < 1:
            return Finish.LENGTH
        seed = derive_seed(spec.seed, turn_number)
        sample = await sampler.sample(SampleRequest(tuple(tokens.ids), room, limits.temperature, seed))
        turn = tokens.append_sample(sample.token_ids, sample.logprobs)
        if sample.truncated:
            return Finish.LENGTH
        if not turn.calls or limits.max_turns == 1:
            return Finish.STOP
        if turn_number + 1 == limits.max_turns:
            return Finish.TURNS
        if await _run_tools(tokens, rollout, turn, turn_number):
            return Finish.DONE
    return Finish.TURNS


async def _run_tools(tokens: _Tokens, rollout: Rollout, turn: Turn, turn_number: int) -> bool:
    """Run the turn's calls at once and append their answers in order; True where a tool ended the rollout."""

    async def one(number: int, call: ToolCall) -> tuple[str, bool, bool]:
        if call.problem is not None:
            return call.problem, True, False
        try:
            answer = await rollout.run_tool(call.name, call.arguments, call_id=f"{turn_number}-{number}")
        except InvalidRequestError as error:  # the model's own: a name too long, a number or text that JSON has not
            return f"the tool call does not fit: {error}", True, False
        if answer.outcome not in (Outcome.OK, Outcome.TOOL_ERROR) or not answer.trainable:
            raise RolloutFailedError(f"tool {call.name!r} ended with outcome {answer.outcome}")
        return answer.text, answer.outcome == Outcome.TOOL_ERROR, answer.done

    answers = await _at_once([one(number, call) for number, call in enumerate(turn.calls)])
    tokens.append_tools(
        [(call.name or "error", text) for call, (text, _, _) in zip(turn.calls, answers, strict=True)],
        errors=sum(failed for _, failed, _ in answers),
    )
    return any(done for _, _, done in answers)


async def _at_once(jobs: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of `jobs`, in order. Where one raises or all are cancelled, returns when each has come to its end."""
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            if not task.cancelling():  # a second time would break off what ends its rollout
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _end_quietly(rollout: Rollout) -> None:
    """An idle rollout expires by itself, so a failure to end one is nobody's loss."""
    try:
        await asyncio.wait_for(rollout.end(), 10)
    except (EnvportError, TimeoutError) as error:
        logger.debug("could not end rollout %s: %s", rollout.rollout_id, error)


class _Tokens:
    """The growing ids of one rollout, and the conversation for people to read."""

    def __init__(self, chat: Chat, rollout: Rollout, *, offer_tools: bool, max_tokens: int) -> None:
        self.chat, self.rollout = chat, rollout
        self.ids = chat.prompt_ids(rollout.messages, rollout.tools if offer_tools else ())
        self.prompt_length = len(self.ids)
        if self.prompt_length >= max_tokens:
            raise ConfigError(
                f"the prompt of task {rollout.task_id} has {self.prompt_length} tokens, and a whole rollout may have "
                f"{max_tokens}; raise max_tokens"
            )
        self.mask = [False] * self.prompt_length
        self.logprobs = [0.0] * self.prompt_length
        self.completion: list[Message] = []
        self.tool_calls = self.tool_errors = 0

    def append_sample(self, ids: Sequence[int], logprobs: Sequence[float]) -> Turn:
        self.ids += ids
        self.mask += [True] * len(ids)
        self.logprobs += logprobs
        turn = self.chat.read(ids)
        self.completion.append(Message(role="assistant", content=turn.text))
        return turn

    def append_tools(self, answers: Sequence[tuple[str, str]], errors: int) -> None:
        ids = self.chat.tool_ids(answers)
        self.ids += ids
        self.mask += [False] * len(ids)
        self.logprobs += [0.0] * len(ids)
        self.completion += [Message(role="tool", name=name, content=text) for name, text in answers]
        self.tool_calls += len(answers)
        self.tool_errors += errors

    def trajectory(
        self, env: EnvClient, spec: RolloutSpec, finish: Finish, reward: float, answer: ComputeRewardAnswer
    ) -> Trajectory:
        last = max(place for place, sampled in enumerate(self.mask) if sampled) + 1
        messages: list[dict[str, Any]] = [
            m.model_dump(exclude_none=True) for m in [*self.rollout.messages, *self.completion]
        ]
        return Trajectory(
            env=env.url,
            env_digest=env.manifest.digest,
            task_id=self.rollout.task_id,
            rollout_id=self.rollout.rollout_id,
            group=spec.group,
            input_ids=self.ids[:last],
            loss_mask=self.mask[:last],
            logprobs=self.logprobs[:last],
            prompt_length=self.prompt_length,
            policy_version=spec.policy_version,
            finish=finish,
            messages=messages,
            reward=reward,
            rewards={name: part.score for name, part in answer.rewards.items() if part.score is not None},
            metrics=dict(answer.metrics),
            tool_calls=self.tool_calls,
            tool_errors=self.tool_errors,
        )
