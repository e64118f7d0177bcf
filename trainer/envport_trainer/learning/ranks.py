"""Several processes that train one policy: each has whole groups of its own, and sums make their gradient one.

With a torch.distributed process group initialised, these functions are collective: every rank calls each of them, in
the same order. Without one, they give back what they got. No wrapper around the model is needed: token weights come
from the counts of all ranks (`algorithm/aggregation.py`), so the gradients of the ranks only add up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

T = TypeVar("T")


def gather(mine: T) -> list[T]:
    """What each rank passed, in the order of the ranks. It is pickled: pass small values."""
    if not _several():
        return [mine]
    every: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(every, mine)
    return every


def own_rank() -> int:
    """This process's place among the ranks."""
    return dist.get_rank() if _several() else 0


def add_up(values: Tensor) -> Tensor:
    """The sum over the ranks of a tensor; in place."""
    if _several():
        dist.all_reduce(values)
    return values


def highest(values: Tensor) -> Tensor:
    """The maximum over the ranks of a tensor; in place."""
    if _several():
        dist.all_reduce(values, dist.ReduceOp.MAX)
    return values


def add_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Give every rank the sum of all ranks' gradients; a rank that had no rows adds zeros."""
    if not _several():
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        dist.all_reduce(parameter.grad)


def _several() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
