"""A model that samples longer than a server lets a rollout idle does not lose it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import envport
from envport_protocol.config import ServeConfig
from envport_trainer.rollouts.playing import run_rollout

from .bytewise import byte_chat
from .scripted import ScriptedSampler
from .test_rollouts import LIMITS, NumberEnv, RolloutSpec

if TYPE_CHECKING:
    from envport_trainer.types import Sample, SampleRequest


class SlowSampler(ScriptedSampler):
    """Takes three times as long as the server's idle limit."""

    async def sample(self, request: SampleRequest) -> Sample:
        await asyncio.sleep(1.8)
        return await super().sample(request)


async def test_a_rollout_stays_open_while_its_model_samples(serve_env):
    env = NumberEnv()
    sampler = SlowSampler(byte_chat(), lambda number, request: "7")
    url = serve_env(env, ServeConfig(idle_timeout_s=0.6))
    async with envport.connect(url) as client:
        trajectory = await run_rollout(client, sampler, sampler.chat, RolloutSpec("train", 0, seed=1), LIMITS)
    assert trajectory.reward == 7.0
    assert env.started == [trajectory.rollout_id]
