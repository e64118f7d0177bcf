"""The least that the work needs: three FastAPI routes and a dict, driven by aiohttp."""

from __future__ import annotations

import asyncio
import sys
import uuid
from contextlib import asynccontextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import load
import orjson
import uvicorn
from fastapi import FastAPI, Request, Response

JSON = {"content-type": "application/json"}


def serve(port: int) -> None:
    app = FastAPI(openapi_url=None)
    sessions: dict[str, int] = {}

    def answer(value: dict[str, object]) -> Response:
        return Response(orjson.dumps(value), media_type="application/json")

    @app.post("/start")
    async def start(_: Request) -> Response:
        session = uuid.uuid4().hex
        sessions[session] = 0
        return answer({"session": session})

    @app.post("/call")
    async def call(request: Request) -> Response:
        body = orjson.loads(await request.body())
        sessions[body["session"]] += 1
        return answer({"text": body["text"]})

    @app.post("/finish")
    async def finish(request: Request) -> Response:
        del sessions[orjson.loads(await request.body())["session"]]
        return answer({"reward": 1.0})

    uvicorn.run(app, port=port, http="httptools", log_level="warning", access_log=False)


async def drive(args) -> None:
    import aiohttp

    url = f"http://127.0.0.1:{args.port}"
    async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=2048)) as http:

        async def post(path: str, body: dict[str, object]):
            async with http.post(path, data=orjson.dumps(body), headers=JSON) as response:
                return orjson.loads(await response.read())

        class Session:
            def __init__(self, session: str) -> None:
                self.session = session

            async def call(self, text: str) -> str:
                return (await post("/call", {"session": self.session, "text": text}))["text"]

            async def finish(self) -> float:
                return (await post("/finish", {"session": self.session}))["reward"]

        @asynccontextmanager
        async def open_session():
            yield Session((await post("/start", {}))["session"])

        await load.main(open_session, args)


if __name__ == "__main__":
    ARGS = load.arguments()
    if ARGS.role == "serve":
        serve(ARGS.port)
    else:
        asyncio.run(drive(ARGS))
