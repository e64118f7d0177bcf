"""The optimizer of a run: fused AdamW, or bitsandbytes' with its two moments in 8 bits (2110.02861)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from envport_trainer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from envport_trainer.config import TrainConfig


def make_optimizer(parameters: Iterable[torch.nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    """The optimizer that `config` names over `parameters`, with its learning rate, betas and weight decay.

    Tensors of fewer than 4,096 numbers keep moments of 32 bits in either; the paged one moves its state to the host's
    memory where the GPU's is full.

    Raises:
        ConfigError: the package bitsandbytes is missing, or paging is asked for without a GPU.
    """
    parameters = list(parameters)
    settings: dict[str, Any] = {"lr": config.lr, "betas": config.betas, "weight_decay": config.weight_decay}
    if config.optimizer == "adamw":
        return torch.optim.AdamW(parameters, fused=True, **settings)
    if config.optimizer == "paged_adamw8bit" and not all(parameter.is_cuda for parameter in parameters):
        raise ConfigError("optimizer is paged_adamw8bit, and the model is on no GPU to page from; take adamw8bit")
    try:
        from bitsandbytes.optim.adamw import AdamW8bit, PagedAdamW8bit
    except ImportError as error:
        raise ConfigError(
            f"optimizer is {config.optimizer}, which needs the package bitsandbytes ({error}); "
            "pip install 'envport[bnb]', or take adamw"
        ) from error
    kinds = {"adamw8bit": AdamW8bit, "paged_adamw8bit": PagedAdamW8bit}
    optimizer: torch.optim.Optimizer = kinds[config.optimizer](parameters, **settings)
    return optimizer
