"""Rollouts that were under way when their server could not be reached are begun anew once it can, all of them."""

from __future__ import annotations

import asyncio

import envport
import httpx
from envport_protocol import BaseEnv, EnvTask, tool
from envport_protocol.config import ServeConfig
from envport_trainer.rollouts.attempts import attempt_task
from envport_trainer.rollouts.playing import RolloutSpec

ROLLOUTS = 4


class DoorEnv(BaseEnv):
    """Counts how many rollouts are open."""

    def __init__(self) -> None:
        self.started = self.ended = 0

    def tasks(self, split: str) -> list[EnvTask]:
        return [EnvTask(f"{split}-{n}", prompt="Knock.") for n in range(ROLLOUTS)]

    def start_rollout(self) -> None:
        self.started += 1

    def end_rollout(self) -> None:
        self.ended += 1

    @tool
    def knock(self) -> str:
        """Knocks."""
        return "Come in."


class Cable(httpx.AsyncHTTPTransport):
    """Real HTTP, as long as it is not pulled out."""

    is_out = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.is_out:
            raise httpx.ConnectError("pulled out")
        return await super().handle_async_request(request)


async def test_as_many_as_the_server_holds_are_begun_anew_after_an_outage_that_it_did_not_see(serve_env, monkeypatch):
    monkeypatch.setattr("envport_trainer.rollouts.attempts._RETRY_EVERY_S", 0.01)
    monkeypatch.setattr("envport_trainer.rollouts.attempts.ENV_PATIENCE_S", 20.0)
    env = DoorEnv()
    url = serve_env(env, ServeConfig(max_rollouts=ROLLOUTS, max_queued=0))
    cable = Cable()
    failed: list[str] = []
    pulled = asyncio.Event()

    async def attempt(rollout: envport.Rollout) -> str:
        if env.started == ROLLOUTS:
            cable.is_out = True
            pulled.set()
        await pulled.wait()
        try:
            return (await rollout.run_tool("knock")).text
        except envport.TransportError:
            failed.append(rollout.rollout_id)
            raise

    async def mend() -> None:
        while len(failed) < ROLLOUTS:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        cable.is_out = False

    async with httpx.AsyncClient(transport=cable) as http, envport.connect(url, http=http, retry_for_s=0.1) as client:
        specs = [RolloutSpec("train", n, seed=0, env_seed=0) for n in range(ROLLOUTS)]
        mending = asyncio.create_task(mend())
        said = await asyncio.gather(*(attempt_task(client, spec, 0, attempt) for spec in specs))
        await mending
    assert said == ["Come in."] * ROLLOUTS
    assert (env.started, env.ended) == (2 * ROLLOUTS, 2 * ROLLOUTS)
