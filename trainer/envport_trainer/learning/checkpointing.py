"""Gradient checkpointing: a layer keeps its input alone, and the backward pass computes the rest again (1604.06174)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transformers.modeling_layers import GradientCheckpointingLayer

from envport_trainer.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def checkpoint_layers(model: PreTrainedModel) -> None:
    """Make every decoder layer of `model` compute its activations again in the backward pass.

    transformers does so in layers that are in training mode only: the layers are put in it and what they hold is not,
    so that dropout stays off. A later `model.eval()` undoes it.

    Raises:
        ModelError: the architecture has no layers that can be checkpointed.
    """
    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not (layers and model.supports_gradient_checkpointing):
        raise ModelError(f"{type(model).__name__} has no layers to checkpoint; set gradient_checkpointing to false")
    model.gradient_checkpointing_enable({"use_reentrant": False, "preserve_rng_state": False})
    for layer in layers:
        layer.training = True
