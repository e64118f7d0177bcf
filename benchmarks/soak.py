"""A server under hundreds of thousands of rollouts: its memory, files, threads and tasks stay flat.

    python benchmarks/soak.py --rollouts 200000 --hold 5000 [--json FILE]

Each rollout is start, two calls, reward and end, in groups of 16 through envport's client, against a server process
with journal, metrics and tokens. Of 50 rollouts one is abandoned and expires, one has a tool that breaks, one a hanging
call that is cancelled, one a hanging call whose client goes away, one is forked. Then, in a fresh server, `--hold`
rollouts with four calls each are held open at once. Exits 1 when, after the first quarter, the server's memory grows by
more than 64 bytes a rollout or its Python objects by more than one in 50 rollouts, when anything else is left over, or
when a held rollout takes more than 20 KiB.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import linear_regression
from typing import TYPE_CHECKING, Any

import envport
import httpx
import orjson

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterator

ROOT = Path(__file__).parents[1]
TOKEN = "soak-" + 32 * "t"
PROMPT = [{"role": "user", "content": "Note something down, and say when you are done. " * 4}]
GROUP = 16
AT_ONCE = 8
"""Groups under way at a time."""
IDLE_S = 1.0
CONFIG: dict[str, Any] = {
    "idle_timeout_s": IDLE_S,
    "orphan_grace_s": 0.5,
    "max_tombstones": 1000,
    "max_rollouts": 10_000,
    "max_threads": 16,
    "tokens": {"trainer": TOKEN},
}
MOST_BYTES_A_ROLLOUT = 64.0
MOST_OBJECTS_A_ROLLOUT = 0.02
MOST_KIB_HELD = 20.0

Vitals = dict[str, float]


class Soak:
    """One server under load, and how it fares."""

    def __init__(self, env: envport.EnvClient) -> None:
        self._env = env

    async def play(self, rollouts: int, samples: int) -> list[Vitals]:
        """Plays so many; how the server fared in between, when nothing was under way."""
        taken: list[Vitals] = []
        groups = rollouts // GROUP
        for sample in range(samples):
            numbers = iter(range(groups * sample // samples, groups * (sample + 1) // samples))
            await _all(self._groups(numbers) for _ in range(AT_ONCE))
            taken.append({"rollouts": groups * (sample + 1) // samples * GROUP, **await self._at_rest()})
        return taken

    async def _at_rest(self) -> Vitals:
        for _ in range(24):  # until the abandoned ones have expired
            vitals = await self._vitals()
            if not vitals["rollouts_open"] and not vitals["calls_running"]:
                break
            await asyncio.sleep(IDLE_S / 4)
        return vitals

    async def _groups(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            await self._group(number)

    async def hold(self, rollouts: int) -> float:
        """KiB of memory for each of so many rollouts with four calls, held open at once."""
        await self._groups(iter(range(1, 40)))
        before = await self._vitals()
        held: list[envport.Rollout] = []
        for _ in range(rollouts // GROUP):
            held += await self._env.start_group(GROUP, messages=PROMPT)
            for turn in range(4):
                await _all(rollout.run_tool("note", {"text": f"turn {turn}"}) for rollout in held[-GROUP:])
        after = await self._vitals()
        await _all(rollout.end() for rollout in held)
        return (after["rss_kib"] - before["rss_kib"]) / len(held)

    async def _vitals(self) -> Vitals:
        """What the server's process holds."""
        gauges = await _gauges(self._env.url)  # first: what is open may end in between
        async with await self._env.start_rollout(messages=PROMPT) as rollout:
            return gauges | orjson.loads((await rollout.run_tool("vitals")).text)

    async def _group(self, number: int) -> None:
        rollouts = await self._env.start_group(GROUP, messages=PROMPT)
        for turn in range(2):
            await _all(rollout.run_tool("note", {"text": f"{turn}"}) for rollout in rollouts)
        numbered = list(enumerate(rollouts, number * GROUP))
        await _all(self._mishap(rollout, n % 50) for n, rollout in numbered)
        await _all(rollout.compute_reward("done") for rollout in rollouts)
        await _all(rollout.end() for n, rollout in numbered if n % 50)

    async def _mishap(self, rollout: envport.Rollout, kind: int) -> None:
        match kind:
            case 1:
                with suppress(envport.EnvFailedError):
                    await rollout.run_tool("fail")
            case 2:
                hanging = asyncio.create_task(rollout.run_tool("hang", call_id="hang"))
                await rollout.cancel("hang")
                await asyncio.wait([hanging])
                hanging.exception()
            case 3:
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await rollout.run_tool("hang", call_id="hang")
            case 4:
                await (await rollout.fork()).end()
            case _:
                pass


