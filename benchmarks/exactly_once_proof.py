"""Exactly once over a network that fails: whole rollouts through a proxy that spoils one request in five.

    python benchmarks/exactly_once_proof.py --rollouts 10000 --fault-rate 0.2 --seed 1 [--workers 2] [--json FILE]

envport's client, half of it with batches and half without, plays groups of rollouts (start, four tool calls, some of
them at once, reward, end; some fork, some cancel, some are scored as a group, some use spent ids again) against a
server in another process. The environment notes each side effect in a file of its own, and what it noted is compared
with what the client was answered. Exits 1 unless every side effect happened once, every answer is that of its side
effect, every spent id stayed spent, every cancelled call stopped, and every rollout that was begun was ended.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import envport
from envport_protocol.errors import CallCancelledError

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/faults"))

from ledger_env import Ledger, LedgerEnv
from proxy import Fault, FaultProxy
from verdict import Heard, judge

if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator

FAULTS = Path(__file__).parents[1] / "tests/faults"
GROUP = 4
"""Rollouts of a group."""
AT_ONCE = 32
"""Groups under way at a time."""
PROMPT = [{"role": "user", "content": "Touch."}]
PROJECT = """
name = "ledger"
namespace = "proofs"
version = "1.0.0"
summary = "Notes its side effects"
licence = "Apache-2.0"
entry_point = "ledger_env:LedgerEnv"
"""


class Player:
    """Plays groups of rollouts and notes what it heard."""

    def __init__(self, env: envport.EnvClient, heard: Heard) -> None:
        self._env = env
        self._heard = heard

    async def play(self, random: Random) -> None:
        """One group."""
        try:
            rollouts = await self._env.start_group(GROUP, messages=PROMPT)
            for rollout in rollouts:
                self._hear_start(rollout)
            await asyncio.gather(*(self._turns(rollout, Random(random.random())) for rollout in rollouts))
            await self._score(rollouts, as_group=random.random() < 0.3)
            if random.random() < 0.3:
                await self._use_ids_again(rollouts[0])
            await asyncio.gather(*(rollout.end() for rollout in rollouts))
            if random.random() < 0.3:
                await self._use_rollout_again(rollouts[0])
        except envport.EnvportError as error:
            self._heard.lost_answers.append(f"{type(error).__name__}: {error}")

    async def _turns(self, rollout: envport.Rollout, random: Random) -> None:
        await asyncio.gather(*(self._touch(rollout, f"c{number}") for number in range(2)))
        for number in range(2, 4):
            await self._touch(rollout, f"c{number}")
        if random.random() < 0.1:
            await self._fail(rollout)
        if random.random() < 0.1:
            await self._cancel(rollout)
        if random.random() < 0.1:
            await self._fork(rollout)

    def _hear_start(self, rollout: envport.Rollout) -> None:
        self._heard.values[rollout.rollout_id, "start"] = rollout.messages[0].content

    async def _touch(self, rollout: envport.Rollout, key: str) -> None:
        name = "touch_in_thread" if key == "c3" else "touch"
        answer = await rollout.run_tool(name, {"key": key}, call_id=key)
        self._heard.values[rollout.rollout_id, key] = answer.text

    async def _fail(self, rollout: envport.Rollout) -> None:
        self._heard.may_have_run.add((rollout.rollout_id, "failing"))
        await self._refused(rollout.run_tool("fail", {"key": "failing"}, call_id="failing"), envport.EnvFailedError)

    async def _cancel(self, rollout: envport.Rollout) -> None:
        self._heard.may_have_run |= {(rollout.rollout_id, what) for what in ("hang", "hang-stopped")}
        hanging = asyncio.create_task(rollout.run_tool("hang", {"key": "hang"}, call_id="hang"))
        await asyncio.sleep(0)
        if not await rollout.cancel("hang"):
            self._heard.ids_not_spent.append(f"{rollout.rollout_id}: a call that hangs had finished")
        await self._refused(hanging, CallCancelledError)

    async def _fork(self, rollout: envport.Rollout) -> None:
        fork = await rollout.fork()
        self._hear_start(fork)
        self._heard.values[fork.rollout_id, "state"] = rollout.rollout_id
        await self._touch(fork, "f0")
        await self._says_the_same(fork, "c2", self._heard.values[rollout.rollout_id, "c2"])
        await self._score([fork], as_group=False)
        await fork.end()

    async def _score(self, rollouts: list[envport.Rollout], *, as_group: bool) -> None:
        if as_group:
            answers = await self._env.compute_group_reward([(rollout, "done") for rollout in rollouts])
        else:
            answers = await asyncio.gather(*(rollout.compute_reward("done") for rollout in rollouts))
        for rollout, answer in zip(rollouts, answers, strict=True):
            self._heard.values[rollout.rollout_id, "reward"] = f"{answer.reward}"

    async def _use_ids_again(self, rollout: envport.Rollout) -> None:
        await self._says_the_same(rollout, "c0", self._heard.values[rollout.rollout_id, "c0"])
        await self._refused(rollout.run_tool("touch", {"key": "other"}, call_id="c0"), envport.IdConflictError)
        again = self._env.start_rollout(rollout_id=rollout.rollout_id, messages=PROMPT, seed=9)
        await self._refused(again, envport.IdConflictError)

    async def _says_the_same(self, rollout: envport.Rollout, key: str, value: str) -> None:
        if (await rollout.run_tool("touch", {"key": key}, call_id=key)).text != value:
            self._heard.ids_not_spent.append(f"{rollout.rollout_id}: {key} was answered otherwise")

    async def _use_rollout_again(self, rollout: envport.Rollout) -> None:
        again = self._env.start_rollout(rollout_id=rollout.rollout_id, messages=PROMPT)
        await self._refused(again, envport.RolloutEndedError)
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
    async with (
        proxy.running(),
        envport.connect(proxy.url) as in_batches,
        envport.connect(proxy.url, batch=False) as singly,
    ):
        players = [Player(in_batches, heard), Player(singly, heard)]

        async def one(number: int) -> None:
            async with room:
                await players[number % 2].play(Random(f"{seed}-{number}"))

        await asyncio.gather(*(one(number) for number in range(rollouts // GROUP)))
        await proxy.send_what_is_late()
    return heard


@contextmanager
def served(ledger: Path, workers: int, broken: str | None) -> Generator[int]:
    """The port of a server in processes of its own."""
    command = [sys.executable, __file__, "--serve", str(ledger), "--workers", str(workers)]
    command += ["--broken", broken] if broken else []
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert child.stdout is not None
        yield int(child.stdout.readline().rsplit(":", 1)[1])
    finally:
        child.terminate()
        child.wait(30)


def serve(ledger: Path, workers: int, broken: str | None) -> None:
    """Serves the environment that notes its side effects; `broken` is what this server gets wrong."""
    from envport_protocol.config import ServeConfig
    from envport_protocol.server.serving import run_server
    from envport_protocol.server.workers import run_workers

    if workers > 1:
        (ledger.parent / "envport.toml").write_text(PROJECT)
        (ledger.parent / "ledger_env.py").write_bytes((FAULTS / "ledger_env.py").read_bytes())
        run_workers(ledger.parent, port=0, workers=workers, options={"ledger": str(ledger)})
        return
    if broken == "forgets_calls":
        _forget_calls()
    config = ServeConfig(name="ledger")
    if broken:  # what hangs a second time is not cancelled a second time
        config = ServeConfig(call_timeout_s=1.0, max_tombstones=1 if broken == "forgets_rollouts" else 1000)
    run_server(LedgerEnv(str(ledger)), port=0, config=config)


def _forget_calls() -> None:
    from envport_protocol.hosting.rollouts import RolloutStore

    run = RolloutStore.run

    async def forgetful(store: Any, rollout_id: str, job: Any, *others: Any) -> bytes:
        rollout = store._live.get(rollout_id)
        if rollout is not None and job.key in rollout.calls and rollout.calls[job.key].outcome is not None:
            del rollout.calls[job.key]
        return await run(store, rollout_id, job, *others)

    RolloutStore.run = forgetful  # type: ignore[method-assign]


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
    parser.add_argument("--workers", type=int, default=1, help="processes of the server")
    parser.add_argument("--json", type=Path, help="file for the counts")
    parser.add_argument(
        "--broken",
        choices=["forgets_calls", "forgets_rollouts"],
        help="break the server, to see that it would be found",
    )
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.broken and args.workers > 1:
        parser.error("--broken breaks the server of one worker; leave out --workers")
    if args.serve:
        serve(args.serve, args.workers, args.broken)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder) / "ledger")
        began = time.perf_counter()
        with served(Path(folder) / "ledger", args.workers, args.broken) as port:
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
