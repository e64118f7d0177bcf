"""Where tensors live."""

from __future__ import annotations

import gc

import torch

from envport_trainer.errors import TrainerError


def find_device(wanted: str) -> torch.device:
    """The device that `TrainConfig.device` names; `auto` takes the GPU where there is one.

    Raises:
        TrainerError: CUDA is asked for, and torch sees none.
    """
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise TrainerError('device is "cuda", but torch sees no CUDA device; use "auto" or "cpu"')
    return torch.device(wanted)


def free_memory() -> None:
    """Give back the memory of models that nothing holds any more; they refer to themselves, and the GPU's is cached."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