async def _all(calls: Any) -> list[Any]:
    return await asyncio.gather(*calls)


async def _gauges(url: str) -> Vitals:
    async with httpx.AsyncClient(timeout=60) as http:
        lines = (await http.get(f"{url}/metrics")).text.splitlines()
    wanted = {"envport_rollouts_open", "envport_calls_running", "envport_journal_bytes"}
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name.removeprefix("envport_"): float(value) for name, value in pairs if name in wanted}


def breaches(samples: list[Vitals], slack: float) -> tuple[dict[str, float], list[str]]:
    """The growth for each rollout after the first quarter, and what there is too much of."""
    settled = samples[len(samples) // 4 :]
    played = [sample["rollouts"] for sample in settled]
    slopes = {
        name: linear_regression(played, [sample[name] for sample in settled]).slope for name in ("rss_kib", "objects")
    }
    growth = {
        "bytes_a_rollout": round(slopes["rss_kib"] * 1024, 2),
        "objects_a_rollout": round(slopes["objects"], 4),
    }
    most = {name: max(sample[name] for sample in settled) for name in settled[0]}
    too_much = {
        "memory grows": growth["bytes_a_rollout"] > MOST_BYTES_A_ROLLOUT * slack,
        "objects grow": growth["objects_a_rollout"] > MOST_OBJECTS_A_ROLLOUT * slack,
        "threads are over their limit": most["threads"] > CONFIG["max_threads"] + 4,
        "files are left open": most["fds"] > 64,
        "tasks are left": most["tasks"] > 24,
        "rollouts are left": most["rollouts_open"] > 0 or most["notes"] > 1,
        "calls are left": most["calls_running"] > 0,
        "the journal is not emptied": most["journal_bytes"] > 2**24,
    }
    return growth, [what for what, is_so in too_much.items() if is_so]


@contextmanager
def served(broken: bool = False, **settings: Any) -> Generator[str]:
    """URL of a server in a process of its own, with a journal of its own."""
    with tempfile.TemporaryDirectory() as folder:
        config = json.dumps({**CONFIG, "journal": f"{folder}/journal", **settings})
        command = [sys.executable, str(ROOT / "tests/faults/soak_env.py"), config, *(["broken"] if broken else [])]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert child.stdout is not None
            yield child.stdout.readline().split()[-1]
        finally:
            child.terminate()
            child.wait(30)


async def _with_client(url: str, use: Callable[[Soak], Awaitable[Any]]) -> Any:
    async with envport.connect(url, token=TOKEN) as env:
        return await use(Soak(env))


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="a server under very many rollouts")
    parser.add_argument("--rollouts", type=int, default=200_000)
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--hold", type=int, default=5000, help="rollouts to hold open at once; 0: none")
    parser.add_argument("--slack", type=float, default=1.0, help="times what may grow: a short run needs more")
    parser.add_argument("--broken", action="store_true", help="an environment that frees nothing, to be found")
    parser.add_argument("--json", type=Path, help="file for the samples")
    args = parser.parse_args()
    began = time.perf_counter()
    with served(args.broken) as url:
        samples: list[Vitals] = asyncio.run(_with_client(url, lambda soak: soak.play(args.rollouts, args.samples)))
    took_s = time.perf_counter() - began
    growth, found = breaches(samples, args.slack)
    for sample in samples:
        print("  ".join(f"{name} {value:.0f}" for name, value in sample.items()))
    held_kib = 0.0
    if args.hold:
        with served(idle_timeout_s=600.0) as url:
            held_kib = asyncio.run(_with_client(url, lambda soak: soak.hold(args.hold)))
        found += ["a held rollout takes too much"] if held_kib > MOST_KIB_HELD else []
    report = {"rollouts": args.rollouts, "seconds": round(took_s, 1), **growth, "kib_held": round(held_kib, 2)}
    print(*(f"{name}: {value}" for name, value in report.items()), *found, sep="\n")
    if args.json:
        args.json.write_text(json.dumps({**report, "found": found, "samples": samples}, indent=2))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
