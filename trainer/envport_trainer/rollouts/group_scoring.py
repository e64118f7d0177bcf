"""Rewards where the environment compares: the rollouts of a group are scored in one call, each against the others.

A member that has finished keeps its rollout open and waits until the others have finished or were dropped. From then on
none of them is begun anew: a comparison that fails drops them all, and is never a reward.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING

from envport.requests import new_id
from envport_protocol.errors import EnvportError, OverloadedError

from envport_trainer.errors import NoRoomError, NotScoredError, RolloutFailedError
from envport_trainer.rollouts.attempts import scored

if TYPE_CHECKING:
    from envport import Rollout
    from envport.client import EnvClient
    from envport.requests import Completion
    from envport_protocol.messages import ComputeRewardAnswer

    from envport_trainer.rollouts.group_room import Place
    from envport_trainer.rollouts.playing import RolloutSpec


def compares(env: EnvClient) -> bool:
    """Whether the environment scores the rollouts of a group against each other."""
    return "group_reward" in env.manifest.capabilities


async def reward_alone(env: EnvClient, rollout: Rollout, completion: Completion) -> ComputeRewardAnswer:
    """The reward of a rollout that no others are played with; where the environment compares, that of a group of one.

    Raises:
        NotScoredError: the environment compares, and has no reward for one alone.
        EnvportError: as the client says.
    """
    if not compares(env):
        return await rollout.compute_reward(completion)
    (answer,) = await env.compute_group_reward([(rollout, completion)])
    if answer.reward is None:
        raise NotScoredError(
            f"{env.url} scores only by comparison: it gave a rollout alone no reward. Training asks it for whole "
            "groups; for an evaluation its compute_group_reward must score a group of one"
        )
    return answer


class Group:
    """The rollouts of one task that are scored together, `size` of them at most.

    Their ids share a routing key: a server of several workers holds them in one.
    """

    def __init__(self, env: EnvClient, size: int, place: Place) -> None:
        self._env, self._place = env, place
        self._id, self._numbers = new_id(), count()
        self._awaited = size
        """Members that may still come."""
        self._finished: list[tuple[Rollout, Completion]] = []
        self._all_there, self._asked = asyncio.Event(), asyncio.Event()
        self._outcome: list[ComputeRewardAnswer] | NotScoredError = []

    async def start(self, spec: RolloutSpec) -> Rollout:
        """A rollout for a member, at its first attempt or a later one.

        Raises:
            NoRoomError: the server has no room for all members, and the group gives way to others.
            EnvportError: as `EnvClient.start_rollout` says.
        """
        rollout_id = f"{self._id}.{next(self._numbers)}"
        try:
            return await self._env.start_rollout(
                split=spec.split, index=spec.index, seed=spec.env_seed, rollout_id=rollout_id
            )
        except OverloadedError as error:
            if self._place.gives_way():
                raise NoRoomError(f"{self._env.url} has no room for a whole group: {error}") from error
            raise

    async def reward(self, rollout: Rollout, completion: Completion) -> ComputeRewardAnswer:
        """The member's reward, when all others have come or were dropped. The first that came asks for all.

        Raises:
            NotScoredError: the environment could not compare them, or gave this one no reward.
        """
        number = len(self._finished)
        self._finished.append((rollout, completion))
        self.expect_one_less()
        await self._all_there.wait()
        if number == 0:
            await self._ask()
        await self._asked.wait()
        if isinstance(self._outcome, NotScoredError):
            raise self._outcome
        answer = self._outcome[number]
        try:
            scored(answer)
        except RolloutFailedError as error:
            raise NotScoredError(f"compared with its group, {error}") from error
        return answer

    def expect_one_less(self) -> None:
        """Counts a member that has come or was dropped. A member is dropped after it came only when all have come."""
        self._awaited -= 1
        if self._awaited == 0:
            self._all_there.set()

    async def _ask(self) -> None:
        try:
            self._outcome = await self._env.compute_group_reward(self._finished)
        except EnvportError as error:
            self._outcome = NotScoredError(
                f"the {len(self._finished)} rollouts of a group could not be compared: {error}"
            )
        self._asked.set()
