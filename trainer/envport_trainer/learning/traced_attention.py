"""The attention of a packed row as two operators that a compiler takes as they are, and its plan as tensors.

How many blocks a plan has and how long they are changes with every pack. Traced, `packed_attention` would give a graph
for each pack; and left out of the graph by `torch.compiler.disable` it would cut each layer in two. As an operator it
is one node whose result has a known shape, and the plan is three tensors of any length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from envport_trainer.learning.packed_attention import Block, PackedPlan, attend_blocks, attend_blocks_backward

if TYPE_CHECKING:
    from collections.abc import Sequence


class TensorPlan:
    """A `PackedPlan` for compiled layers. Not a frozen dataclass: of those torch's tracer fixes every field's value."""

    def __init__(self, plan: PackedPlan) -> None:
        blocks = plan.blocks
        self.longest = plan.longest
        self.places_P = torch.cat([part for b in blocks for part in (b.ancestor_A, b.index_RL.flatten())])
        """For each block the places of its ancestors, then those of its spans, row by row."""
        self.valid_V = torch.cat([block.valid_RL.flatten() for block in blocks])
        sizes = [size for block in blocks for size in (len(block.ancestor_A), *block.index_RL.shape)]
        self.sizes_S = torch.tensor(sizes)
        """Of each block A, R and L. On the CPU, whatever the device: the operators' loop reads it."""

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Those whose length changes with the pack."""
        return self.places_P, self.valid_V, self.sizes_S

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        # Under autocast the rotary embedding returns fp32; the products run in the precision of the projections.
        q, k, v = (x[0].to(value.dtype).transpose(0, 1) for x in (query, key, value))
        out, _ = torch.ops.envport.packed_attention(q, k, v, *self.tensors(), scale)
        assert isinstance(out, Tensor)
        return out.unsqueeze(0)


@torch.library.custom_op(
    "envport::packed_attention",
    mutates_args=(),
    schema="(Tensor q, Tensor k, Tensor v, Tensor places, Tensor valid, Tensor sizes, float scale) -> (Tensor, Tensor)",
)
def _forward(
    q: Tensor, k: Tensor, v: Tensor, places: Tensor, valid: Tensor, sizes: Tensor, scale: float
) -> tuple[Tensor, Tensor]:
    """For q (T, heads, D), k and v (T, kv_heads, D) the output (T, heads, D) and every log-sum-exp (heads x V,)."""
    with torch.autocast(q.device.type, enabled=False):  # it would round the scores
        q, k, v = _by_head(q, k, v)
        out, kept = attend_blocks(q, k, v, _blocks(places, valid, sizes), scale)
    return out.transpose(0, 1).contiguous(), torch.cat([lse.flatten() for lse in kept])


@torch.library.custom_op(
    "envport::packed_attention_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor q, Tensor k, Tensor v, Tensor out, Tensor lse, Tensor places, Tensor valid, "
    "Tensor sizes, float scale) -> (Tensor, Tensor, Tensor)",
)
def _backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    places: Tensor,
    valid: Tensor,
    sizes: Tensor,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of q, k and v, each in its shape."""
    blocks, kv_heads = _blocks(places, valid, sizes), k.shape[1]
    parts = torch.split(lse, [block.index_RL.numel() * q.shape[1] for block in blocks])
    kept = [part.view(kv_heads, len(b.index_RL), -1, 1) for part, b in zip(parts, blocks, strict=True)]
    with torch.autocast(q.device.type, enabled=False):
        grad, q, k, v, out = _by_head(grad, q, k, v, out)
        grads = attend_blocks_backward(grad, q, k, v, out, kept, blocks, scale)
    dq, dk, dv = (x.transpose(0, 1).contiguous() for x in grads)
    return dq, dk, dv


@_forward.register_fake
def _forward_shapes(
    q: Tensor, k: Tensor, v: Tensor, places: Tensor, valid: Tensor, sizes: Tensor, scale: float
) -> tuple[Tensor, Tensor]:
    return q.new_empty(q.shape), q.new_empty(valid.shape[0] * q.shape[1], dtype=torch.float32)


@_backward.register_fake
def _backward_shapes(grad: Tensor, q: Tensor, k: Tensor, v: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    return q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.scale = inputs
    ctx.save_for_backward(*tensors, *output)


def _gradient(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    q, k, v, *plan, out, lse = ctx.saved_tensors
    grads = torch.ops.envport.packed_attention_backward(grad, q, k, v, out, lse, *plan, ctx.scale)
    return *grads, None, None, None, None


_forward.register_autograd(_gradient, setup_context=_keep)


def _by_head(*tensors: Tensor) -> Sequence[Tensor]:
    """(T, heads, D) to (heads, T, D)."""
    return [x.transpose(0, 1) for x in tensors]


def _blocks(places: Tensor, valid: Tensor, sizes: Tensor) -> list[Block]:
    """The blocks that a `TensorPlan` was made of."""
    blocks: list[Block] = []
    at, seen = 0, 0
    numbers: list[int] = sizes.tolist()
    for ancestors, spans, longest in zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True):
        first, count = at + ancestors, spans * longest
        index = places[first : first + count].view(spans, longest)
        blocks.append(Block(places[at:first], index, valid[seen : seen + count].view(spans, longest)))
        at, seen = first + count, seen + count
    return blocks
