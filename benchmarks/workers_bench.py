"""What several workers give, and what it costs when a call comes by another worker than the one of its rollout.

    python benchmarks/workers_bench.py [--workers 1,2,4] [--seconds 5] [--rounds 3] [--json FILE]

First throughput: calls of a tool that burns 2 ms of CPU in Python, from 32 connections, by the number of workers. It
grows with the cores that are free; CPU a call tells what one free core would do. Then forwarding: two workers, calls of
a tool that does nothing, from 8 connections that one worker has, for rollouts of that worker (own) and of the other one
(forwarded). Server CPU is that of the supervisor and all workers. Of the rounds, the median counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil
from envport_protocol.server.routing import owner

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Sequence

BURN_MS = 2.0
BURNING_CONNECTIONS = 32
FORWARDING_CONNECTIONS = 8
WARM_UP_S = 1.0
ENV = """
from envport_protocol import BaseEnv, tool

class Bench(BaseEnv):
    @tool
    async def burn(self, turns: int) -> str:
        "Counts."
        count = 0
        for _ in range(turns):
            count += 1
        return str(count)

    @tool
    async def nothing(self) -> str:
        "Does nothing."
        return ""
"""


class Measured(NamedTuple):
    """One closed loop over some connections."""

    per_s: float
    p50_ms: float
    p99_ms: float
    server_cpu_us: float
    """A call."""
    cores: float
    """That the server had on the average."""


class Connection:
    """One keep-alive connection, spare with its own CPU."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def post(self, verb: str, **body: Any) -> bytes:
        """The body of the answer, which must be a 200."""
        content = json.dumps(body).encode()
        head = f"POST /v1/{verb} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        return await self._ask(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)

    async def get(self, path: str) -> bytes:
        """The same of a GET."""
        return await self._ask(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())

    async def _ask(self, request: bytes) -> bytes:
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        found = re.search(rb"content-length: (\d+)", head)
        body = await self._reader.readexactly(int(found[1]) if found else 0)
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"asked {request[:80]!r}, got {head[:20]!r} {body[:300]!r}")
        return body

    async def close(self) -> None:
        """Ends it."""
        self._writer.close()
        await self._writer.wait_closed()


