"""Attention over a tree of token spans in one packed row: what branches share is computed once.

A packed row of T tokens holds spans. Each span sees itself causally and all of its ancestors: the root is the beginning
that every conversation of a batch has in common (instructions, worked examples), under it stand the rest of each
prompt, and under each prompt its completions. So every token has the keys it would have in a row of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Block:
    """Sibling spans and the ancestors that they share, as places in the packed row."""

    ancestor_A: Tensor
    """Places of the shared ancestors' tokens, in order; empty for the root."""
    index_RL: Tensor
    """Place of token l of span r; beyond the span's end, the place of its last token."""
    valid_RL: Tensor
    """True where `index_RL` is within the span."""


def make_block(ancestors: Sequence[int], spans: Sequence[range], device: torch.device | str) -> Block:
    """The block of `spans`, none of them empty, under the tokens at `ancestors`."""
    longest = max(len(span) for span in spans)
    index = [[span[min(place, len(span) - 1)] for place in range(longest)] for span in spans]
    valid = [[place < len(span) for place in range(longest)] for span in spans]
    return Block(
        torch.tensor(list(ancestors), dtype=torch.long, device=device),
        torch.tensor(index, device=device),
        torch.tensor(valid, device=device),
    )


@dataclass(frozen=True, slots=True)
class PackedPlan:
    """The attention of one packed row; every one of its places is in exactly one block."""

    blocks: Sequence[Block]
    longest: int

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        # Under autocast the rotary embedding returns fp32; the products run in the precision of the projections.
        query, key = query.to(value.dtype), key.to(value.dtype)
        with torch.autocast(query.device.type, enabled=False):  # it would round the scores
            out = _PackedAttention.apply(  # type: ignore[no-untyped-call]  # torch leaves it untyped
                query[0], key[0], value[0], self.blocks, scale
            )
        assert isinstance(out, Tensor)
        return out.transpose(0, 1).unsqueeze(0)


class _PackedAttention(torch.autograd.Function):
    """Scores and softmax in fp32, the products with values and gradients in the inputs' precision.

    Scores against shared ancestors are one matrix product for all spans and all query heads of a key head. Only the
    log-sum-exp is kept; the backward pass computes the scores again (Dao et al. 2022, 2205.14135, algorithm 4, by
    blocks of spans instead of tiles).
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, blocks: Sequence[Block], scale: float) -> Tensor:
        out, kept = attend_blocks(q, k, v, blocks, scale)
        ctx.save_for_backward(q, k, v, out, *kept)
        ctx.blocks, ctx.scale = blocks, scale
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out, *kept = ctx.saved_tensors
        return *attend_blocks_backward(grads[0], q, k, v, out, kept, ctx.blocks, ctx.scale), None, None


def attend_blocks(
    q: Tensor, k: Tensor, v: Tensor, blocks: Sequence[Block], scale: float
) -> tuple[Tensor, list[Tensor]]:
    """The attention of q (heads, T, D) to k and v (kv_heads, T, D), and for each block the log-sum-exp of its queries'
    scores, (kv_heads, R, rep x L, 1) in fp32."""
    out = torch.empty_like(q)
    kept: list[Tensor] = []
    for block in blocks:
        spans = _Spans(q, k, v, block)
        o, lse = spans.forward(scale)
        out[:, spans.places] = spans.ungroup(o)[:, spans.valid]
        kept.append(lse)
    return out, kept


def attend_blocks_backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    kept: Sequence[Tensor],
    blocks: Sequence[Block],
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of q, k and v for that of `out`; `out` and `kept` are what `attend_blocks` gave."""
    dq = torch.empty_like(q)
    dk, dv = torch.zeros_like(k, dtype=torch.float32), torch.zeros_like(v, dtype=torch.float32)
    for block, lse in zip(blocks, kept, strict=True):
        spans = _Spans(q, k, v, block)
        gq, own, ancestors = spans.backward(out, grad, lse, scale)
        dq[:, spans.places] = spans.ungroup(gq)[:, spans.valid]
        for total, of_own, of_ancestors in zip((dk, dv), own, ancestors, strict=True):
            total[:, spans.places] += of_own.flatten(1, 2)[:, spans.valid]
            total.index_add_(1, block.ancestor_A, of_ancestors.float())
    return dq, dk.to(k.dtype), dv.to(v.dtype)


