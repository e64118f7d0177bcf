"""Ten times more rollouts than a server has room for, all at once.

    python benchmarks/overload.py --rollouts 5000 --max-rollouts 500 --clients 10 [--json FILE]

Each client is told by the manifest how many rollouts the server holds, so one alone never asks for too much; several
do, are answered 503 and slow down (additive increase, multiplicative decrease). Each rollout is start, two calls of
20 ms, reward and end. Prints the clients' limits and the server's load as they go; exits 1 unless every rollout was
played to its end, none is left open, and the server never held more than it may.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import envport
import httpx
from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Generator

PROMPT = [{"role": "user", "content": "Work."}]
EVERY_S = 0.5
"""Between two samples."""


class Sample(NamedTuple):
    """The state at one moment. `limits`: the sum over the clients."""

    at_s: float
    limits: int
    open: int
    queued: int
    refused: int
    ended: int


class Crowd:
    """Clients of one server that all start at once."""

    def __init__(self, clients: list[envport.EnvClient], url: str) -> None:
        self.failures: list[str] = []
        self.ended = 0
        self.samples: list[Sample] = []
        self._clients = clients
        self._url = url

    async def play(self, rollouts: int) -> float:
        """Seconds until all were played."""
        began = time.perf_counter()
        sampling = asyncio.create_task(self._sample(began))
        await asyncio.gather(*(self._one(self._clients[n % len(self._clients)]) for n in range(rollouts)))
        took_s = time.perf_counter() - began
        sampling.cancel()
        self.samples.append(await self._seen(took_s))
        return took_s

    async def _one(self, env: envport.EnvClient) -> None:
        try:
            async with await env.start_rollout(messages=PROMPT) as rollout:
                for _ in range(2):
                    await rollout.run_tool("work", {"seconds": 0.02})
                await rollout.compute_reward("done")
            self.ended += 1
        except envport.EnvportError as error:
            self.failures.append(f"{type(error).__name__}: {error}")

    async def _sample(self, began: float) -> None:
        while True:
            self.samples.append(await self._seen(time.perf_counter() - began))
            await asyncio.sleep(EVERY_S)

    async def _seen(self, at_s: float) -> Sample:
        async with httpx.AsyncClient(timeout=60) as http:
            seen = metrics((await http.get(f"{self._url}/metrics")).text)
        return Sample(
            round(at_s, 1),
            sum(client._entered.limiter.limit for client in self._clients),
            seen["envport_rollouts_open"],
            seen["envport_rollouts_queued"],
            seen["refused"],
            self.ended,
        )


def metrics(text: str) -> dict[str, int]:
    """The gauges by name, and the starts that were answered 503 as `refused`."""
    seen: dict[str, int] = {"refused": 0}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if not sample.labels:
                seen[sample.name] = int(sample.value)
            elif sample.name == "envport_requests_total" and sample.labels["status"] == "503":
                seen["refused"] += int(sample.value)
    return seen


async def overload(url: str, rollouts: int, clients: int) -> tuple[Crowd, float]:
    """The crowd after it has played all rollouts, and the seconds that it took."""
    async with AsyncExitStack() as stack:
        connected = [await stack.enter_async_context(envport.connect(url)) for _ in range(clients)]
        crowd = Crowd(connected, url)
        return crowd, await crowd.play(rollouts)


@contextmanager
def served(max_rollouts: int) -> Generator[str]:
    """URL of a server in a process of its own."""
    command = [sys.executable, __file__, "--serve", "--max-rollouts", str(max_rollouts)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert child.stdout is not None
        yield child.stdout.readline().split()[-1]
    finally:
        child.terminate()
        child.wait(30)


def serve(max_rollouts: int) -> None:
    """Serves an environment whose calls take a while."""
    from envport_protocol import BaseEnv, reward, tool
    from envport_protocol.config import ServeConfig
    from envport_protocol.server.serving import run_server

    class Working(BaseEnv):
        @tool
        async def work(self, seconds: float) -> str:
            """Takes so long."""
            await asyncio.sleep(seconds)
            return "done"

        @reward()
        async def done(self) -> float:
            return 1.0

    run_server(Working(), port=0, config=ServeConfig(max_rollouts=max_rollouts))


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="more rollouts than a server has room for")
    parser.add_argument("--rollouts", type=int, default=5000)
    parser.add_argument("--max-rollouts", type=int, default=500, help="those that the server holds")
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--json", type=Path, help="file for the samples")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.max_rollouts)
        return 0
    with served(args.max_rollouts) as url:
        crowd, took_s = asyncio.run(overload(url, args.rollouts, args.clients))
    print("    s  limits    open  queued  refused    ended")
    for at_s, *values in crowd.samples:
        print(f"{at_s:5.1f}" + "".join(f"{value:8}" for value in values))
    last = crowd.samples[-1]
    report: dict[str, Any] = {
        "seconds": round(took_s, 1),
        "ended": crowd.ended,
        "failed": len(crowd.failures),
        "refused": last.refused,
        "most_open": max(sample.open for sample in crowd.samples),
        "left_open": last.open,
    }
    print(*(f"{name}: {value}" for name, value in report.items()), *crowd.failures[:3], sep="\n")
    if args.json:
        args.json.write_text(
            json.dumps({**report, "samples": [sample._asdict() for sample in crowd.samples]}, indent=2)
        )
    good = crowd.ended == args.rollouts and not last.open and report["most_open"] <= args.max_rollouts
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
