"""Connecting to the environments of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import envport

from envport_trainer.rollouts.group_room import check_room
from envport_trainer.rollouts.group_scoring import compares
from envport_trainer.rollouts.tasks import TaskSource, TaskStream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AsyncExitStack

    from envport_trainer.config import TrainConfig


async def open_tasks(
    stack: AsyncExitStack, config: TrainConfig, env_tokens: Mapping[str, str], tell: Callable[[str], None]
) -> TaskStream:
    """The tasks of the run's environments, which stay connected as long as `stack` is open.

    Raises:
        EnvportError: a URL serves no environment, refuses the token, or has no such split.
        TrainerError: an environment has no room for a whole group.
    """
    sources: list[TaskSource] = []
    for env in config.envs:
        tell(f"connecting to {env.url}")
        connection = envport.connect(env.url, token=env_tokens.get(env.url), timeout_s=config.env_timeout_s)
        client = await stack.enter_async_context(connection)
        if compares(client):
            check_room(client, config.group_size)
        sources.append(TaskSource(client, env.split, env.weight))
        if config.eval_every:
            TaskSource(client, config.eval_split, env.weight).count()  # raises now, not after many steps
    return TaskStream(sources, config.seed, config.group_size, config.curriculum)
