"""What to do when memory does not suffice for an update."""

from __future__ import annotations

from typing import Final

import torch

_TEXTS: Final = ("can't allocate memory", "out of memory", "not enough memory")
"""How torch's allocators say it where they raise a plain RuntimeError."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this error says that memory, of the machine or the GPU, did not suffice."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _TEXTS)
