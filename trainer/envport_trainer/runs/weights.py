"""The weights that a run changes, as its checkpoints hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envport_trainer.learning.adapters import is_adapted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn


def trained_state(model: nn.Module) -> dict[str, Tensor]:
    """All weights of `model`, or where it has adapters those alone."""
    state: dict[str, Tensor] = dict(model.state_dict())
    if not is_adapted(model):
        return state
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    return {name: tensor for name, tensor in state.items() if name in trained}


def take_over(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give `model` the weights of a checkpoint.

    Raises:
        RuntimeError: they are not exactly those that `trained_state` gives.
    """
    differ = sorted(set(weights) ^ set(trained_state(model)))
    if differ:
        raise RuntimeError(f"{len(differ)} weights are on one side alone, such as {differ[0]}")
    model.load_state_dict(dict(weights), strict=not is_adapted(model))
