"""What the protocol costs: envport's server and client beside a bare FastAPI route driven by aiohttp.

    python benchmarks/protocol_bench.py --concurrency 1,32 --seconds 3 [--json FILE]

An echo environment, one server process with one worker, one client process, loopback. An episode is start, four tool
calls, reward and end; the bare server does the same with three routes and a dict, without checks, deadlines, stored
answers or typed messages. `raw` drives envport's server by plain aiohttp, so that server and client can be told apart.
CPU is that of each process for the whole phase: it holds on a busy machine, where rates do not.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import subprocess
import sys
import time
import uuid
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp
import envport
import orjson
import psutil

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

CALLS_PER_EPISODE = 4
WARM_UP_S = 0.5
PROMPT = [{"role": "user", "content": "Say it again."}]


class Session(Protocol):
    """One rollout, however it is driven."""

    async def call(self, text: str) -> str: ...
    async def finish(self) -> float | None: ...


@dataclass
class Row:
    """One measurement."""

    server: str
    client: str
    mode: str
    concurrency: int
    per_s: float
    p50_ms: float
    p99_ms: float
    server_cpu_us: float
    client_cpu_us: float


# The servers


def serve_envport(port: int) -> None:
    """The echo environment behind envport's own server."""
    from envport_protocol import BaseEnv, reward, tool
    from envport_protocol.config import ServeConfig
    from envport_protocol.server.serving import run_server

    class Echo(BaseEnv):
        @tool
        async def echo(self, text: str) -> str:
            """Says it again."""
            return text

        @reward()
        async def said(self, completion: str) -> float:
            return 1.0

    run_server(Echo(), port=port, config=ServeConfig(name="echo", max_calls_per_rollout=10_000_000))


def serve_bare(port: int) -> None:
    """Three routes on FastAPI that do the least that the same work needs."""
    import uvicorn
    from fastapi import FastAPI, Request, Response

    app = FastAPI(openapi_url=None)
    calls: dict[str, int] = {}
    ids = itertools.count()

    def answer(value: dict[str, Any]) -> Response:
        return Response(orjson.dumps(value), media_type="application/json")

    async def start(_: Request) -> Response:
        session = str(next(ids))
        calls[session] = 0
        return answer({"session": session})

    async def call(request: Request) -> Response:
        body = orjson.loads(await request.body())
        calls[body["session"]] += 1
        return answer({"text": body["text"]})

    async def finish(request: Request) -> Response:
        calls.pop(orjson.loads(await request.body())["session"])
        return answer({"reward": 1.0})

    for path, route in {"/start": start, "/call": call, "/finish": finish}.items():
        app.add_route(path, route, methods=["POST"])
    uvicorn.run(app, port=port, http="httptools", log_level="warning", access_log=False)


SERVERS = {"envport": serve_envport, "bare": serve_bare}


@asynccontextmanager
async def running(kind: str, port: int) -> AsyncGenerator[tuple[str, psutil.Process]]:
    """A server in a process of its own: its URL and the process."""
    child = _start(kind, port)
    try:
        await _listening(port)
        yield f"http://127.0.0.1:{port}", psutil.Process(child.pid)
    finally:
        child.terminate()
        child.wait(20)


def _start(kind: str, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, __file__, "--serve", kind, "--port", str(port)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


async def _listening(port: int) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                await asyncio.sleep(0.1)
            else:
                writer.close()
                return


# The clients


@dataclass
class EnvportSession:
    """By envport's client."""

    rollout: envport.Rollout

    async def call(self, text: str) -> str:
        return (await self.rollout.run_tool("echo", {"text": text})).text

    async def finish(self) -> float | None:
        reward = (await self.rollout.compute_reward("done")).reward
        await self.rollout.end()
        return reward


@dataclass
class RawSession:
    """By plain aiohttp, in envport's messages."""

    post: Callable[[str, dict[str, Any]], Awaitable[Any]]
    rollout_id: str
    calls: int = 0

    async def call(self, text: str) -> str:
        self.calls += 1
        body = {"call_id": f"c{self.calls}", "tool_name": "echo", "arguments": {"text": text}}
        return (await self.post("/v1/run_tool", {"rollout_id": self.rollout_id, **body}))["content"][0]["text"]

    async def finish(self) -> float | None:
        body = {"rollout_id": self.rollout_id}
        reward = (await self.post("/v1/compute_reward", {**body, "completion": "done"}))["reward"]
        await self.post("/v1/end_rollout", body)
        return reward


@dataclass
class BareSession:
    """By plain aiohttp, on the bare routes."""

    post: Callable[[str, dict[str, Any]], Awaitable[Any]]
    session: str

    async def call(self, text: str) -> str:
        return (await self.post("/call", {"session": self.session, "text": text}))["text"]

    async def finish(self) -> float | None:
        return (await self.post("/finish", {"session": self.session}))["reward"]


@asynccontextmanager
async def opener(client: str, url: str) -> AsyncGenerator[Any]:
    """A function that opens a session."""
    if client == "envport":
        async with envport.connect(url) as env:

            async def open_envport() -> Session:
                return EnvportSession(await env.start_rollout(messages=PROMPT))

            yield open_envport
        return
    async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=1024)) as http:

        async def post(path: str, body: dict[str, Any]) -> Any:
            async with http.post(path, data=orjson.dumps(body), headers={"content-type": "application/json"}) as answer:
                content = await answer.read()
                if answer.status != 200:
                    raise RuntimeError(content.decode(errors="replace"))
                return orjson.loads(content)

        async def open_raw() -> Session:
            rollout_id = uuid.uuid4().hex
            await post("/v1/start_rollout", {"rollout_id": rollout_id, "messages": PROMPT})
            return RawSession(post, rollout_id)

        async def open_bare() -> Session:
            return BareSession(post, (await post("/start", {}))["session"])

        yield open_raw if client == "raw" else open_bare


