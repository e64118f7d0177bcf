"""Low-rank adapters (LoRA, 2106.09685) by peft: training them, and the ordinary weights that they stand for.

Samplers, checkpoints for others and saved models want the ordinary model, so its weights are given one at a time with
the adapters added in fp32; the adapted model itself is never changed. The reference policy is the same model with its
adapters passed over: no second copy of the weights.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import torch

from envport_trainer.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from peft import PeftModel
    from torch import Tensor, nn
    from transformers import PreTrainedModel

_ADAPTER = "default"
"""peft's name of the one adapter."""


def add_adapters(model: PreTrainedModel, rank: int, alpha: float, *, seed: int = 0) -> PeftModel:
    """`model` with an adapter of `rank` on every linear layer but the language-model head; it alone is trainable.

    The adapters add nothing at first. Their scale is `alpha` / `rank`, their first factor is drawn from `seed` without
    touching torch's generator, and there is no dropout.

    Raises:
        ModelError: the package peft is missing, or finds no layer to adapt.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ModelError(f"adapters need the package peft ({error}); pip install 'envport[lora]'") from error
    config = LoraConfig(
        r=rank,
        lora_alpha=cast("int", alpha),  # an annotation too narrow: peft only divides it by the rank
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    try:
        with torch.random.fork_rng(devices=_cuda_devices(model)):
            torch.manual_seed(seed)
            adapted = get_peft_model(model, config)
    except ValueError as error:
        raise ModelError(
            f"{type(model).__name__} has no layers that take adapters ({error}); unset lora_rank"
        ) from error
    return cast("PeftModel", adapted)


def is_adapted(model: nn.Module) -> bool:
    """True of what `add_adapters` gives."""
    peft = sys.modules.get("peft")  # where it was never imported nobody has added adapters
    return peft is not None and isinstance(model, peft.PeftModel)


def ordinary(model: nn.Module) -> PreTrainedModel:
    """The transformers model itself: `model`, or the one that its adapters sit in."""
    return cast("PreTrainedModel", cast("Any", model).get_base_model() if is_adapted(model) else model)


def merged_state(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Name and tensor of each weight of the ordinary model, one at a time; those with adapters are new fp32 tensors.

    Of a model without adapters these are the items of its state dict.
    """
    inner = ordinary(model)
    for name, tensor in inner.state_dict().items():
        if not is_adapted(model):
            yield name, tensor
        elif (place := name.rpartition(".base_layer."))[1]:
            plain = f"{place[0]}.{place[2]}"
            yield plain, _merged(inner.get_submodule(place[0]), tensor) if place[2] == "weight" else tensor
        elif ".lora_" not in name:
            yield name, tensor


@contextmanager
def without_adapters(model: nn.Module) -> Generator[None]:
    """The reference policy: within it `model` computes what it did before adapters were added.

    A model without adapters is left as it is.
    """
    if not is_adapted(model):
        yield
        return
    with cast("Any", model).disable_adapter():
        yield


@torch.no_grad()
def _merged(layer: nn.Module, weight: Tensor) -> Tensor:
    """W + B A alpha / rank."""
    delta: Tensor = cast("Any", layer).get_delta_weight(_ADAPTER)
    return delta.float().add_(weight)


def _cuda_devices(model: PreTrainedModel) -> list[torch.device]:
    device = next(model.parameters()).device
    return [device] if device.type == "cuda" else []
