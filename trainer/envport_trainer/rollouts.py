"""Rollouts against an environment: one attempt, a group of them, and the groups of a step.

The way of one rollout: start -> prompt ids -> sample -> tool calls -> their answers' ids appended -> sample -> ... ->
reward -> trajectory. Ids are only ever appended.

A failure of the environment is never a reward: `attempts` begins such a rollout anew, and then it is dropped.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from envport_protocol.messages import ComputeRewardAnswer, Message

from envport_trainer.advantages import has_spread
from envport_trainer.attempts import ToolReply, at_once, attempt_task, call_tool, scored
from envport_trainer.errors import PromptTooLongError, RolloutFailedError
from envport_trainer.types import Finish, Sampler, SampleRequest, Trajectory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from envport import Rollout
    from envport.client import EnvClient

    from envport_trainer.chat import Chat, ToolCall, Turn

logger = logging.getLogger(__name__)


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
    """Of sampling; each member of a group has its own."""
    env_seed: int = 0
    """Of the environment; the members of a group share it, so that they differ by what the model did alone."""
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
    failures: list[RolloutFailedError] = field(default_factory=list[RolloutFailedError])
    """Why rollouts were dropped, one for each."""

    @property
    def dropped(self) -> int:
        """Rollouts given up without a score."""
        return len(self.failures)

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
        done = await at_once(jobs)
        for n in range(count):
            attempts = done[n * group_size : (n + 1) * group_size]
            members = [t for t in attempts if isinstance(t, Trajectory)]
            step.failures += [t for t in attempts if isinstance(t, RolloutFailedError)]
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
) -> Trajectory | RolloutFailedError:
    try:
        trajectory = await run_rollout(env, sampler, chat, spec, limits)
    except RolloutFailedError as error:
        logger.warning("a rollout was dropped, not scored: %s", error)
        return error
    on_rollout(trajectory)
    return trajectory


async def run_rollout(
    env: EnvClient, sampler: Sampler, chat: Chat, spec: RolloutSpec, limits: RolloutLimits
) -> Trajectory:
    """One scored attempt, begun anew where the environment fails.

    Raises:
        PromptTooLongError: the task's prompt leaves no room to answer.
        RolloutFailedError: the environment kept failing, see `attempt_task`.
    """

    async def attempt(rollout: Rollout) -> Trajectory:
        tokens = _Tokens(chat, rollout, offer_tools=limits.max_turns > 1, max_tokens=limits.max_tokens)
        finish = await _converse(tokens, rollout, sampler, spec, limits)
        answer = await rollout.compute_reward(tokens.completion)
        return tokens.trajectory(env, spec, finish, scored(answer), answer)

    async with sampler.rollout():
        return await attempt_task(env, spec, limits.env_retries, attempt)


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

    async def one(number: int, call: ToolCall) -> ToolReply:
        if call.problem is not None:
            return ToolReply(call.problem, is_error=True, done=False)
        return await call_tool(rollout, call.name, call.arguments, f"{turn_number}-{number}")

    replies = await at_once([one(number, call) for number, call in enumerate(turn.calls)])
    tokens.append_tools(
        [(call.name or "error", reply.text) for call, reply in zip(turn.calls, replies, strict=True)],
        errors=sum(reply.is_error for reply in replies),
    )
    return any(reply.done for reply in replies)


class _Tokens:
    """The growing ids of one rollout, and the conversation for people to read."""

    def __init__(self, chat: Chat, rollout: Rollout, *, offer_tools: bool, max_tokens: int) -> None:
        self.chat, self.rollout = chat, rollout
        self.ids = chat.prompt_ids(rollout.messages, rollout.tools if offer_tools else ())
        self.prompt_length = len(self.ids)
        if self.prompt_length >= max_tokens:
            raise PromptTooLongError(
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
