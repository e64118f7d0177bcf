"""Runs of two processes under torchrun: they learn what one learns, and end together whatever ends one of them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.distributed as dist
from envport_trainer.config import TrainConfig
from envport_trainer.errors import ConfigError, TrainerError
from envport_trainer.learning import ranks
from envport_trainer.runs.checkpoint import checkpoints
from envport_trainer.runs.following import check_several, dealt
from envport_trainer.training import train
from safetensors.torch import load_file

from .conftest import tiny_model
from .test_training import STARTS, FlatEnv, Gate, lines, settings
from .updates import small_groups, small_model, with_row
from .yes_env import YesEnv

if TYPE_CHECKING:
    from collections.abc import Callable

    from envport_trainer.types import Trajectory

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

ROOT = Path(__file__).parents[2]
LIMIT_S = 240
"""Of a run of these tests; one that hangs longer than torchrun's patience is a failure."""

Ended = tuple[int, str]
"""Exit code, and what was written to stderr."""


@pytest.fixture
def run_file(tiny_folder, tmp_path) -> Callable[..., Path]:
    """`run_file(url, steps=4)` -> a TOML file of a run whose output is `tmp_path / "run"`."""

    def write(url: str, **more: Any) -> Path:
        told = settings(url, model=tiny_folder, output=tmp_path / "run", **{"steps": 4, "lr": 1e-3} | more)
        told["output"] = str(told["output"])
        rest = [f"{key} = {json.dumps(value)}" for key, value in told.items() if key not in ("envs", "alarms")]
        alarms = ["[alarms]", *(f"{key} = {json.dumps(value)}" for key, value in told.get("alarms", {}).items())]
        path = tmp_path / "run.toml"
        path.write_text("\n".join([*rest, "[[env]]", f'url = "{url}"', *alarms]))
        return path

    return write


