"""Packing trajectories for the update: no padding, and the prompt of a group computed once.

Layout of one packed row of T tokens, group after group: `prompt | row 1 | row 2 | ...`. Positions go on from the prompt
in every row, and a row sees its prompt and itself, so each row's logprobs equal those of the row computed alone. Linear
layers see T tokens instead of rows x (prompt + completion).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from envport_trainer.types import Trajectory


class Row(NamedTuple):
    """A trajectory with the advantage of each of its tokens' owner."""

    trajectory: Trajectory
    advantage: float


@dataclass(frozen=True, slots=True)
class Block:
    """A prompt and the rows that go on from it, as places in the packed row."""

    start: int
    stop: int
    """The prompt is `[start, stop)`."""
    index_RL: Tensor
    """Place of token l of row r; beyond the row's end, the place of its last token."""
    valid_RL: Tensor
    """True where `index_RL` is within the row."""


@dataclass(frozen=True, slots=True)
class PackedPlan:
    """The attention of one packed row: causal within the prompt, and each row sees its prompt and itself."""

    blocks: Sequence[Block]
    longest: int

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        # Under autocast the rotary embedding returns fp32; the products run in the precision of the projections.
        query, key = query.to(value.dtype), key.to(value.dtype)
        out = _PackedAttention.apply(  # type: ignore[no-untyped-call]  # torch leaves it untyped
            query[0], key[0], value[0], self.blocks, scale
        )
        assert isinstance(out, Tensor)
        return out.transpose(0, 1).unsqueeze(0)


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """One micro-batch. `_N` runs over its loss tokens."""

    input_ids: Tensor
    """(1, T)"""
    position_ids: Tensor
    """(1, T)"""
    plan: PackedPlan
    source_N: Tensor
    """Place whose hidden state predicts the loss token."""
    target_N: Tensor
    """Id of the loss token."""
    sampler_logprob_N: Tensor
    advantage_N: Tensor


def pack(rows: Iterable[Row], max_tokens: int, device: torch.device | str = "cpu") -> list[PackedBatch]:
    """Micro-batches of at most `max_tokens` packed tokens each; a single longer row gets a batch of its own.

    Rows of one group stay together where they fit; where they do not, or where an environment began them with other
    messages, the prompt is computed once for each part.
    """
    batches: list[list[list[Row]]] = []
    room = 0
    for _, members in groupby(rows, key=lambda row: row.trajectory.group):
        part: list[Row] = []
        for row in members:
            if part and _prompt(row) != _prompt(part[0]):
                part = []
            new = len(row.trajectory.input_ids) - (row.trajectory.prompt_length if part else 0)
            if new > room or not batches:
                batches.append([])
                part = []
                room = max_tokens
                new = len(row.trajectory.input_ids)
            if not part:
                batches[-1].append(part)
            part.append(row)
            room -= new
    return [_pack_batch(parts, device) for parts in batches]


def _prompt(row: Row) -> list[int]:
    return row.trajectory.input_ids[: row.trajectory.prompt_length]


def _pack_batch(parts: Sequence[Sequence[Row]], device: torch.device | str) -> PackedBatch:
    ids: list[int] = []
    positions: list[int] = []
    source: list[int] = []
    target: list[int] = []
    logprob: list[float] = []
    advantage: list[float] = []
    blocks: list[Block] = []
    for part in parts:
        first = part[0].trajectory
        prompt = first.prompt_length
        start = len(ids)
        stop = start + prompt
        ids += first.input_ids[:prompt]
        positions += range(prompt)
        spans: list[range] = []
        for row in part:
            t = row.trajectory
            begin = len(ids)
            for place in range(prompt, len(t.input_ids)):
                if t.loss_mask[place]:
                    here = begin + place - prompt
                    source.append(stop - 1 if place == prompt else here - 1)
                    target.append(t.input_ids[place])
                    logprob.append(t.logprobs[place])
                    advantage.append(row.advantage)
            ids += t.input_ids[prompt:]
            positions += range(prompt, len(t.input_ids))
            spans.append(range(begin, len(ids)))
        blocks.append(_block(start, stop, spans, device))
    return PackedBatch(
        input_ids=torch.tensor([ids], device=device),
        position_ids=torch.tensor([positions], device=device),
        plan=PackedPlan(blocks, longest=max(positions) + 1),
        source_N=torch.tensor(source, dtype=torch.long, device=device),
        target_N=torch.tensor(target, dtype=torch.long, device=device),
        sampler_logprob_N=torch.tensor(logprob, dtype=torch.float32, device=device),
        advantage_N=torch.tensor(advantage, dtype=torch.float32, device=device),
    )


