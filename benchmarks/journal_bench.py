"""What the journal takes on disk, and how long a rollout takes to be rebuilt from it.

    python benchmarks/journal_bench.py [--rollouts 500]

Each rollout has one message and four calls with short answers; the environment's own work is nothing. Without HTTP.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from envport_protocol import BaseEnv, reward, tool
from envport_protocol.config import ServeConfig
from envport_protocol.hosting.host import Host
from envport_protocol.messages import RunToolRequest, StartRolloutRequest

CALLS = 4


class Echo(BaseEnv):
    """Says it again."""

    deterministic = True

    @tool
    async def echo(self, text: str) -> str:
        """Says it again."""
        return text

    @reward
    async def said(self, completion: str) -> float:
        """Always 1."""
        return 1.0


async def opened(folder: Path) -> Host:
    """A host with its journal in this folder."""
    host = Host(Echo(), ServeConfig(name="echo", journal=folder))
    await host.prepare()
    return host


async def call(host: Host, rollout: int, number: int) -> None:
    """One short call."""
    fields = {"rollout_id": f"r{rollout}", "call_id": f"c{number}", "tool_name": "echo"}
    await host.run_tool(RunToolRequest.model_validate({**fields, "arguments": {"text": f"hello-{number}"}}))


async def measure(rollouts: int, folder: Path) -> None:
    """Prints bytes and milliseconds."""
    host = await opened(folder)
    empty = host.counts().journal_bytes
    for rollout in range(rollouts):
        messages = [{"role": "user", "content": "Say it again."}]
        await host.start_rollout(
            StartRolloutRequest.model_validate({"rollout_id": f"r{rollout}", "messages": messages})
        )
    begun = host.counts().journal_bytes
    for rollout in range(rollouts):
        for number in range(CALLS):
            await call(host, rollout, number)
    played = host.counts().journal_bytes
    await host.close()
    again = await opened(folder)
    from_s = time.perf_counter()
    for rollout in range(rollouts):
        await call(again, rollout, CALLS)
    took_s = time.perf_counter() - from_s
    await again.close()
    print(f"{(begun - empty) / rollouts:.0f} bytes for a start")
    print(f"{(played - begun) / rollouts / CALLS:.0f} bytes for a call")
    print(f"{1e3 * took_s / rollouts:.2f} ms to rebuild a rollout of {CALLS} calls and run one more")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="what the journal takes")
    parser.add_argument("--rollouts", type=int, default=500)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(parser.parse_args().rollouts, Path(folder)))


if __name__ == "__main__":
    main()
