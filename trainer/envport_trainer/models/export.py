"""From a checkpoint of a run to a model folder that others load. The run is read and never written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from envport_trainer.errors import CheckpointError, ModelError
from envport_trainer.learning.adapters import add_adapters
from envport_trainer.models.card import card_of_run
from envport_trainer.models.folder import save_adapter, save_model
from envport_trainer.models.loading import LoadedModel, load_policy
from envport_trainer.runs.checkpoint import checkpoints
from envport_trainer.runs.resuming import CHECKPOINTS, identity
from envport_trainer.runs.weights import take_over

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

_TEMPLATE = "chat_template_sha256"


class _Saved(NamedTuple):
    """What a checkpoint holds of the model."""

    step: int
    weights: dict[str, Tensor]
    config: dict[str, Any]
    """`TrainConfig.resume_values()`."""
    template: str | None
    """SHA-256 of the run's chat template."""


def export_run(
    run: Path,
    folder: Path,
    *,
    step: int | None = None,
    adapter: bool = False,
    dtype: torch.dtype = torch.bfloat16,
    base: str | None = None,
    chat_template: Path | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> int:
    """Write the model of `run` after `step` updates, by default after its last ones, to `folder`; the step is returned.

    A run with adapters gives the whole model, with them added, or with `adapter` those alone. `base` is where the model
    that the run began with is now, and `chat_template` the file that it was given, where they were moved since. `tell`
    hears of each part of the work.

    Raises:
        CheckpointError: there is no such checkpoint, it cannot be read, or does not fit the model.
        ModelError: the base model cannot be loaded, the run has no adapters, or the folder cannot be written.
        MetricsError: the run's metrics are not what a run writes.
    """
    checkpoint = _find(run, step)
    card = card_of_run(run, int(checkpoint.name.removeprefix("step-")))
    tell(f"reading {checkpoint}")
    saved = _read(checkpoint)
    rank: int | None = saved.config.get("lora_rank")
    if adapter and rank is None:
        raise ModelError(f"{run} was trained without adapters (no lora_rank); leave out --adapter for the whole model")
    base = base or str(saved.config["model"])
    tell(f"loading {base}")
    template = chat_template or _path(card.facts.config.get("chat_template"))
    loaded = load_policy(base, chat_template=template)
    _check_template(loaded, saved)
    model: nn.Module = loaded.model
    if rank is not None:
        model = add_adapters(loaded.model, rank, float(saved.config["lora_alpha"]))
    _fill(model, saved, base, checkpoint)
    tell(f"writing {folder}")
    if adapter:
        place = str(Path(base).expanduser().resolve()) if Path(base).expanduser().exists() else base
        save_adapter(model, loaded.tokenizer, folder, base=place, card=card, dtype=dtype)
    else:
        save_model(model, loaded.tokenizer, folder, card=card, dtype=dtype)
    return saved.step


def _find(run: Path, step: int | None) -> Path:
    found = checkpoints(run / CHECKPOINTS)
    if not found:
        raise CheckpointError(f"{run} has no checkpoint in {CHECKPOINTS}/; give the output folder of a run")
    if step is None:
        return found[-1]
    steps = [int(path.name.removeprefix("step-")) for path in found]
    if step not in steps:
        there = ", ".join(map(str, steps))
        raise CheckpointError(
            f"{run} has no checkpoint of step {step}, only of {there}; keep more of them with --set keep_checkpoints=N"
        )
    return found[steps.index(step)]


def _read(checkpoint: Path) -> _Saved:
    """The weights without the optimizer's state, which is twice as large."""
    try:
        values: dict[str, Any] = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
        weights = load_file(checkpoint / "model.safetensors")
        ties: dict[str, str] = values["ties"]
        weights.update({name: weights[first] for name, first in ties.items()})
        return _Saved(values["step"], weights, dict(values["config"]), values["extra"].get(_TEMPLATE))
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"cannot read the checkpoint {checkpoint}: {reason}; it was changed, or its run has just replaced it by a "
            "later one: run the same command again, or choose another --step"
        ) from error


def _check_template(loaded: LoadedModel, saved: _Saved) -> None:
    if saved.template not in (None, identity(loaded, [])[_TEMPLATE]):
        raise ModelError(
            "the run was made with another chat template than the model has; give the file that it had: "
            "--chat-template FILE"
        )


def _fill(model: nn.Module, saved: _Saved, base: str, checkpoint: Path) -> None:
    try:
        take_over(model, saved.weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"{checkpoint} does not fit {base}: {reason}; name the model that the run began with by --base"
        ) from error


def _path(value: object) -> Path | None:
    return Path(value) if isinstance(value, str) else None