@contextmanager
def served(workers: int) -> Generator[tuple[int, int]]:
    """Port and pid of a server with so many workers."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "envport.toml").write_text('name = "bench"\nversion = "1.0"\nentry_point = "bench_env:Bench"\n')
        Path(folder, "bench_env.py").write_text(ENV)
        command = [sys.executable, __file__, "--serve", folder, "--workers", str(workers)]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            yield int(server.stdout.readline().rpartition(":")[2]), server.pid
        finally:
            server.terminate()
            server.wait(60)


@asynccontextmanager
async def connected(port: int, count: int) -> AsyncGenerator[list[Connection]]:
    """So many connections, dealt to the workers in turn."""
    connections = [Connection(*await asyncio.open_connection("127.0.0.1", port)) for _ in range(count)]
    try:
        yield connections
    finally:
        for connection in connections:
            await connection.close()


async def loop_calls(
    connections: Sequence[Connection], rollout_ids: Sequence[str], pid: int, seconds: float, tool: dict[str, Any]
) -> Measured:
    """Each connection calls for its own rollout, one call after the other."""
    for connection, rollout_id in zip(connections, rollout_ids, strict=True):
        await connection.post("start_rollout", rollout_id=rollout_id, messages=[{"role": "user", "content": "?"}])
    cpu_s, begun = cpu_seconds(pid), time.perf_counter()
    until = begun + WARM_UP_S + seconds

    async def calls(connection: Connection, rollout_id: str) -> list[tuple[float, float]]:
        ended = []
        while (at := time.perf_counter()) < until:
            await connection.post("run_tool", rollout_id=rollout_id, call_id=f"c{len(ended)}", **tool)
            ended.append((time.perf_counter(), time.perf_counter() - at))
        return ended

    loops = (calls(connection, rollout_id) for connection, rollout_id in zip(connections, rollout_ids, strict=True))
    every = [one for ended in await asyncio.gather(*loops) for one in ended]
    cpu_s = cpu_seconds(pid) - cpu_s
    elapsed = time.perf_counter() - begun
    for connection, rollout_id in zip(connections, rollout_ids, strict=True):
        await connection.post("end_rollout", rollout_id=rollout_id)
    took = sorted(seconds for end, seconds in every if end >= begun + WARM_UP_S)
    p50, p99 = (1e3 * took[int(q * (len(took) - 1))] for q in (0.5, 0.99))
    return Measured(len(took) / seconds, p50, p99, 1e6 * cpu_s / len(every), cpu_s / elapsed)


async def burning(port: int, pid: int, workers: int, seconds: float, turns: int) -> Measured:
    """Throughput of the tool that burns; each worker has as many of the rollouts."""
    ids = [held_by(number % workers, workers, f"burn{number}") for number in range(BURNING_CONNECTIONS)]
    async with connected(port, BURNING_CONNECTIONS) as connections:
        return await loop_calls(connections, ids, pid, seconds, {"tool_name": "burn", "arguments": {"turns": turns}})


async def forwarding(port: int, pid: int, seconds: float) -> dict[str, Measured]:
    """The empty tool, own and forwarded, from connections of one of two workers."""
    async with connected(port, 2 * FORWARDING_CONNECTIONS) as connections:
        of_one = connections[::2]
        number = await _worker_of(of_one[0])
        rows = {}
        for name, holder in (("own", number), ("forwarded", 1 - number)):
            ids = [held_by(holder, 2, f"{name}{one}") for one in range(FORWARDING_CONNECTIONS)]
            rows[name] = await loop_calls(of_one, ids, pid, seconds, {"tool_name": "nothing"})
        return rows


async def _worker_of(connection: Connection) -> int:
    await connection.post("list_tools")
    exposition = (await connection.get("/metrics")).decode()
    (number,) = re.findall(r'envport_requests_total{status="200",verb="list_tools",worker="(\d)"}', exposition)
    return int(number)


def held_by(number: int, workers: int, prefix: str) -> str:
    """An id of a rollout that worker `number` holds."""
    return next(one for one in (f"{prefix}-{turn}" for turn in range(10_000)) if owner(one, workers) == number)


def cpu_seconds(pid: int) -> float:
    """What a supervisor and its workers have used so far."""
    supervisor = psutil.Process(pid)
    times = [process.cpu_times() for process in (supervisor, *supervisor.children())]
    return sum(one.user + one.system for one in times)


def turns_of(milliseconds: float) -> int:
    """How far the tool counts in that CPU time, by its own loop."""
    turns, begun = 1_000_000, time.process_time()
    count = 0
    for _ in range(turns):
        count += 1  # noqa: SIM113 - this is what the tool does
    return round(turns * milliseconds / 1e3 / (time.process_time() - begun))


def measured(workers: list[int], seconds: float, rounds: int) -> dict[str, dict[str, float]]:
    """The median row of each measurement, by its name."""
    runs: dict[str, list[Measured]] = {}
    turns = turns_of(BURN_MS)
    for turn in range(rounds):
        print(f"round {turn + 1}, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
        for count in workers:
            with served(count) as (port, pid):
                row = asyncio.run(burning(port, pid, count, seconds, turns))
                runs.setdefault(f"burn, {count} workers", []).append(row)
        with served(2) as (port, pid):
            for name, row in asyncio.run(forwarding(port, pid, seconds)).items():
                runs.setdefault(f"empty, {name}", []).append(row)
    return {
        name: {field: statistics.median(getattr(row, field) for row in rows) for field in Measured._fields}
        for name, rows in runs.items()
    }


def table(rows: dict[str, dict[str, float]]) -> str:
    """The rows in Markdown, below machine and date."""
    lines = [
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}, load "
        f"{os.getloadavg()[0]:.1f}",
        "",
        "| tool | calls/s | p50 ms | p99 ms | server CPU us a call | cores it had |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        lines.append(
            f"| {name} | {row['per_s']:,.0f} | {row['p50_ms']:.2f} | {row['p99_ms']:.2f} | {row['server_cpu_us']:,.0f} "
            f"| {row['cores']:.2f} |"
        )
    return "\n".join(lines)


def serve(folder: str, workers: int) -> None:
    """Serves until it is told to stop."""
    from envport_protocol.project import load_project
    from envport_protocol.server.workers import run_workers

    config = load_project(folder).serve_config(max_calls_per_rollout=10_000_000)
    run_workers(folder, port=0, workers=workers, config=config)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="several workers: throughput, and the cost of forwarding")
    parser.add_argument("--workers", help="how many, several by commas; by default 1, 2, 4 and so on to the cores")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement, after one of warming up")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="file for the rows")
    parser.add_argument("--serve", metavar="FOLDER", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve, int(args.workers))
        return
    most = max(2, os.cpu_count() or 1)
    counts = [int(one) for one in args.workers.split(",")] if args.workers else [2**n for n in range(most.bit_length())]
    rows = measured(counts, args.seconds, args.rounds)
    print(table(rows))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1), "utf-8")


if __name__ == "__main__":
    main()
