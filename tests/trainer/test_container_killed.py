"""A run whose environment's container is killed in the middle of a step goes on once the container is back."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import docker
import pytest
from envport_registry import runner
from envport_registry.errors import RegistryError
from envport_registry.runner.docker import connect_engine
from envport_trainer.training import train

from .conftest import tiny_model, tiny_tokenizer
from .test_training import STARTS, config, lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envport_registry.runner import Running

pytestmark = [
    pytest.mark.docker,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]

PROJECT = """
name = "slow-yes"
namespace = "tests"
version = "1.0.0"
summary = "Words that say yes, scored at leisure"
licence = "Apache-2.0"
entry_point = "slow_yes:SlowYesEnv"
"""
MODULE = """
import asyncio

from yes_env import YesEnv


class SlowYesEnv(YesEnv):
    async def compute_reward(self, completion):
        await asyncio.sleep(0.5)
        return {"yes": self.yes(completion)}
"""


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Running]:
    """Rewards take half a second, so that a kill right after a step hits the next one."""
    try:
        connect_engine().close()
    except RegistryError as error:
        pytest.skip(str(error))
    folder = tmp_path / "slow-yes"
    folder.mkdir()
    (folder / "envport.toml").write_text(PROJECT)
    (folder / "slow_yes.py").write_text(MODULE)
    shutil.copy(Path(__file__).with_name("yes_env.py"), folder)
    base = os.environ.get("ENVPORT_BASE_IMAGE", runner.DEFAULT_BASE_IMAGE)
    running = runner.run(folder, home=tmp_path / "home", runtime="docker", base_image=base)
    yield running
    runner.stop(running.run_id, home=tmp_path / "home")


def kill_and_start(running: Running, metrics: Path, when: dict[str, int]) -> None:
    """Kill the container once a step is logged, and start it again three seconds later, as a person would."""
    deadline = time.monotonic() + 300
    while not (metrics.exists() and metrics.read_text().count("\n")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.3)
    engine = docker.from_env(timeout=60)
    (found,) = engine.containers.list(filters={"label": f"envport.run_id={running.run_id}"})
    found.kill()
    when["steps_before"] = metrics.read_text().count("\n")
    time.sleep(3)
    when["steps_while_away"] = metrics.read_text().count("\n") - when["steps_before"]
    found.start()
    engine.close()


def test_a_run_goes_on_when_its_container_is_back_and_no_rollout_is_scored_for_its_death(
    container: Running, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    tiny_model().save_pretrained(model)
    tiny_tokenizer().save_pretrained(model)
    train(config(container.url, model=model, output=tmp_path / "undisturbed", steps=4))

    output, when = tmp_path / "disturbed", dict[str, int]()
    killer = threading.Thread(target=kill_and_start, args=(container, output / "metrics.jsonl", when))
    killer.start()
    result = train(config(container.url, model=model, output=output, steps=4, env_retries=0))
    killer.join(60)

    assert when == {"steps_before": 1, "steps_while_away": 0}
    assert result.step == 4
    got = lines(output)
    assert [line["rollouts_dropped"] for line in got] == [0.0] * 4
    assert [line["sampled_tokens"] / line["completion_tokens"] for line in got] == [STARTS] * 4
    # The same tasks, seeds and text as if nothing had happened, so the same rewards: none is a death's 0.
    assert lines(tmp_path / "undisturbed") == got
    assert min(line["reward"] for line in got) >= 0.5