def started(*module: object) -> subprocess.Popen[str]:
    """Two processes of `module` with its arguments."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.Popen(
        [*torchrun, "-m", *map(str, module)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> Ended:
    try:
        _, err = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
    return process.returncode, err


def two(toml: Path, trouble: str = "none", *resume: str) -> Ended:
    return ended(started("tests.trainer.rank_run", toml, toml.parent, trouble, *resume))


def last_weights(output: Path) -> dict[str, torch.Tensor]:
    return load_file(checkpoints(output / "checkpoints")[-1] / "model.safetensors")


def apart(got: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """The largest relative difference of any tensor."""
    assert got.keys() == expected.keys()
    return max(float((got[name] - expected[name]).norm() / expected[name].norm()) for name in expected)


def of_ranks(folder: Path) -> list[dict[str, torch.Tensor]]:
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def assert_bit_equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_two_processes_learn_what_one_learns_and_go_on_from_their_checkpoint(serve_env, run_file, tmp_path):
    url = serve_env(YesEnv())
    alone = TrainConfig.from_toml(run_file(url), {"output": tmp_path / "alone"})
    train(alone)
    code, err = two(run_file(url, steps=2))
    assert code == 0, err
    code, err = two(run_file(url), "none", "resume")
    assert code == 0, err

    assert [line["sampled_tokens"] for line in lines(tmp_path / "run")] == [
        line["sampled_tokens"] for line in lines(alone.output)
    ]
    same = ("reward", "grad_norm", "trained_tokens", "advantage_abs", "loss", "mismatch_mean")
    for got, expected in zip(lines(tmp_path / "run"), lines(alone.output), strict=True):
        assert [got[name] for name in same] == pytest.approx([expected[name] for name in same], rel=1e-5, abs=1e-7)
    assert apart(last_weights(tmp_path / "run"), last_weights(alone.output)) < 1e-6
    first, second = of_ranks(tmp_path)
    assert_bit_equal(first, second)
    assert apart(first, tiny_model().state_dict()) > 1e-3, "they learned"


def test_memory_that_ends_in_one_process_halves_the_parts_of_both(serve_env, run_file, tmp_path):
    url = serve_env(YesEnv())
    alone = TrainConfig.from_toml(run_file(url, micro_batch_tokens=1024), {"output": tmp_path / "alone"})
    train(alone)
    code, err = two(run_file(url, micro_batch_tokens=1024), "memory")
    assert code == 0, err
    told = [line for line in err.splitlines() if "memory did not suffice for the update" in line]
    assert len(told) == 2
    assert all(line.startswith("step 3: ") and line.endswith("again with micro_batch_tokens = 512") for line in told)
    assert apart(last_weights(tmp_path / "run"), last_weights(alone.output)) < 1e-6
    assert_bit_equal(*of_ranks(tmp_path))


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        ("dies", "error: process 1 of this run ended; see what it wrote, then go on with --resume"),
        ("fails", "error: process 1 failed: no such thing"),
    ],
)
def test_a_process_that_ends_in_an_update_ends_the_run_with_a_checkpoint(serve_env, run_file, tmp_path, trouble, told):
    code, err = two(run_file(serve_env(YesEnv()), checkpoint_every=10), trouble)
    assert code != 0
    assert told in err
    assert [path.name for path in checkpoints(tmp_path / "run" / "checkpoints")] == ["step-000002"]


def test_a_process_that_dies_while_rollouts_are_played_ends_the_run_with_a_checkpoint(serve_env, run_file, tmp_path):
    gate = Gate(2 * STARTS + 3)
    url = serve_env(YesEnv(gate))
    process = started("tests.trainer.rank_run", run_file(url, checkpoint_every=10), tmp_path, "none")
    try:
        assert gate.reached.wait(LIMIT_S), "the run did not get to its third step"
        os.kill(int((tmp_path / "1.pid").read_text()), signal.SIGKILL)
        code, err = ended(process)
    finally:
        gate.release.set()
        process.kill()
    assert code != 0
    assert "error: process 1 of this run ended" in err
    assert [path.name for path in checkpoints(tmp_path / "run" / "checkpoints")] == ["step-000002"]


def test_ctrl_c_ends_both_processes_with_a_checkpoint(serve_env, run_file, tmp_path):
    gate = Gate(2 * STARTS + 3)
    url = serve_env(YesEnv(gate))
    process = started("envport", "train", run_file(url, checkpoint_every=10))
    try:
        assert gate.reached.wait(LIMIT_S), "the run did not get to its third step"
        process.send_signal(signal.SIGINT)
        _, err = ended(process)
    finally:
        gate.release.set()
        process.kill()
    assert err.count("loading ") == 1
    assert "ended at step 2; the same command with --resume goes on" in err
    assert "error: " not in err
    assert [path.name for path in checkpoints(tmp_path / "run" / "checkpoints")] == ["step-000002"]
    assert (tmp_path / "run" / "model" / "config.json").is_file()


def test_an_alarm_that_stops_the_run_sends_the_other_process_home(serve_env, run_file, tmp_path):
    code, err = two(run_file(serve_env(FlatEnv()), steps=9, alarms={"untrainable": "stop", "window": 4}))
    assert code == 0, err
    assert [line["step"] for line in lines(tmp_path / "run")] == [1, 2, 3, 4]
    assert "error: " not in err
    assert_bit_equal(*of_ranks(tmp_path))


def test_an_environment_that_breaks_ends_both_and_only_the_first_tells_it(serve_env, run_file, tmp_path):
    def fail(number: int) -> None:
        if number > STARTS:
            raise RuntimeError("the database is down")

    code, err = two(run_file(serve_env(YesEnv(fail)), env_retries=0))
    assert code != 0
    told = [line for line in err.splitlines() if "error: " in line]
    assert len(told) == 1
    assert "step 2: all 8 rollouts were dropped" in told[0]
    assert [path.name for path in checkpoints(tmp_path / "run" / "checkpoints")] == ["step-000001"]


@pytest.mark.parametrize("lora_rank", [{}, {"lora_rank": 2}])
def test_processes_of_other_weights_do_not_learn_together(serve_env, run_file, tmp_path, lora_rank):
    """Trained ones or, under adapters, those of the model below them."""
    code, err = two(run_file(serve_env(YesEnv()), **lora_rank), "drifts")
    assert code != 0
    assert "error: process 1 has another state of the weights than process 0; give all of them the same model" in err
    assert checkpoints(tmp_path / "run" / "checkpoints") == []


@pytest.mark.parametrize(
    ("trouble", "own", "others"),
    [
        ("cannot-load", "error: there is no such model here", "error: process 1 failed: there is no such model here"),
        ("sees-a-gpu", *["error: process 1 has another kind of device than process 0; give all of them a GPU"] * 2),
    ],
)
def test_a_process_that_cannot_begin_ends_all_by_its_own_reason(run_file, trouble, own, others):
    code, err = two(run_file("http://127.0.0.1:9", device="auto"), trouble)
    assert code != 0
    told = sorted(re.findall(r"error: [^\n]*?(?=error: |\n|$)", err))  # two processes may write on one line
    assert len(told) == 2
    assert all(line.startswith(start) for line, start in zip(told, sorted([own, others]), strict=True))


def test_a_sampler_that_does_not_start_sends_the_other_process_home(run_file):
    code, err = two(run_file("http://127.0.0.1:9", sampler="vllm-server", sampler_url="http://127.0.0.1:9"))
    assert code != 0
    (told,) = [line for line in err.splitlines() if "error: " in line]
    assert "the vLLM server at http://127.0.0.1:9" in told


def test_one_process_of_torchrun_is_no_group(monkeypatch):
    launched = {"TORCHELASTIC_RUN_ID": "one", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", "RANK": "0"}
    for name, value in {**launched, "WORLD_SIZE": "1"}.items():
        monkeypatch.setenv(name, value)
    with ranks.joined("auto"):
        assert not dist.is_initialized()


def test_a_failure_is_told_as_it_is_though_the_others_are_gone_as_well(monkeypatch):
    def gone(_: object) -> None:
        raise TrainerError("process 1 of this run ended")

    monkeypatch.setattr(ranks, "gather", gone)
    with pytest.raises(ZeroDivisionError), ranks.all_or_none():
        raise ZeroDivisionError


def long(groups: list[list[Trajectory]], *lengths: int) -> list[list[Trajectory]]:
    """As many groups of one rollout, of so many tokens."""
    first = groups[0][0]
    return [
        [with_row(first, input_ids=[3] * n, loss_mask=[True] * n, logprobs=[0.0] * n, prompt_length=1)] for n in lengths
    ]


def test_whole_groups_are_dealt_in_shares_of_about_equal_tokens():
    groups = long(small_groups(small_model()), 5, 9, 4, 7, 6)

    def tokens(shares: list[Any]) -> list[list[int]]:
        return [[len(group[0].rows[0].input_ids) for group in share] for share in shares]

    assert tokens(dealt(groups, 1)) == [[5, 9, 4, 7, 6]]
    assert tokens(dealt(groups, 2)) == [[5, 9], [4, 7, 6]]
    assert tokens(dealt(groups, 3)) == [[9], [4, 7], [5, 6]]
    assert tokens(dealt(groups[:1], 2)) == [[5], []]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"sampler": "vllm"}, r"sampler is vllm, .* 4 processes share this run; start `vllm serve`"),
        ({"prompts_per_step": 3}, r"prompts_per_step is 3, and 4 processes share .* raise it, or start fewer"),
    ],
)
def test_what_several_processes_cannot_run_is_refused(monkeypatch, tmp_path, more, told):
    config = TrainConfig.model_validate(
        settings("http://env", model=tmp_path, output=tmp_path, **{"prompts_per_step": 4} | more)
    )
    check_several(config)
    monkeypatch.setattr("envport_trainer.learning.ranks.count", lambda: 4)
    with pytest.raises(ConfigError, match=told):
        check_several(config)
