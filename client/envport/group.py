"""Rollouts of one task, begun together and scored together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from envport_protocol.messages import (
    ComputeGroupRewardAnswer,
    ComputeGroupRewardRequest,
    ComputeRewardAnswer,
    GroupMember,
)

from envport.errors import ProtocolError
from envport.requests import as_completion, boundary, new_id_beside, reward_request
from envport.together import all_ended

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Sequence

    from envport.connection import Connection
    from envport.requests import Completion
    from envport.rollout import Rollout, StartedRollout
    from envport.transport import Transport


async def started_together(starts: Iterable[Coroutine[Any, Any, Rollout]]) -> list[Rollout]:
    """The rollouts, when all are started. Where one is not, the others are ended again.

    Raises:
        EnvportError: that of the first start that failed.
    """
    tasks = [asyncio.create_task(start) for start in starts]
    try:
        return await all_ended(tasks)
    except BaseException as error:
        started = [task.result() for task in tasks if not task.cancelled() and task.exception() is None]
        await asyncio.gather(*(rollout.__aexit__(type(error), error, None) for rollout in started))
        raise


async def score_group(
    transport: Transport, completions: Sequence[tuple[StartedRollout, Completion]], group_id: str | None
) -> list[ComputeRewardAnswer]:
    """The answers of the server's `compute_group_reward`, in the order of `completions`.

    Raises:
        EnvportError: as `Transport.post` says.
    """
    with boundary("compute_group_reward"):
        members = [
            GroupMember(rollout_id=rollout.rollout_id, completion=as_completion(completion))
            for rollout, completion in completions
        ]
        named = group_id or new_id_beside(members[0].rollout_id if members else "")
        request = ComputeGroupRewardRequest(group_id=named, members=members)
    answers = (await transport.post("compute_group_reward", request, ComputeGroupRewardAnswer)).answers
    if len(answers) != len(members):
        raise ProtocolError(transport.url, f"answered {len(answers)} rewards for {len(members)} rollouts")
    return answers


async def score_singly(
    connection: Connection, completions: Sequence[tuple[StartedRollout, Completion]]
) -> list[ComputeRewardAnswer]:
    """The answers of one `compute_reward` for each, in the order of `completions`.

    Raises:
        EnvportError: the first one, as `Transport.post` says, after all have ended.
    """
    requests = [reward_request(rollout.rollout_id, completion, None) for rollout, completion in completions]
    return await all_ended(
        connection.post("compute_reward", request, ComputeRewardAnswer, rollout.slot)
        for request, (rollout, _) in zip(requests, completions, strict=True)
    )
