"""A rollout whose server is killed in the middle of a call goes on, or is begun anew, and is never scored for it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import envport
import pytest
from envport_trainer.errors import RolloutFailedError
from envport_trainer.rollouts.playing import RolloutLimits, RolloutSpec, run_rollout

from .bytewise import byte_chat, text_of
from .scripted import ScriptedSampler
from .test_rollouts import call

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from envport_trainer.types import SampleRequest, Trajectory

LIMITS = RolloutLimits(max_new_tokens=500, max_turns=6, max_tokens=4000, temperature=1.0, env_retries=0)

SERVER = '''
import os
import signal
import sys
from pathlib import Path

from envport_protocol import BaseEnv, EnvTask, tool
from envport_protocol.config import ServeConfig
from envport_protocol.server.serving import run_server

folder, port, deterministic = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "True"


class CountEnv(BaseEnv):
    """The reward is what was counted. Dies in a call as often as the file `deaths` has characters."""

    def __init__(self):
        self.deterministic = deterministic
        self.counts = {}

    def tasks(self, split):
        return [EnvTask("one", prompt="Count to three.")]

    def start_rollout(self, rollout_id):
        self.counts[rollout_id] = 0

    @tool
    def count(self, rollout_id: str) -> str:
        """Counts one further."""
        with (folder / "counted").open("a") as log:
            log.write(rollout_id + "\\n")
        left = (folder / "deaths").read_text()
        if left and self.counts[rollout_id] == 1:
            (folder / "deaths").write_text(left[1:])
            os.kill(os.getpid(), signal.SIGKILL)
        self.counts[rollout_id] += 1
        return str(self.counts[rollout_id])

    def compute_reward(self, rollout_id):
        return {"counted": float(self.counts[rollout_id])}


run_server(CountEnv(), port=port, config=ServeConfig(name="count", journal=folder / "journal"))
'''


def started(folder: Path, port: int, deterministic: bool) -> tuple[subprocess.Popen[str], str]:
    args = [sys.executable, "-c", SERVER, str(folder), str(port), str(deterministic)]
    process = subprocess.Popen(args, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip().rpartition(" ")[2]


@asynccontextmanager
async def served_again_after_each_death(folder: Path, deaths: int, *, deterministic: bool) -> AsyncIterator[str]:
    """The URL of a server that dies so often in a second count, and comes back each time."""
    (folder / "deaths").write_text("x" * deaths)
    process, url = started(folder, 0, deterministic)

    async def keep() -> None:
        nonlocal process
        while True:
            await asyncio.to_thread(process.wait)
            process.communicate()
            process, _ = await asyncio.to_thread(started, folder, int(url.rpartition(":")[2]), deterministic)

    keeping = asyncio.create_task(keep())
    try:
        yield url
    finally:
        keeping.cancel()
        process.kill()
        process.communicate()


def counter() -> ScriptedSampler:
    """Counts until it reads a three, then says so."""

    def say(_: int, request: SampleRequest) -> str:
        seen = text_of(byte_chat(), list(request.prompt_ids))
        return "Three." if "<tool_response>\n3\n" in seen else call("count")

    return ScriptedSampler(byte_chat(), say)


async def run(url: str, sampler: ScriptedSampler) -> Trajectory:
    async with envport.connect(url) as env:
        return await run_rollout(env, sampler, sampler.chat, RolloutSpec("train", 0, seed=1, env_seed=2), LIMITS)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envport_trainer.rollouts.attempts._RETRY_EVERY_S", 0.0)


async def test_a_rollout_that_can_be_rebuilt_goes_on_where_it_was(tmp_path):
    async with served_again_after_each_death(tmp_path, deaths=2, deterministic=True) as url:
        sampler = counter()
        got = await run(url, sampler)
    assert (got.reward, got.rewards, got.tool_calls, got.tool_errors) == (3.0, {"counted": 3.0}, 3, 0)
    assert len(sampler.requests) == 4  # nothing was sampled twice
    assert set((tmp_path / "counted").read_text().split()) == {got.rollout_id}


async def test_a_rollout_that_was_lost_is_begun_anew_and_not_scored(tmp_path):
    async with served_again_after_each_death(tmp_path, deaths=2, deterministic=False) as url:
        sampler = counter()
        got = await run(url, sampler)
    assert (got.reward, got.rewards, got.tool_calls, got.tool_errors) == (3.0, {"counted": 3.0}, 3, 0)
    counted = (tmp_path / "counted").read_text().split()
    assert len(set(counted)) == 3
    assert counted.count(got.rollout_id) == 3
    assert len(sampler.requests) == 2 + 2 + 4


async def test_a_rollout_that_is_lost_each_time_is_dropped(tmp_path):
    async with served_again_after_each_death(tmp_path, deaths=100, deterministic=False) as url:
        with pytest.raises(RolloutFailedError, match=r"lost the rollout 4 times: .* is not\s+deterministic"):
            await run(url, counter())
