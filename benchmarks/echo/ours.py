"""envport with everything switched on: tokens, journal, metrics, logs, deadlines, stored answers.

`--client raw` is plain aiohttp, `single` envport's client with each request alone, `batched` envport's client as it is.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import uuid
from contextlib import asynccontextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import load
import orjson

TOKEN = "benchmark-trainer-token"
PROMPT = [{"role": "user", "content": "Say it again."}]
HEADERS = {"content-type": "application/json", "authorization": f"Bearer {TOKEN}"}


def serve(port: int) -> None:
    from envport_protocol import BaseEnv, reward, tool
    from envport_protocol.config import ServeConfig, Tokens
    from envport_protocol.server.serving import run_server

    class Echo(BaseEnv):
        deterministic = True

        @tool
        async def echo(self, text: str) -> str:
            """Says it again."""
            return text

        @reward
        async def said(self, completion: str) -> float:
            return 1.0

    with tempfile.TemporaryDirectory() as journal:
        config = ServeConfig(
            name="echo",
            tokens=Tokens.model_validate({"trainer": TOKEN}),
            journal=None if os.environ.get("BENCH_WITHOUT_JOURNAL") else Path(journal),
            max_calls_per_rollout=10_000_000,
        )
        run_server(Echo(), port=port, config=config, log_format="json")


async def drive(args) -> None:
    if args.client == "raw":
        await drive_raw(args)
        return
    import envport

    url = f"http://127.0.0.1:{args.port}"
    async with envport.connect(url, token=TOKEN, batch=args.client == "batched") as env:

        class Session:
            def __init__(self, rollout: envport.Rollout) -> None:
                self.rollout = rollout

            async def call(self, text: str) -> str:
                return (await self.rollout.run_tool("echo", {"text": text})).text

            async def finish(self) -> float | None:
                return (await self.rollout.compute_reward("done")).reward

        @asynccontextmanager
        async def open_session():
            async with await env.start_rollout(messages=PROMPT) as rollout:
                yield Session(rollout)

        await load.main(open_session, args)


async def drive_raw(args) -> None:
    import aiohttp

    url = f"http://127.0.0.1:{args.port}"
    async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=2048)) as http:

        async def post(verb: str, body: dict[str, object]):
            async with http.post(f"/v1/{verb}", data=orjson.dumps(body), headers=HEADERS) as response:
                content = await response.read()
                if response.status != 200:
                    raise RuntimeError(content.decode())
                return orjson.loads(content)

        class Session:
            def __init__(self, rollout_id: str) -> None:
                self.rollout_id = rollout_id
                self.calls = 0

            async def call(self, text: str) -> str:
                self.calls += 1
                call = {"call_id": f"c{self.calls}", "tool_name": "echo", "arguments": {"text": text}}
                return (await post("run_tool", {"rollout_id": self.rollout_id, **call}))["content"][0]["text"]

            async def finish(self) -> float:
                return (await post("compute_reward", {"rollout_id": self.rollout_id, "completion": "done"}))["reward"]

        @asynccontextmanager
        async def open_session():
            rollout_id = uuid.uuid4().hex
            await post("start_rollout", {"rollout_id": rollout_id, "messages": PROMPT})
            yield Session(rollout_id)
            await post("end_rollout", {"rollout_id": rollout_id})

        await load.main(open_session, args)


if __name__ == "__main__":
    ARGS = load.arguments()
    if ARGS.role == "serve":
        serve(ARGS.port)
    else:
        asyncio.run(drive(ARGS))
