"""From a completion to the answer of `compute_reward`, for one rollout or for a group together."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, cast

from envport_protocol.calling import NamedCall, env_boundary, invoke, rollout_boundary
from envport_protocol.conversation import completion_text, conversation
from envport_protocol.env import overrides
from envport_protocol.errors import EnvFailedError, InvalidRequestError
from envport_protocol.messages import ComputeGroupRewardAnswer, ComputeRewardAnswer
from envport_protocol.rewards import REWARD_INPUTS, Scorer
from envport_protocol.task import EnvTask

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from envport_protocol.env import BaseEnv
    from envport_protocol.hosting.state import RolloutState
    from envport_protocol.messages import GroupMember, Message, RewardSpec

log = logging.getLogger("envport.protocol")

GROUP_INPUTS = {
    "rollout_ids": "rollout_id",
    "completions": "completion",
    "messages": "messages",
    "ground_truths": "ground_truth",
    "tasks": "task",
    "metadatas": "metadata",
    "seeds": "seed",
}
"""What `compute_group_reward` may ask for, and of which input of a single reward it is the list."""


class Scoring:
    """The rewards of one environment. `weights` by component go over those of the environment.

    Raises:
        EnvDefinitionError: a reward method asks for what the server does not have.
    """

    def __init__(self, env: BaseEnv, weights: Mapping[str, float]) -> None:
        self._env = env
        self._weights = weights
        self._single = NamedCall(env.compute_reward, REWARD_INPUTS)
        self._group = (
            NamedCall(env.compute_group_reward, GROUP_INPUTS.keys()) if overrides(env, "compute_group_reward") else None
        )
        self._scorer = Scorer(())

    async def open(self) -> list[RewardSpec]:
        """The components, asked of the environment.

        Raises:
            EnvportError: what it gave cannot be served, or its code raised.
        """
        with env_boundary("rewards"):
            self._scorer = Scorer(await invoke(self._env.rewards, {}), self._weights)
        return self._scorer.specs

    async def score(self, state: RolloutState, completion: str | list[Message], truth: Any) -> ComputeRewardAnswer:
        """The reward of one rollout.

        Raises:
            EnvFailedError: the environment gave no reward that can be used.
        """
        return self._scorer.answer(await self._single(_inputs(state, completion, truth)))

    async def score_group(
        self, states: Sequence[RolloutState], members: Sequence[GroupMember]
    ) -> ComputeGroupRewardAnswer:
        """The rewards of the rollouts of one group.

        Where the environment does not compare them, each is scored alone, and one that fails is the failure of its
        rollout only.

        Raises:
            EnvFailedError: the environment compares them, and did not give one usable reward for each.
        """
        inputs = [
            _inputs(state, member.completion, member.ground_truth)
            for state, member in zip(states, members, strict=True)
        ]
        if self._group is None:
            return ComputeGroupRewardAnswer(answers=await asyncio.gather(*(self._score_alone(one) for one in inputs)))
        given = await self._group({many: [one[name] for one in inputs] for many, name in GROUP_INPUTS.items()})
        scores = _one_for_each(self._group.what, given, len(members))
        return ComputeGroupRewardAnswer(answers=[self._scorer.answer(score) for score in scores])

    async def _score_alone(self, inputs: dict[str, Any]) -> ComputeRewardAnswer:
        try:
            with rollout_boundary("compute_reward"):
                return self._scorer.answer(await self._single(inputs))
        except EnvFailedError as error:
            log.warning("a member of a group was not scored: %s", error)
            return ComputeRewardAnswer(reward=None, rewards={}, outcome=error.outcome, trainable=False)


def check_truth(state: RolloutState, truth: Any) -> None:
    """Lets a ground truth pass only where the caller brought the task.

    Raises:
        InvalidRequestError: the task is the environment's own.
    """
    if truth is not None and state.truth_is_ours:
        raise InvalidRequestError(
            "ground_truth was sent for one of the environment's own tasks, whose answer the server knows; leave it out"
        )


def _inputs(state: RolloutState, completion: str | list[Message], truth: Any) -> dict[str, Any]:
    inputs = state.inputs()
    if truth is not None:
        inputs["ground_truth"] = truth
        inputs["task"] = EnvTask(messages=inputs["task"].messages, ground_truth=truth)
    inputs["completion"] = completion_text(completion)
    inputs["messages"] = conversation(state.messages, completion)
    return inputs


def _one_for_each(what: str, given: Any, count: int) -> Sequence[Any]:
    if not isinstance(given, list | tuple) or len(cast("Sequence[Any]", given)) != count:
        seen = f"{len(cast('Sequence[Any]', given))}" if isinstance(given, list | tuple) else type(given).__name__
        raise EnvFailedError(f"{what} gave {seen}; expected a list of {count}, one for each rollout of the group")
    return cast("Sequence[Any]", given)
