"""Packing trajectories for the update: no padding, and what conversations share computed once.

Layout of one packed row of T tokens: `root | rest of prompt 1 | its completions ... | rest of prompt 2 | ...`. The root
is the beginning that all prompts of an update have in common. Positions go on from a span's ancestors, so each
completion's logprobs equal those of its conversation computed alone. Linear layers see T tokens instead of rows x
(prompt + completion).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from envport_trainer.algorithm.batch import LossTokens, TrainingRow
from envport_trainer.learning.packed_attention import Block, PackedPlan, make_block

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


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
    loss: LossTokens


def pack(rows: Iterable[TrainingRow], max_tokens: int, device: torch.device | str = "cpu") -> list[PackedBatch]:
    """As few micro-batches of at most `max_tokens` packed tokens each as the rows need in their order, of about equal
    length, so that none takes more memory than it must; a single longer row gets a batch of its own.

    Rows of one group stay together where they fit; where they do not, or where an environment began them with other
    messages, the prompt is computed once for each part. The root is computed once for each batch.
    """
    rows = list(rows)
    root = _common_root([_prompt(row) for row in rows])
    batches = _split(rows, root, max_tokens)
    low, high = 0, max_tokens  # tokens of a batch: too few for the number of batches, and enough
    while high - low > 1:
        middle = (low + high) // 2
        closer = _split(rows, root, middle)
        if len(closer) > len(batches):
            low = middle
        else:
            high, batches = middle, closer
    return [_pack_batch(parts, root, device) for parts in batches]


def _split(rows: Sequence[TrainingRow], root: int, max_tokens: int) -> list[list[list[TrainingRow]]]:
    """The rows of each batch, in parts that share a prompt; each batch takes rows while they fit."""
    batches: list[list[list[TrainingRow]]] = []
    room = 0
    for _, members in groupby(rows, key=lambda row: row.group):
        part: list[TrainingRow] = []
        for row in members:
            if part and _prompt(row) != _prompt(part[0]):
                part = []
            length = len(row.tokens.input_ids)
            new = length - (row.tokens.prompt_length if part else root)
            if new > room or not batches:
                batches.append([])
                part = []
                room = max_tokens - root
                new = length - root
            if not part:
                batches[-1].append(part)
            part.append(row)
            room -= new
    return batches


def _common_root(prompts: Sequence[Sequence[int]]) -> int:
    """Number of leading ids that all prompts share, leaving each at least one id of its own."""
    if not prompts:
        return 0
    most = min(len(prompt) for prompt in prompts) - 1
    places = enumerate(zip(*prompts, strict=False))
    return next((place for place, ids in places if place == most or len(set(ids)) > 1), most)


def _prompt(row: TrainingRow) -> list[int]:
    return row.tokens.input_ids[: row.tokens.prompt_length]


def _pack_batch(parts: Sequence[Sequence[TrainingRow]], root: int, device: torch.device | str) -> PackedBatch:
    packed = _Packed(_prompt(parts[0][0])[:root])
    loss = _Columns()
    rests: list[range] = []
    for part in parts:
        prompt = _prompt(part[0])
        rest = packed.append(prompt[root:], root)
        completions = [packed.append(row.tokens.input_ids[len(prompt) :], len(prompt)) for row in part]
        packed.under([*range(root), *rest], completions, device)
        rests.append(rest)
        for row, span in zip(part, completions, strict=True):
            loss.add(row, span, before=rest[-1])
    packed.under(range(root), rests, device)
    return PackedBatch(
        input_ids=packed.ids(device),
        position_ids=packed.positions(device),
        plan=packed.plan(device),
        source_N=torch.tensor(loss.source, dtype=torch.long, device=device),
        target_N=torch.tensor(loss.target, dtype=torch.long, device=device),
        loss=loss.tokens(device),
    )


@dataclass(slots=True)
class _Columns:
    """The columns of a batch's loss tokens under construction."""

    source: list[int] = field(default_factory=list[int])
    target: list[int] = field(default_factory=list[int])
    logprob: list[float] = field(default_factory=list[float])
    advantage: list[float] = field(default_factory=list[float])
    owner: list[tuple[int, int, int]] = field(default_factory=list[tuple[int, int, int]])
    """Rollout, group and policy version."""

    def add(self, row: TrainingRow, span: range, before: int) -> None:
        """The loss tokens of a completion at `span`, whose first token is predicted at the place `before`."""
        t = row.tokens
        for place, here in enumerate(span, start=t.prompt_length):
            if t.loss_mask[place]:
                self.source.append(before if here == span[0] else here - 1)
                self.target.append(t.input_ids[place])
                self.logprob.append(t.logprobs[place])
                self.advantage.append(row.advantages_T[place])
                self.owner.append((row.rollout, row.group, row.policy_version))

    def tokens(self, device: torch.device | str) -> LossTokens:
        owner = torch.tensor(self.owner, dtype=torch.long, device=device).view(-1, 3)
        return LossTokens(
            sampler_logprob_N=torch.tensor(self.logprob, dtype=torch.float32, device=device),
            advantage_N=torch.tensor(self.advantage, dtype=torch.float32, device=device),
            rollout_N=owner[:, 0],
            group_N=owner[:, 1],
            policy_version_N=owner[:, 2],
        )


class _Packed:
    """A packed row under construction; it begins with the root."""

    def __init__(self, root: Sequence[int]) -> None:
        self._root = range(len(root))
        self._ids = list(root)
        self._positions = list(self._root)
        self._blocks: list[Block] = []

    def append(self, ids: Sequence[int], position: int) -> range:
        """Append a span that begins at `position` of its conversation; gives its places."""
        span = range(len(self._ids), len(self._ids) + len(ids))
        self._ids += ids
        self._positions += range(position, position + len(ids))
        return span

    def under(self, ancestors: Sequence[int], spans: Sequence[range], device: torch.device | str) -> None:
        """Let `spans` see `ancestors`; spans without tokens are nothing to compute."""
        if whole := [span for span in spans if span]:
            self._blocks.append(make_block(ancestors, whole, device))

    def ids(self, device: torch.device | str) -> Tensor:
        return torch.tensor([self._ids], device=device)

    def positions(self, device: torch.device | str) -> Tensor:
        return torch.tensor([self._positions], device=device)

    def plan(self, device: torch.device | str) -> PackedPlan:
        root = [make_block([], [self._root], device)] if self._root else []
        return PackedPlan([*root, *self._blocks], longest=max(self._positions) + 1)