class _Spans:
    """The spans of one block with heads grouped: q (kv_heads, R, rep x L, D), k and v (kv_heads, R, L, D)."""

    def __init__(self, q: Tensor, k: Tensor, v: Tensor, block: Block) -> None:
        self.kv_heads, self.dim = k.shape[0], k.shape[2]
        self.count, self.length = block.index_RL.shape
        self.index = block.index_RL.flatten()
        self.valid = block.valid_RL.flatten()
        self.places = self.index[self.valid]
        self.q = self.group(q[:, self.index])
        self.k = torch.unflatten(k[:, self.index], 1, (self.count, self.length))
        self.v = torch.unflatten(v[:, self.index], 1, (self.count, self.length))
        self.k_shared, self.v_shared = k[:, block.ancestor_A], v[:, block.ancestor_A]

    def group(self, x: Tensor) -> Tensor:
        """(heads, R x L, D) to (kv_heads, R, rep x L, D)."""
        grouped = x.view(self.kv_heads, -1, self.count, self.length, self.dim).transpose(1, 2)
        return grouped.reshape(self.kv_heads, self.count, -1, self.dim)

    def ungroup(self, x: Tensor) -> Tensor:
        """(kv_heads, R, rep x L, D) to (heads, R x L, D)."""
        split = x.view(self.kv_heads, self.count, -1, self.length, self.dim).transpose(1, 2)
        return split.reshape(-1, self.count * self.length, self.dim)

    def scores(self, scale: float) -> tuple[Tensor, Tensor]:
        """Scores against the ancestors (kv_heads, R x rep x L, A) and the own span (kv_heads x R, rep x L, L)."""
        shared = torch.bmm(self.q.flatten(1, 2).float(), self.k_shared.float().transpose(1, 2)).mul_(scale)
        own = torch.bmm(self.q.flatten(0, 1).float(), self.k.flatten(0, 1).float().transpose(1, 2)).mul_(scale)
        future = torch.ones(self.length, self.length, dtype=torch.bool, device=own.device).triu_(1)
        torch.unflatten(own, 1, (-1, self.length)).masked_fill_(future, float("-inf"))
        return shared, own

    def forward(self, scale: float) -> tuple[Tensor, Tensor]:
        """The output, grouped, and the log-sum-exp of each query's scores (kv_heads, R, rep x L, 1)."""
        shared, own = self.scores(scale)
        lse = own.logsumexp(-1).view(self.kv_heads, self.count, -1)
        if shared.shape[-1]:
            lse = torch.logaddexp(lse, shared.logsumexp(-1).view_as(lse))
        lse = lse.unsqueeze(-1)
        p_shared, p_own = self.probabilities(shared, own, lse)
        out = torch.bmm(p_own.to(self.v.dtype), self.v.flatten(0, 1)).view_as(self.q)
        out += torch.bmm(p_shared.to(self.v.dtype), self.v_shared).view_as(self.q)
        return out, lse

    def probabilities(self, shared: Tensor, own: Tensor, lse: Tensor) -> tuple[Tensor, Tensor]:
        """The scores, overwritten by their softmax."""
        return shared.sub_(lse.view(self.kv_heads, -1, 1)).exp_(), own.sub_(lse.flatten(0, 1)).exp_()

    def backward(
        self, out: Tensor, grad: Tensor, lse: Tensor, scale: float
    ) -> tuple[Tensor, tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Gradients of q; of the spans' k and v; of the ancestors' k and v. Padded queries have no gradient."""
        dtype = self.q.dtype
        go = self.group(grad[:, self.index] * self.valid[:, None].to(grad.dtype))
        delta = (go.float() * self.group(out[:, self.index]).float()).sum(-1, keepdim=True)
        p_shared, p_own = self.probabilities(*self.scores(scale), lse)

        def part(p: Tensor, q: Tensor, k: Tensor, v: Tensor, g: Tensor, d: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            gv = torch.bmm(p.to(dtype).transpose(1, 2), g)
            ds = torch.bmm(g, v.transpose(1, 2)).float().sub_(d).mul_(p).mul_(scale).to(dtype)
            return torch.bmm(ds, k), torch.bmm(ds.transpose(1, 2), q), gv

        gq_own, gk, gv = part(p_own, *(x.flatten(0, 1) for x in (self.q, self.k, self.v, go, delta)))
        flat_q, flat_go, flat_delta = (x.flatten(1, 2) for x in (self.q, go, delta))
        gq_shared, gk_shared, gv_shared = part(p_shared, flat_q, self.k_shared, self.v_shared, flat_go, flat_delta)
        gq = gq_own.view_as(self.q) + gq_shared.view_as(self.q)
        return gq, (gk.view_as(self.k), gv.view_as(self.v)), (gk_shared, gv_shared)
