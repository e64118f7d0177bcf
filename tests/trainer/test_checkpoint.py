"""A checkpoint is whole or not there, and gives back exactly what was saved."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import torch
from envport_trainer.errors import CheckpointError
from envport_trainer.runs.checkpoint import TrainState, checkpoints, load_latest, save_checkpoint
from torch import nn

from .conftest import tiny_model

if TYPE_CHECKING:
    from pathlib import Path


def state(step: int, value: float = 1.0) -> TrainState:
    return TrainState(step=step, model={"w": torch.full((4,), value)}, optimizer={})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_everything_comes_back_as_it_was(tmp_path):
    model = tiny_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model(torch.tensor([[1, 2, 3]])).logits.sum().backward()
    optimizer.step()
    saved = TrainState(
        step=10,
        model=model.state_dict(),
        optimizer=optimizer.state_dict(),
        tasks={"stream": {"taken": [80]}, "pipeline": {"pending": [], "number": 0}},
        config={"seed": 3, "envs": [{"weight": 1.0}]},
        extra={"note": "ä"},
    )
    assert save_checkpoint(tmp_path, saved) == tmp_path / "step-000010"
    loaded = load_latest(tmp_path)
    assert loaded is not None
    assert loaded.model.keys() == saved.model.keys()
    assert all(torch.equal(loaded.model[name], tensor) for name, tensor in saved.model.items())
    assert loaded.model["lm_head.weight"] is loaded.model["model.embed_tokens.weight"]
    plain = (loaded.step, loaded.tasks, loaded.config, loaded.extra)
    assert plain == (saved.step, saved.tasks, saved.config, saved.extra)
    assert_same_next_step(model, optimizer, loaded)


def assert_same_next_step(model: nn.Module, optimizer: torch.optim.Optimizer, loaded: TrainState) -> None:
    other = tiny_model()
    other.load_state_dict(loaded.model)
    resumed = torch.optim.AdamW(other.parameters(), lr=1e-3)
    resumed.load_state_dict(loaded.optimizer)
    for network, stepper in ((model, optimizer), (other, resumed)):
        stepper.zero_grad()
        network(torch.tensor([[4, 5]])).logits.square().sum().backward()
        stepper.step()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_only_the_last_ones_are_kept(tmp_path):
    for step in (1, 2, 30, 4):
        save_checkpoint(tmp_path, state(step), keep=2)
    assert names(tmp_path) == ["step-000004", "step-000030"]
    latest = load_latest(tmp_path)
    assert latest is not None
    assert latest.step == 30


def test_there_is_none_in_a_folder_without_any(tmp_path):
    assert load_latest(tmp_path) is None
    assert load_latest(tmp_path / "missing") is None


def test_half_written_ones_are_ignored_and_removed(tmp_path):
    save_checkpoint(tmp_path, state(1))
    half = tmp_path / ".step-000002.abc"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    latest = load_latest(tmp_path)
    assert latest is not None
    assert latest.step == 1
    assert names(tmp_path) == ["step-000001"]


KILLED_WHILE_SAVING = """
import sys, time
from pathlib import Path
import torch
from envport_trainer.runs import checkpoint as checkpoint
folder, at = Path(sys.argv[1]), int(sys.argv[2])
def state(step):
    return checkpoint.TrainState(step=step, model={"w": torch.full((1000,), float(step))}, optimizer={"s": step})
checkpoint.save_checkpoint(folder, state(1), keep=1)
count = 0
real = checkpoint._sync
def sync(path):
    global count
    count += 1
    if count == at:
        print("in the middle", flush=True)
        time.sleep(60)
    real(path)
checkpoint._sync = sync
checkpoint.save_checkpoint(folder, state(2), keep=1)
"""


@pytest.mark.parametrize(("at", "step"), [(2, 1), (4, 1), (5, 2)])
def test_a_run_killed_in_the_middle_of_saving_leaves_a_whole_checkpoint(tmp_path, at, step):
    """Three files, then their folder, are brought to the disk before the rename, and the parent after it."""
    command = [sys.executable, "-c", KILLED_WHILE_SAVING, str(tmp_path), str(at)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in the middle\n"
        process.send_signal(signal.SIGKILL)
        assert process.wait(timeout=30) == -signal.SIGKILL
    latest = load_latest(tmp_path)
    assert latest is not None
    assert (latest.step, latest.model["w"].tolist(), latest.optimizer) == (step, [float(step)] * 1000, {"s": step})
    assert not [name for name in names(tmp_path) if name.startswith(".")]


def test_a_full_disk_is_told_and_leaves_the_earlier_checkpoint(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, state(1))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("envport_trainer.runs.checkpoint._sync", full)
    with pytest.raises(CheckpointError, match=r"step-000002: .*No space left on device; the earlier ones are whole"):
        save_checkpoint(tmp_path, state(2))
    assert names(tmp_path) == ["step-000001"]


def test_a_value_that_has_no_json_is_told_and_leaves_the_earlier_checkpoint(tmp_path):
    save_checkpoint(tmp_path, state(1))
    odd = state(2)
    odd.extra = {"reward": float("nan")}
    with pytest.raises(CheckpointError, match=r"cannot write the checkpoint .*step-000002: .*not JSON compliant"):
        save_checkpoint(tmp_path, odd)
    assert names(tmp_path) == ["step-000001"]


def test_too_little_space_is_told_before_anything_is_written(tmp_path, monkeypatch):
    class Usage:
        free = 2**20

    monkeypatch.setattr("envport_trainer.runs.checkpoint.shutil.disk_usage", lambda _: Usage)
    with pytest.raises(CheckpointError, match="it needs 16 MiB, and 1 MiB are free"):
        save_checkpoint(tmp_path, state(1))
    assert names(tmp_path) == []


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.pt", "state.json"])
def test_a_checkpoint_that_was_changed_is_told(tmp_path, file):
    folder = save_checkpoint(tmp_path, state(1))
    (folder / file).write_bytes(b"{}")
    with pytest.raises(CheckpointError, match=r"cannot read the checkpoint .*step-000001: .*Remove the folder"):
        load_latest(tmp_path)


def test_loading_runs_no_code_from_the_file(tmp_path):
    folder = save_checkpoint(tmp_path, state(1))
    torch.save({"optimizer": Canary(str(tmp_path / "ran"))}, folder / "optimizer.pt")
    with pytest.raises(CheckpointError):
        load_latest(tmp_path)
    assert not (tmp_path / "ran").exists()


class Canary:
    """Unpickling it would make a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_the_same_step_is_written_once(tmp_path):
    save_checkpoint(tmp_path, state(1, value=1.0))
    save_checkpoint(tmp_path, state(1, value=2.0))
    latest = load_latest(tmp_path)
    assert latest is not None
    assert latest.model["w"].tolist() == [1.0] * 4


def test_no_checkpoint_is_listed_for_a_stray_name(tmp_path):
    for name in ("step-1", "step-000001.tmp", "other"):
        (tmp_path / name).mkdir()
    assert checkpoints(tmp_path) == []


@pytest.mark.parametrize(("values", "number"), [({"tasks_taken": {"0:train": 8}}, 1), ({"format": 3}, 3)])
def test_a_checkpoint_of_another_format_is_refused_by_name(tmp_path, values, number):
    (tmp_path / "step-000001").mkdir()
    (tmp_path / "step-000001" / "state.json").write_text(json.dumps({"step": 1} | values))
    with pytest.raises(CheckpointError, match=rf"has checkpoint format {number}, and this envport reads 2; go on with"):
        load_latest(tmp_path)