def _block(start: int, stop: int, spans: Sequence[range], device: torch.device | str) -> Block:
    longest = max(len(span) for span in spans)
    index = [[span[min(place, len(span) - 1)] for place in range(longest)] for span in spans]
    valid = [[place < len(span) for place in range(longest)] for span in spans]
    return Block(start, stop, torch.tensor(index, device=device), torch.tensor(valid, device=device))


class _PackedAttention(torch.autograd.Function):
    """Scores and softmax in fp32, the products with values and gradients in the inputs' precision.

    Scores against the shared prompt are one matrix product for all rows and all query heads of a key head. Only the
    log-sum-exp is kept; the backward pass computes the scores again (Dao et al. 2022, 2205.14135, algorithm 4, by
    blocks of a group instead of tiles).
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, blocks: Sequence[Block], scale: float) -> Tensor:
        out = torch.empty_like(q)
        kept: list[Tensor] = []
        for block in blocks:
            prompt = slice(block.start, block.stop)
            o, lse = _causal_forward(q[:, prompt], k[:, prompt], v[:, prompt], scale)
            out[:, prompt] = o
            rows = _Rows(q, k, v, block)
            o_rows, lse_rows = rows.forward(scale)
            out[:, block.index_RL[block.valid_RL]] = rows.ungroup(o_rows)[:, block.valid_RL.flatten()]
            kept += [lse, lse_rows]
        ctx.save_for_backward(q, k, v, out, *kept)
        ctx.blocks, ctx.scale = blocks, scale
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        q, k, v, out, *kept = ctx.saved_tensors
        dq, dk, dv = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for number, block in enumerate(ctx.blocks):
            prompt = slice(block.start, block.stop)
            rows = _Rows(q, k, v, block)
            gq, gk, gv, gk_prompt, gv_prompt = rows.backward(out, grad, kept[2 * number + 1], ctx.scale)
            places, valid = block.index_RL[block.valid_RL], block.valid_RL.flatten()
            dq[:, places] = rows.ungroup(gq)[:, valid]
            dk[:, places] = gk.flatten(1, 2)[:, valid]
            dv[:, places] = gv.flatten(1, 2)[:, valid]
            pq, pk, pv = _causal_backward(
                q[:, prompt], k[:, prompt], v[:, prompt], out[:, prompt], grad[:, prompt], kept[2 * number], ctx.scale
            )
            dq[:, prompt] = pq
            dk[:, prompt] = pk + gk_prompt
            dv[:, prompt] = pv + gv_prompt
        return dq, dk, dv, None, None


def _scores(q: Tensor, k: Tensor, scale: float) -> Tensor:
    return torch.bmm(q.float(), k.float().transpose(1, 2)).mul_(scale)


def _hide_future(scores: Tensor, length: int) -> Tensor:
    """Set scores of keys after their query to -inf. `scores` is (n, rep x length, length)."""
    future = torch.ones(length, length, dtype=torch.bool, device=scores.device).triu_(1)
    scores.view(len(scores), -1, length, length).masked_fill_(future, float("-inf"))
    return scores


def _causal_forward(q: Tensor, k: Tensor, v: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Plain causal attention of (heads, P, D) over (kv_heads, P, D), with its log-sum-exp."""
    length = q.shape[1]
    grouped = q.reshape(k.shape[0], -1, q.shape[2])
    scores = _hide_future(_scores(grouped, k, scale), length)
    lse = scores.logsumexp(-1, keepdim=True)
    out = torch.bmm(scores.sub_(lse).exp_().to(v.dtype), v)
    return out.view_as(q), lse


