"""The load of `protocol_bench.py`: closed loops of workers against one server. Knows nothing of envport.

It runs under each peer's own Python, so it needs nothing but the standard library. A system under test is a script with
`serve` and `drive`; the latter ends in `main(open_session)`, where `open_session()` is an async context manager of a
session with `call(text)` and `finish()`.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

CALLS_PER_EPISODE = 4
WARM_UP_S = 1.0
MAX_FILES = 65_535


def cpu_seconds(pid: int) -> float:
    """What a process and its children have used so far."""
    total = 0.0
    for process in [pid, *_children(pid)]:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def episodes(open_session: Any, worker: int, until: float) -> list[tuple[float, float]]:
    """(end, seconds) of each episode of one worker: a session, four calls, and its reward."""
    ended = []
    while (begun := time.perf_counter()) < until:
        async with open_session() as session:
            for number in range(CALLS_PER_EPISODE):
                await _checked_call(session, f"hello-{worker}-{number}")
            if await session.finish() is None:
                raise RuntimeError("no reward came")
        ended.append((time.perf_counter(), time.perf_counter() - begun))
    return ended


async def calls(open_session: Any, worker: int, until: float) -> list[tuple[float, float]]:
    """(end, seconds) of each call of one worker, all in one session."""
    ended = []
    async with open_session() as session:
        for number in itertools.count():
            if (begun := time.perf_counter()) >= until:
                return ended
            await _checked_call(session, f"hello-{worker}-{number}")
            ended.append((time.perf_counter(), time.perf_counter() - begun))
    return ended


async def _checked_call(session: Any, text: str) -> None:
    said = await session.call(text)
    if said != text:
        raise RuntimeError(f"sent {text!r}, got {said!r}")


async def measure(
    mode: Callable[..., Awaitable[Any]], open_session: Any, concurrency: int, seconds: float, pid: int
) -> dict[str, float]:
    """Rate, p50 and p99 in ms, CPU of server and client in microseconds for each."""
    server_s, client_s = cpu_seconds(pid), time.process_time()
    from_s = time.perf_counter() + WARM_UP_S
    workers = (mode(open_session, worker, from_s + seconds) for worker in range(concurrency))
    every = [one for ended in await asyncio.gather(*workers) for one in ended]
    server_s, client_s = cpu_seconds(pid) - server_s, time.process_time() - client_s
    counted = sorted(took for end, took in every if end >= from_s)
    p50, p99 = (1e3 * counted[int(q * (len(counted) - 1))] for q in (0.5, 0.99))
    return {
        "per_s": len(counted) / seconds,
        "p50_ms": p50,
        "p99_ms": p99,
        "server_cpu_us": 1e6 * server_s / len(every),
        "client_cpu_us": 1e6 * client_s / len(every),
    }


def main(open_session: Any, args: argparse.Namespace) -> Any:
    """A coroutine that measures and prints one JSON line."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(MAX_FILES, hard), hard))

    async def run() -> None:
        mode = {"episodes": episodes, "calls": calls}[args.mode]
        row = await measure(mode, open_session, args.concurrency, args.seconds, args.pid)
        print(json.dumps(row), flush=True)

    return run()


def arguments() -> argparse.Namespace:
    """The command line of a system under test."""
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["serve", "drive"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pid", type=int, help="of the server, whose CPU time is read")
    parser.add_argument("--mode", choices=["episodes", "calls"])
    parser.add_argument("--concurrency", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--client", default="", help="which of several clients")
    return parser.parse_args()
