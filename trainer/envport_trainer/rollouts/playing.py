"""Rollouts against an environment: one attempt, and a group of them.

The way of one rollout: start -> prompt ids -> sample -> tool calls -> their answers' ids appended -> sample -> ... ->
reward -> trajectory. Ids are only ever appended.

A failure of the environment is never a reward: `attempts` begins such a rollout anew, and then it is dropped. Where the
environment compares the rollouts of a group, they are scored together: `group_scoring`.
"""

from __future__ import annotations

import hashlib
import logging
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envport_trainer.conversation.rollout_tokens import RolloutTokens
from envport_trainer.errors import NoRoomError, RolloutFailedError
from envport_trainer.rollouts.attempts import ToolReply, at_once, attempt_task, call_tool, scored
from envport_trainer.rollouts.group_room import room_of
from envport_trainer.rollouts.group_scoring import Group, compares, reward_alone
from envport_trainer.types import Finish, Sampler, SampleRequest, Trajectory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from envport import Rollout
    from envport.client import EnvClient

    from envport_trainer.config import TrainConfig
    from envport_trainer.conversation.chat import Chat, ToolCall, Turn

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RolloutLimits:
    """What one rollout may use; the fields of the same names in the configuration."""

    max_new_tokens: int
    max_turns: int
    max_tokens: int
    temperature: float
    env_retries: int

    @classmethod
    def of(cls, config: TrainConfig) -> RolloutLimits:
        """Those of a run."""
        return cls(
            max_new_tokens=config.max_new_tokens,
            max_turns=config.max_turns,
            max_tokens=config.max_tokens,
            temperature=config.temperature,
            env_retries=config.env_retries,
        )


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


def derive_seed(*parts: object) -> int:
    """A 63-bit seed that depends on every part and on nothing else."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


async def play_group(
    env: EnvClient,
    sampler: Sampler,
    chat: Chat,
    specs: Sequence[RolloutSpec],
    limits: RolloutLimits,
    on_rollout: Callable[[Trajectory], None] = lambda _: None,
) -> list[Trajectory | RolloutFailedError]:
    """What became of the group's members, in order. Those that are scored together begin when there is room for all."""

    async def run(group: Group | None) -> list[Trajectory | RolloutFailedError]:
        return await at_once([_run_or_drop(env, sampler, chat, spec, limits, group, on_rollout) for spec in specs])

    if not compares(env):
        return await run(None)
    while True:
        with suppress(NoRoomError):
            async with room_of(env).place(len(specs)) as place:
                return await run(Group(env, len(specs), place))


async def _run_or_drop(
    env: EnvClient,
    sampler: Sampler,
    chat: Chat,
    spec: RolloutSpec,
    limits: RolloutLimits,
    group: Group | None,
    on_rollout: Callable[[Trajectory], None],
) -> Trajectory | RolloutFailedError:
    try:
        trajectory = await run_rollout(env, sampler, chat, spec, limits, group)
    except RolloutFailedError as error:
        logger.warning("a rollout was dropped, not scored: %s", error)
        if group is not None:
            group.expect_one_less()
        return error
    on_rollout(trajectory)
    return trajectory


async def run_rollout(
    env: EnvClient,
    sampler: Sampler,
    chat: Chat,
    spec: RolloutSpec,
    limits: RolloutLimits,
    group: Group | None = None,
) -> Trajectory:
    """One scored attempt, begun anew where the environment fails. A member of `group` is scored together with it.

    Raises:
        PromptTooLongError: the task's prompt leaves no room to answer.
        RolloutFailedError: the environment kept failing, see `attempt_task`, or could not compare the group.
    """

    async def attempt(rollout: Rollout) -> Trajectory:
        tokens = RolloutTokens(chat, rollout, offer_tools=limits.max_turns > 1, max_tokens=limits.max_tokens)
        finish = await _converse(tokens, rollout, sampler, spec, limits)
        if group is None:
            answer = await reward_alone(env, rollout, tokens.completion)
        else:
            await sampling.aclose()  # others' samples must not wait for a member that waits for its group
            answer = await group.reward(rollout, tokens.completion)
        return tokens.trajectory(env, spec, finish, scored(answer), answer)

    async with AsyncExitStack() as sampling:
        await sampling.enter_async_context(sampler.rollout())
        return await attempt_task(env, spec, limits.env_retries, attempt, None if group is None else group.start)


async def _converse(
    tokens: RolloutTokens, rollout: Rollout, sampler: Sampler, spec: RolloutSpec, limits: RolloutLimits
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


async def _run_tools(tokens: RolloutTokens, rollout: Rollout, turn: Turn, turn_number: int) -> bool:
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