def _causal_backward(
    q: Tensor, k: Tensor, v: Tensor, out: Tensor, grad: Tensor, lse: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    length, dim = q.shape[1:]
    grouped, go, o = (x.reshape(k.shape[0], -1, dim) for x in (q, grad, out))
    p = _hide_future(_scores(grouped, k, scale), length).sub_(lse).exp_()
    delta = (go.float() * o.float()).sum(-1, keepdim=True)
    dv = torch.bmm(p.to(v.dtype).transpose(1, 2), go)
    ds = torch.bmm(go, v.transpose(1, 2)).float().sub_(delta).mul_(p).mul_(scale).to(q.dtype)
    return torch.bmm(ds, k).view_as(q), torch.bmm(ds.transpose(1, 2), grouped), dv


class _Rows:
    """The rows of one block with heads grouped: q (kv_heads, R, rep x L, D), k and v (kv_heads, R, L, D)."""

    def __init__(self, q: Tensor, k: Tensor, v: Tensor, block: Block) -> None:
        self.block = block
        self.kv_heads, self.dim = k.shape[0], k.shape[2]
        self.count, self.length = block.index_RL.shape
        places = block.index_RL.flatten()
        self.q = self.group(q[:, places])
        self.k = k[:, places].view(self.kv_heads, self.count, self.length, self.dim)
        self.v = v[:, places].view(self.kv_heads, self.count, self.length, self.dim)
        self.k_prompt, self.v_prompt = k[:, block.start : block.stop], v[:, block.start : block.stop]

    def group(self, x: Tensor) -> Tensor:
        """(heads, R x L, D) to (kv_heads, R, rep x L, D)."""
        grouped = x.view(self.kv_heads, -1, self.count, self.length, self.dim).transpose(1, 2)
        return grouped.reshape(self.kv_heads, self.count, -1, self.dim)

    def ungroup(self, x: Tensor) -> Tensor:
        """(kv_heads, R, rep x L, D) to (heads, R x L, D)."""
        split = x.view(self.kv_heads, self.count, -1, self.length, self.dim).transpose(1, 2)
        return split.reshape(-1, self.count * self.length, self.dim)

    def scores(self, scale: float) -> tuple[Tensor, Tensor]:
        """Scores against the prompt (kv_heads, R x rep x L, P) and against the own row (kv_heads x R, rep x L, L)."""
        shared = _scores(self.q.flatten(1, 2), self.k_prompt, scale)
        own = _scores(self.q.flatten(0, 1), self.k.flatten(0, 1), scale)
        return shared, _hide_future(own, self.length)

    def forward(self, scale: float) -> tuple[Tensor, Tensor]:
        shared, own = self.scores(scale)
        lse = torch.logaddexp(
            shared.logsumexp(-1).view(self.kv_heads, self.count, -1),
            own.logsumexp(-1).view(self.kv_heads, self.count, -1),
        ).unsqueeze(-1)
        p_shared, p_own = self.probabilities(shared, own, lse)
        out = torch.bmm(p_shared.to(self.v.dtype), self.v_prompt).view_as(self.q)
        out += torch.bmm(p_own.to(self.v.dtype), self.v.flatten(0, 1)).view_as(self.q)
        return out, lse

    def probabilities(self, shared: Tensor, own: Tensor, lse: Tensor) -> tuple[Tensor, Tensor]:
        return shared.sub_(lse.view(self.kv_heads, -1, 1)).exp_(), own.sub_(lse.flatten(0, 1)).exp_()

    def backward(
        self, out: Tensor, grad: Tensor, lse: Tensor, scale: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Gradients of q, k, v of the rows and of the prompt's k and v. Padded queries have no gradient."""
        places = self.block.index_RL.flatten()
        go = self.group(grad[:, places] * self.block.valid_RL.flatten()[:, None].to(grad.dtype))
        delta = (go.float() * self.group(out[:, places]).float()).sum(-1, keepdim=True)
        p_shared, p_own = self.probabilities(*self.scores(scale), lse)
        dtype = self.q.dtype
        flat_q, flat_go, flat_delta = self.q.flatten(1, 2), go.flatten(1, 2), delta.flatten(1, 2)
        gv_prompt = torch.bmm(p_shared.to(dtype).transpose(1, 2), flat_go)
        ds = torch.bmm(flat_go, self.v_prompt.transpose(1, 2)).float().sub_(flat_delta).mul_(p_shared).mul_(scale)
        ds = ds.to(dtype)
        gq = torch.bmm(ds, self.k_prompt).view_as(self.q)
        gk_prompt = torch.bmm(ds.transpose(1, 2), flat_q)
        row_q, row_go, row_delta = self.q.flatten(0, 1), go.flatten(0, 1), delta.flatten(0, 1)
        gv = torch.bmm(p_own.to(dtype).transpose(1, 2), row_go)
        ds = torch.bmm(row_go, self.v.flatten(0, 1).transpose(1, 2)).float().sub_(row_delta).mul_(p_own).mul_(scale)
        ds = ds.to(dtype)
        gq += torch.bmm(ds, self.k.flatten(0, 1)).view_as(self.q)
        gk = torch.bmm(ds.transpose(1, 2), row_q)
        return gq, gk.view_as(self.k), gv.view_as(self.v), gk_prompt, gv_prompt
