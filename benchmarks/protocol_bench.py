"""What the protocol costs: envport's server and client beside bare FastAPI and its peers, one after the other.

    python benchmarks/protocol_bench.py [--concurrency 1,32,256] [--seconds 3] [--rounds 3] [--json FILE]
        [--openenv PYTHON] [--openreward PYTHON]

An echo environment, one server process with one worker, one client process, loopback. An episode is start, four calls
and reward (and, for envport, end); a call is one of many in a long rollout. envport runs with everything on: tokens,
journal, metrics, logs. A peer takes part where the Python of a virtual environment with it is given. CPU time holds on
a busy machine, rates do not; of the rounds, the median counts.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ECHO = Path(__file__).parent / "echo"
STARTED_WITHIN_S = 60.0
DRIVEN_WITHIN_S = 300.0


@dataclass(frozen=True)
class System:
    """A server and its clients."""

    name: str
    script: Path
    python: str
    clients: tuple[str, ...] = ("",)


@contextmanager
def served(system: System) -> Iterator[tuple[int, int]]:
    """A server in a process of its own: its port and its pid."""
    port = _free_port()
    server = subprocess.Popen(
        [system.python, str(system.script), "serve", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port, server)
        yield port, server.pid
    finally:
        server.terminate()
        server.wait(30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + STARTED_WITHIN_S
    while time.monotonic() < deadline and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0 and server.poll() is None:
                return
        time.sleep(0.1)
    raise SystemExit(f"error: {server.args!r} does not listen on port {port}; run that command to see why")


def drive(
    system: System, client: str, port: int, pid: int, mode: str, concurrency: int, seconds: float
) -> dict[str, float]:
    """One measurement."""
    command = [system.python, str(system.script), "drive", "--port", str(port), "--pid", str(pid), "--mode", mode]
    more = ["--concurrency", str(concurrency), "--seconds", str(seconds), "--client", client]
    done = subprocess.run([*command, *more], capture_output=True, text=True, timeout=DRIVEN_WITHIN_S, check=False)
    if done.returncode:
        raise SystemExit(f"error: {system.name} could not be driven:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measured(systems: list[System], concurrencies: list[int], seconds: float, rounds: int) -> list[dict[str, Any]]:
    """A row for each server, client, mode and concurrency."""
    runs: dict[tuple[str, str, str, int], list[dict[str, float]]] = {}
    for turn in range(rounds):
        for system in systems:
            with served(system) as (port, pid):
                for mode in ("episodes", "calls"):
                    for concurrency in concurrencies:
                        for client in system.clients:
                            print(f"round {turn + 1}: {system.name} {client} {mode} {concurrency}", file=sys.stderr)
                            row = drive(system, client, port, pid, mode, concurrency, seconds)
                            runs.setdefault((system.name, client, mode, concurrency), []).append(row)
    return [
        {
            "server": server,
            "client": client,
            "mode": mode,
            "concurrency": concurrency,
            **{value: statistics.median(row[value] for row in rows) for value in rows[0]},
        }
        for (server, client, mode, concurrency), rows in runs.items()
    ]


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    lines = [
        "| server | client | mode | at once | per s | p50 ms | p99 ms | server CPU us | client CPU us |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: (row["mode"], row["concurrency"])):
        numbers = f"{row['p50_ms']:.2f} | {row['p99_ms']:.2f} | {row['server_cpu_us']:.0f} | {row['client_cpu_us']:.0f}"
        lines.append(
            f"| {row['server']} | {row['client'] or 'its own'} | {row['mode']} | {row['concurrency']} | "
            f"{row['per_s']:,.0f} | {numbers} |"
        )
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="envport's protocol beside bare FastAPI and its peers")
    parser.add_argument("--concurrency", default="1,32,256", help="workers at once, several by commas")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement, after one of warming up")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--openenv", metavar="PYTHON", help="of a virtual environment with openenv, uvloop, httptools")
    parser.add_argument("--openreward", metavar="PYTHON", help="of one with openreward, uvicorn, uvloop, httptools")
    parser.add_argument("--json", type=Path, help="file for the rows")
    args = parser.parse_args()
    systems = [
        System("bare FastAPI", ECHO / "bare.py", sys.executable, ("aiohttp",)),
        System("envport", ECHO / "ours.py", sys.executable, ("raw", "single", "batched")),
    ]
    if args.openenv:
        systems.append(System("OpenEnv", ECHO / "with_openenv.py", args.openenv))
    if args.openreward:
        systems.append(System("openreward", ECHO / "with_openreward.py", args.openreward))
    concurrencies = [int(number) for number in args.concurrency.split(",")]
    rows = measured(systems, concurrencies, args.seconds, args.rounds)
    print(table(rows))
    print(f"load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1), "utf-8")


if __name__ == "__main__":
    main()
