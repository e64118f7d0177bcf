"""Exactly once over a network that fails: whole rollouts through a proxy that spoils one request in five.

    python benchmarks/exactly_once_proof.py --rollouts 10000 --fault-rate 0.2 --seed 1 [--json FILE]

envport's client plays rollouts (start, four tool calls, some of them at once, reward, end; some fork, some cancel, some
use spent ids again) against a server in another process. The environment notes each side effect in a file of its own,
and what it noted is compared with what the client was answered. Exits 1 unless every side effect happened once, every
answer is that of its side effect, every spent id stayed spent and every rollout that was begun was ended.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import envport

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/faults"))

from ledger_env import Ledger, LedgerEnv
from proxy import Fault, FaultProxy
from verdict import Heard, judge

if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator, Iterable

AT_ONCE = 128
"""Rollouts under way at a time."""
PROMPT = [{"role": "user", "content": "Touch."}]


class Player:
    """Plays rollouts and notes what it heard."""

    def __init__(self, env: envport.EnvClient, heard: Heard, seed: int) -> None:
        self._env = env
        self._heard = heard
        self._seed = seed

    async def play(self, number: int) -> None:
        """One whole rollout."""
        random = Random(f"{self._seed}-{number}")
        rollout_id = f"{self._seed}-{number}"
        try:
            rollout = await self._start(rollout_id)
            await self._touch_all(rollout, random, range(2), at_once=True)
            await self._touch_all(rollout, random, range(2, 4), at_once=random.random() < 0.5)
            if random.random() < 0.1:
                await self._fail(rollout)
            await self._score(rollout)
            if random.random() < 0.1:
                await self._use_ids_again(rollout)
            await rollout.end()
            if random.random() < 0.1:
                await self._use_rollout_again(rollout)
        except envport.EnvportError as error:
            self._heard.lost_answers.append(f"{rollout_id}: {type(error).__name__}: {error}")

    async def _start(self, rollout_id: str) -> envport.Rollout:
        rollout = await self._env.start_rollout(rollout_id=rollout_id, messages=PROMPT)
        self._heard.values[rollout_id, "start"] = rollout.messages[0].content
        return rollout

    async def _touch_all(self, rollout: envport.Rollout, random: Random, numbers: Iterable[int], at_once: bool) -> None:
        calls = [self._touch(rollout, f"c{number}", random.random() < 0.1) for number in numbers]
        if at_once:
            await asyncio.gather(*calls)
        else:
            for call in calls:
                await call

    async def _touch(self, rollout: envport.Rollout, key: str, in_thread: bool) -> None:
        name = "touch_in_thread" if in_thread else "touch"
        answer = await rollout.run_tool(name, {"key": key}, call_id=key)
        self._heard.values[rollout.rollout_id, key] = answer.text

    async def _fail(self, rollout: envport.Rollout) -> None:
        self._heard.may_have_run.add((rollout.rollout_id, "failing"))
        await self._refused(rollout.run_tool("fail", {"key": "failing"}, call_id="failing"), envport.EnvFailedError)

    async def _score(self, rollout: envport.Rollout) -> None:
        answer = await rollout.compute_reward("done")
        self._heard.values[rollout.rollout_id, "reward"] = f"{answer.reward}"

    async def _use_ids_again(self, rollout: envport.Rollout) -> None:
        again = await rollout.run_tool("touch", {"key": "c9"}, call_id="c9")
        self._heard.values[rollout.rollout_id, "c9"] = again.text
        if (await rollout.run_tool("touch", {"key": "c9"}, call_id="c9")).text != again.text:
            self._heard.ids_not_spent.append(f"{rollout.rollout_id}: c9 answered otherwise")
        await self._refused(rollout.run_tool("touch", {"key": "other"}, call_id="c9"), envport.IdConflictError)
        await self._refused(rollout.compute_reward("other"), envport.IdConflictError)
        await self._refused(
            self._env.start_rollout(rollout_id=rollout.rollout_id, messages=PROMPT, seed=9), envport.IdConflictError
        )

    async def _use_rollout_again(self, rollout: envport.Rollout) -> None:
        await self._refused(self._start(rollout.rollout_id), envport.RolloutEndedError)
        await self._refused(rollout.run_tool("touch", {"key": "late"}), envport.RolloutEndedError)
        await self._refused(rollout.compute_reward("done"), envport.RolloutEndedError)
        await rollout.end()

    async def _refused(self, call: Awaitable[Any], expected: type[Exception]) -> None:
        try:
            await call
        except expected:
            return
        self._heard.ids_not_spent.append(f"expected {expected.__name__}, got an answer")


async def prove(rollouts: int, proxy: FaultProxy, seed: int) -> Heard:
    """Plays all rollouts, then lets every late request through."""
    heard = Heard()
    room = asyncio.Semaphore(AT_ONCE)
    async with proxy.running(), envport.connect(proxy.url) as env:
        player = Player(env, heard, seed)

        async def one(number: int) -> None:
            async with room:
                await player.play(number)

        await asyncio.gather(*(one(number) for number in range(rollouts)))
        await proxy.send_what_is_late()
    return heard


@contextmanager
def served(ledger: Path, broken: str | None) -> Generator[int]:
    """The port of a server in a process of its own."""
    command = [sys.executable, __file__, "--serve", str(ledger), *(["--broken", broken] if broken else [])]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        yield int(child.stdout.readline().rsplit(":", 1)[1])
    finally:
        child.terminate()
        child.wait(30)


def serve(ledger: Path, broken: str | None) -> None:
    """Serves the environment that notes its side effects; `broken` is what this server gets wrong."""
    from envport_protocol.config import ServeConfig
    from envport_protocol.hosting import rollouts
    from envport_protocol.server.serving import run_server

    logging.getLogger("envport.protocol").setLevel(logging.CRITICAL)  # the failures are made on purpose
    if broken == "forgets_calls":
        found = rollouts.RolloutStore.call

        async def call(store: Any, rollout_id: str, call_id: str, *rest: Any) -> bytes:
            rollout = store._live.get(rollout_id)
            if rollout is not None and call_id in rollout.calls and rollout.calls[call_id].outcome is not None:
                del rollout.calls[call_id]
            return await found(store, rollout_id, call_id, *rest)

        rollouts.RolloutStore.call = call  # type: ignore[method-assign]
    config = ServeConfig(name="ledger", max_tombstones=1 if broken == "forgets_rollouts" else 100_000)
    run_server(LedgerEnv(Ledger(ledger)), port=0, config=config)


def table(proxy: FaultProxy) -> str:
    """The faults by point, and what the late requests were answered."""
    lines = [f"{fault.value:52} {proxy.faults[fault]:8}" for fault in Fault]
    late = ", ".join(f"{status}: {count}" for status, count in sorted(proxy.late_statuses.items()))
    return "\n".join([*lines, f"{'requests':52} {proxy.requests:8}", f"late requests were answered {late}"])


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="exactly once, over a network that fails")
    parser.add_argument("--rollouts", type=int, default=10_000)
    parser.add_argument("--fault-rate", type=float, default=0.2, help="share of the requests that are spoilt")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="file for the counts")
    parser.add_argument(
        "--broken",
        choices=["forgets_calls", "forgets_rollouts"],
        help="break the server, to see that it would be found",
    )
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve, args.broken)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder) / "ledger")
        began = time.perf_counter()
        with served(Path(folder) / "ledger", args.broken) as port:
            proxy = FaultProxy(port, fault_rate=args.fault_rate, seed=args.seed)
            heard = asyncio.run(prove(args.rollouts, proxy, args.seed))
            entries = ledger.read()  # while the server lives: it ends what is open when it stops
        verdict = judge(entries, heard)
    print(table(proxy))
    print(f"{args.rollouts} rollouts in {time.perf_counter() - began:.0f} s, {len(heard.values)} answers compared")
    print(*(f"{name}: {count}" for name, count in verdict.counts.items()), *verdict.examples, sep="\n")
    if args.json:
        faults = {fault.name: count for fault, count in proxy.faults.items()}
        args.json.write_text(json.dumps({"faults": faults, "requests": proxy.requests, **verdict._asdict()}, indent=2))
    return 0 if verdict.holds else 1


if __name__ == "__main__":
    sys.exit(main())
