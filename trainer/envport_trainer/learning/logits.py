"""Logits: the widest matrix product of a model, in fp32.

On a CPU oneDNN computes it: MKL, which torch takes for fp32, is slow on other makers' processors than its own. On an
AMD EPYC with AVX-512, 64 and 256 rows of SmolLM2's head take 0.3 and 0.5 of MKL's time.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable


def logits(hidden_ND: Tensor, head_VD: Tensor) -> Tensor:
    """`hidden @ head.T`, (N, V); both are of fp32. It has no gradient."""
    if hidden_ND.is_cpu and hidden_ND.shape[0]:
        return _on_cpu()(hidden_ND, head_VD)
    return functional.linear(hidden_ND, head_VD)


@cache
def _on_cpu() -> Callable[[Tensor, Tensor], Tensor]:
    """oneDNN's product where this torch has it and it gives what torch's own does, as seen on random numbers.

    torch's compiler calls it by this name; it is no public one, so another torch may have it no more or with other
    arguments.
    """
    noise = torch.Generator().manual_seed(0)
    x, w = torch.randn(8, 48, generator=noise), torch.randn(96, 48, generator=noise)
    try:
        same = torch.allclose(_by_onednn(x, w), functional.linear(x, w), rtol=1e-5, atol=1e-5)
    except (AttributeError, RuntimeError, TypeError):
        same = False
    return _by_onednn if same else functional.linear


def _by_onednn(x: Tensor, weight: Tensor) -> Tensor:
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")  # see `_on_cpu`
    return out
