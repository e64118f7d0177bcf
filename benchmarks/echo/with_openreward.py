"""openreward (Open Reward Standard), by its own server and client. Needs `openreward uvicorn uvloop httptools`."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("OPENREWARD_API_KEY", "none")
os.environ["NO_PROXY"] = "*"

import load
from openreward.environments import Environment, Server, Split, TextBlock, ToolOutput, tool
from pydantic import BaseModel


class Say(BaseModel):
    message: str


class EchoEnv(Environment):
    @classmethod
    def list_splits(cls):
        return [Split(name="train", type="train")]

    @classmethod
    def list_tasks(cls, split):
        return [{"prompt": "Say it again."}]

    def get_prompt(self):
        return [TextBlock(text=self.task_spec["prompt"])]

    @tool
    async def echo(self, params: Say) -> ToolOutput:
        """Says it again."""
        return ToolOutput(blocks=[TextBlock(text=params.message)], reward=0.0, finished=False)

    @tool
    async def submit(self, params: Say) -> ToolOutput:
        """Ends the episode."""
        return ToolOutput(blocks=[TextBlock(text="ok")], reward=1.0, finished=True)


def serve(port: int) -> None:
    import uvicorn

    uvicorn.run(Server([EchoEnv]).app, port=port, http="httptools", log_level="warning", access_log=False)


async def drive(args) -> None:
    from openreward.api.environments.client import AsyncEnvironmentsAPI

    url = f"http://127.0.0.1:{args.port}"
    api = AsyncEnvironmentsAPI(base_url=url, api_key=None)
    environment = api.get("echoenv", variant="echoenv", base_url=url)

    class Session:
        def __init__(self, session) -> None:
            self.session = session

        async def call(self, text: str) -> str:
            return (await self.session.call_tool("echo", {"message": text})).blocks[0].text

        async def finish(self) -> float | None:
            return (await self.session.call_tool("submit", {"message": ""})).reward

    @asynccontextmanager
    async def open_session():
        async with environment.session(split="train", index=0) as session:
            yield Session(session)

    await load.main(open_session, args)
    await api.aclose()


if __name__ == "__main__":
    ARGS = load.arguments()
    if ARGS.role == "serve":
        serve(ARGS.port)
    else:
        asyncio.run(drive(ARGS))
