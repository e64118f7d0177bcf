"""Whether a run may go on from a checkpoint: same settings, chat template and environments, and weights that fit."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from envport_trainer.errors import CheckpointError
from envport_trainer.runs.checkpoint import TrainState, load_latest
from envport_trainer.runs.weights import take_over

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from envport_protocol.messages import Manifest

    from envport_trainer.config import TrainConfig
    from envport_trainer.learning.learner import Learner
    from envport_trainer.models.folder import LoadedModel

CHECKPOINTS = "checkpoints"
_TEMPLATE, _ENVS = "chat_template_sha256", "envs"


def earlier_state(config: TrainConfig, *, resume: bool) -> TrainState | None:
    """The checkpoint to go on from; None for a new run.

    Raises:
        CheckpointError: the folder holds a run and `resume` was not asked for, holds none and it was, or holds a run
            with other settings.
    """
    folder = config.output / CHECKPOINTS
    state = load_latest(folder)
    if state is None:
        if resume:
            raise CheckpointError(f"{folder} holds no checkpoint to go on from; check --output, or leave out --resume")
        return None
    if not resume:
        raise CheckpointError(
            f"{config.output} already holds a run (at step {state.step}); go on with it by --resume, or choose another "
            "--output"
        )
    changed = config.differences(state.config)
    if changed:
        raise _belongs_elsewhere(folder, "other settings: " + "; ".join(changed))
    return state


def identity(loaded: LoadedModel, manifests: Sequence[Manifest]) -> dict[str, Any]:
    """What a run is tied to beyond its settings, as JSON values for `TrainState.extra`."""
    envs = [{"name": manifest.name, "digest": manifest.digest} for manifest in manifests]
    return {_TEMPLATE: _template_hash(loaded), _ENVS: envs}


def restore(state: TrainState, loaded: LoadedModel, learner: Learner, folder: Path) -> None:
    """Give model and optimizer the checkpoint's tensors.

    Raises:
        CheckpointError: the model is not the one that was trained, or has another chat template.
    """
    if state.extra.get(_TEMPLATE, _template_hash(loaded)) != _template_hash(loaded):
        raise _belongs_elsewhere(folder, "another chat template")
    try:
        take_over(loaded.model, state.model)
        learner.load_state(state.optimizer)
    except (RuntimeError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"the model does not fit the checkpoint of step {state.step} in {folder}: {' '.join(str(error).split())}; "
            "resume with the model that the run began with"
        ) from error


def check_environments(state: TrainState, manifests: Sequence[Manifest], folder: Path) -> None:
    """Returns where the environments are those of the checkpoint.

    Raises:
        CheckpointError: one of them is another environment, or another version of it.
    """
    for number, (earlier, now) in enumerate(zip(state.extra.get(_ENVS, []), manifests, strict=False), start=1):
        if earlier["name"] != now.name:
            raise _belongs_elsewhere(folder, f"another environment {number}: it was {earlier['name']}, is {now.name}")
        if earlier["digest"] != now.digest:
            raise _belongs_elsewhere(
                folder,
                f"another version of {now.name}: step {state.step} was reached with {earlier['digest']}, and "
                f"{now.digest} is served now, whose rewards are not comparable",
            )


def _template_hash(loaded: LoadedModel) -> str:
    return hashlib.sha256(json.dumps(loaded.tokenizer.chat_template, sort_keys=True).encode()).hexdigest()


def _belongs_elsewhere(folder: Path, difference: str) -> CheckpointError:
    return CheckpointError(
        f"{folder} belongs to a run with {difference}. Resume with the same ones, or choose another --output"
    )