# The load


async def episodes(open_session: Any, worker: int, until: float) -> list[tuple[float, float]]:
    """(end, seconds) of each episode of one worker."""
    ended = []
    while (begun := time.perf_counter()) < until:
        session = await open_session()
        for number in range(CALLS_PER_EPISODE):
            await _checked_call(session, f"{worker}-{number}")
        if await session.finish() != 1.0:
            raise RuntimeError("the echo environment gave another reward than 1.0")
        ended.append((time.perf_counter(), time.perf_counter() - begun))
    return ended


async def calls(open_session: Any, worker: int, until: float) -> list[tuple[float, float]]:
    """(end, seconds) of each tool call of one worker, all in one rollout."""
    ended = []
    session = await open_session()
    for number in itertools.count():
        if (begun := time.perf_counter()) >= until:
            break
        await _checked_call(session, f"{worker}-{number}")
        ended.append((time.perf_counter(), time.perf_counter() - begun))
    await session.finish()
    return ended


async def _checked_call(session: Session, text: str) -> None:
    said = await session.call(text)
    if said != text:
        raise RuntimeError(f"sent {text!r}, got {said!r}")


async def measure(
    mode: Any, open_session: Any, concurrency: int, seconds: float, server: psutil.Process
) -> list[float]:
    """Rate, p50 and p99 in ms, CPU of server and client in microseconds for each."""
    cpu_before = sum(server.cpu_times()[:2]), time.process_time()
    from_s = time.perf_counter() + WARM_UP_S
    workers = (mode(open_session, worker, from_s + seconds) for worker in range(concurrency))
    every = [one for ended in await asyncio.gather(*workers) for one in ended]
    cpu_s = sum(server.cpu_times()[:2]) - cpu_before[0], time.process_time() - cpu_before[1]
    counted = sorted(took for end, took in every if end >= from_s)
    p50, p99 = (1e3 * counted[int(q * (len(counted) - 1))] for q in (0.5, 0.99))
    return [len(counted) / seconds, p50, p99, *(1e6 * s / len(every) for s in cpu_s)]


async def bench(concurrencies: list[int], seconds: float, port: int) -> list[Row]:
    """All rows, printed as they come."""
    rows: list[Row] = []
    print("server   client   mode       C     per s   p50 ms   p99 ms  server us  client us  (CPU for each)")
    async with running("bare", port) as bare, running("envport", port + 1) as ours:
        for concurrency, mode in itertools.product(concurrencies, (episodes, calls)):
            for (url, process), server, client in (
                (bare, "bare", "aiohttp"), (ours, "envport", "raw"), (ours, "envport", "envport"),
            ):  # fmt: skip
                async with opener(client, url) as open_session:
                    values = await measure(mode, open_session, concurrency, seconds, process)
                row = Row(server, client, mode.__name__, concurrency, *(round(value, 3) for value in values))
                rows.append(row)
                print(
                    f"{row.server:8} {row.client:8} {row.mode:8} {row.concurrency:3} {row.per_s:9.0f} {row.p50_ms:8.2f}"
                    f" {row.p99_ms:8.2f} {row.server_cpu_us:10.0f} {row.client_cpu_us:10.0f}",
                    flush=True,
                )
    return rows


def ratios(rows: list[Row]) -> dict[str, float]:
    """envport's rate over the bare one, by mode and concurrency."""
    rate = {(row.client, row.mode, row.concurrency): row.per_s for row in rows}
    return {
        f"{mode} at {concurrency}": round(value / rate["aiohttp", mode, concurrency], 3)
        for (client, mode, concurrency), value in rate.items()
        if client == "envport"
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="envport's protocol beside a bare FastAPI route")
    parser.add_argument("--concurrency", default="1,32", help="calls under way at once, several by commas")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--port", type=int, default=18650, help="this one and the next are used")
    parser.add_argument("--json", type=Path, help="file for the rows")
    parser.add_argument("--serve", choices=sorted(SERVERS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        SERVERS[args.serve](args.port)
        return
    rows = asyncio.run(bench([int(c) for c in args.concurrency.split(",")], args.seconds, args.port))
    print("envport's rate over the bare one:", ratios(rows), f"(load {os.getloadavg()[0]:.1f})")
    if args.json:
        args.json.write_text(json.dumps([asdict(row) for row in rows], indent=2))


if __name__ == "__main__":
    main()
