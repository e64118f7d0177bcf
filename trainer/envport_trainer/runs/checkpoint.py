"""Checkpoints: everything a run needs to go on as if it had never stopped.

One folder each, `step-000010`: `model.safetensors` (fp32 weights), `optimizer.pt` (tensors, read without running code)
and `state.json`. A folder is written under another name, brought to the disk, and renamed: a name like `step-000010`
always holds a whole checkpoint. Names that begin with a dot are leftovers of a killed run, and are removed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from envport_trainer.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Mapping

_FOLDER = re.compile(r"step-(\d{6,})")
_SPARE_BYTES = 2**24
_FORMAT = 2
"""Of `state.json`; another one is refused by name."""
_UNREADABLE = (OSError, RuntimeError, SafetensorError, UnpicklingError, EOFError, ValueError, KeyError, TypeError)


@dataclass(slots=True)
class TrainState:
    """A run after `step` weight updates."""

    step: int
    """Weight updates done."""
    model: dict[str, Tensor]
    """The model's `state_dict()`; fp32. Tied weights are stored once and come back tied."""
    optimizer: dict[str, Any]
    """The optimizer's `state_dict()`: tensors, numbers, strings, lists and dictionaries."""
    tasks: dict[str, Any] = field(default_factory=dict[str, Any])
    """Where the run stands in its tasks, JSON values: the state of the stream, and groups to begin anew."""
    config: dict[str, Any] = field(default_factory=dict[str, Any])
    """`TrainConfig.resume_values()` of the run, to compare on resume."""
    extra: dict[str, Any] = field(default_factory=dict[str, Any])
    """Anything else, JSON values."""


def save_checkpoint(folder: Path, state: TrainState, *, keep: int = 2) -> Path:
    """Write `state` under `folder`, remove all but the last `keep` checkpoints, and give the new one's path.

    Killed at any moment, it leaves the earlier checkpoints whole. A step that is there already is not written again.

    Raises:
        CheckpointError: no space, or the folder cannot be written. The earlier checkpoints are still there.
    """
    final = folder / f"step-{state.step:06d}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(folder)
        if final.exists():  # one step of one run has one state
            return final
        _check_space(folder, state)
        temporary = Path(tempfile.mkdtemp(prefix=f".{final.name}.", dir=folder))
        try:
            _write(temporary, state)
            temporary.rename(final)
            _sync(folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        for old in checkpoints(folder)[:-keep]:
            shutil.rmtree(old.rename(_replaced(old)))
    except (OSError, RuntimeError, SafetensorError, ValueError) as error:
        # torch and safetensors wrap a full disk in errors of their own, and a NaN in `extra` has no JSON.
        raise CheckpointError(
            f"cannot write the checkpoint {final}: {_first_line(error)}; the earlier ones are whole. "
            "Check the space and the rights, then resume"
        ) from error
    return final


def load_latest(folder: Path) -> TrainState | None:
    """The last checkpoint under `folder`, tensors on the CPU; None where there is none.

    Raises:
        CheckpointError: it cannot be read.
    """
    if not folder.is_dir():
        return None
    _remove_leftovers(folder)
    found = checkpoints(folder)
    if not found:
        return None
    try:
        return _read(found[-1])
    except _UNREADABLE as error:
        # torch's text on a pickle that it refuses advises to run it all the same.
        reason = "it holds more than tensors" if isinstance(error, UnpicklingError) else _first_line(error)
        raise CheckpointError(
            f"cannot read the checkpoint {found[-1]}: {reason}; it was changed after it was written. Remove the folder "
            "to go on from the one before"
        ) from error


def checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints under `folder`, earliest first."""
    if not folder.is_dir():
        return []
    found = [(int(match[1]), path) for path in folder.iterdir() if (match := _FOLDER.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def _write(folder: Path, state: TrainState) -> None:
    weights, ties = _untied(state.model)
    save_file(weights, folder / "model.safetensors")
    torch.save({"optimizer": state.optimizer}, folder / "optimizer.pt")
    values = {
        "step": state.step,
        "format": _FORMAT,
        "tasks": state.tasks,
        "config": state.config,
        "extra": state.extra,
        "ties": ties,
    }
    (folder / "state.json").write_text(json.dumps(values, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    for file in folder.iterdir():
        _sync(file)
    _sync(folder)


def _read(folder: Path) -> TrainState:
    values: dict[str, Any] = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    written = 1 if "tasks_taken" in values else values["format"]
    if written != _FORMAT:
        raise CheckpointError(
            f"{folder} has checkpoint format {written}, and this envport reads {_FORMAT}; go on with "
            "the envport that wrote it, or begin a new run from its model with another --output"
        )
    tensors: dict[str, Any] = torch.load(folder / "optimizer.pt", weights_only=True, map_location="cpu")
    model = load_file(folder / "model.safetensors")
    ties: dict[str, str] = values["ties"]
    model.update({name: model[first] for name, first in ties.items()})
    return TrainState(
        step=values["step"],
        model=model,
        optimizer=tensors["optimizer"],
        tasks=values["tasks"],
        config=values["config"],
        extra=values["extra"],
    )


def _untied(model: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Each distinct tensor under its first name, and the first name of each later one."""
    first: dict[tuple[int, torch.Size, tuple[int, ...]], str] = {}
    weights: dict[str, Tensor] = {}
    ties: dict[str, str] = {}
    for name, tensor in model.items():
        place = tensor.data_ptr(), tensor.shape, tensor.stride()
        if tensor.numel() and place in first:
            ties[name] = first[place]
        else:
            first[place] = name
            weights[name] = tensor.detach().contiguous()
    return weights, ties


def _check_space(folder: Path, state: TrainState) -> None:
    """Raise OSError before anything is written where the disk cannot hold it."""
    weights, _ = _untied(state.model)
    needed = _SPARE_BYTES + sum(tensor.nbytes for tensor in weights.values()) + _tensor_bytes(state.optimizer)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(f"it needs {needed / 2**20:.0f} MiB, and {free / 2**20:.0f} MiB are free")


def _tensor_bytes(value: object) -> int:
    if isinstance(value, Tensor):
        return value.nbytes
    if isinstance(value, dict):
        return sum(_tensor_bytes(item) for item in value.values())
    return sum(_tensor_bytes(item) for item in value) if isinstance(value, list | tuple) else 0


def _sync(path: Path) -> None:
    """Bring a file or a folder's names to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _replaced(final: Path) -> Path:
    """The name of a checkpoint on its way out."""
    return final.with_name(f".out-{final.name}")


def _remove_leftovers(folder: Path) -> None:
    for path in folder.glob(".step-*"):
        shutil.rmtree(path, ignore_errors=True)
    for path in folder.glob(".out-step-*"):
        shutil.rmtree(path, ignore_errors=True)
