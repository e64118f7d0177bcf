"""OpenEnv: typed action and observation over its WebSocket, by its own client. Needs `openenv uvloop httptools`."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import load
from openenv.core import EnvClient
from openenv.core.client_types import StepResult
from openenv.core.env_server.http_server import create_app
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import Action, Observation, State


class Say(Action):
    message: str


class Said(Observation):
    message: str = ""


class EchoEnvironment(Environment):
    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self) -> None:
        super().__init__()
        self._steps = 0

    def reset(self, seed=None, episode_id=None, **_) -> Said:
        self._steps = 0
        return Said(done=False, reward=0.0)

    def step(self, action: Say, timeout_s=None, **_) -> Said:
        self._steps += 1
        return Said(message=action.message, done=False, reward=1.0)

    @property
    def state(self) -> State:
        return State(step_count=self._steps)


class EchoClient(EnvClient[Say, Said, State]):
    def _step_payload(self, action: Say) -> dict[str, str]:
        return {"message": action.message}

    def _parse_result(self, payload) -> StepResult:
        seen = Said(message=payload["observation"].get("message", ""))
        return StepResult(observation=seen, reward=payload.get("reward"), done=payload.get("done", False))

    def _parse_state(self, payload) -> State:
        return State(**payload)


def serve(port: int) -> None:
    import uvicorn

    app = create_app(EchoEnvironment, Say, Said, env_name="echo", max_concurrent_envs=2048)
    uvicorn.run(app, port=port, http="httptools", log_level="warning", access_log=False)


async def drive(args) -> None:
    class Session:
        def __init__(self, client: EchoClient) -> None:
            self.client = client
            self.reward: float | None = None

        async def call(self, text: str) -> str:
            result = await self.client.step(Say(message=text))
            self.reward = result.reward
            return result.observation.message

        async def finish(self) -> float | None:
            return self.reward

    @asynccontextmanager
    async def open_session():
        async with EchoClient(base_url=f"http://127.0.0.1:{args.port}", connect_timeout_s=60) as client:
            await client.reset()
            yield Session(client)

    await load.main(open_session, args)


if __name__ == "__main__":
    ARGS = load.arguments()
    if ARGS.role == "serve":
        serve(ARGS.port)
    else:
        asyncio.run(drive(ARGS))
