"""The attention of one step of sampling: one new token for each running request, and the prompts of newcomers.

A query's result has the same bits whatever else is computed in the step, and whether its keys are shared, its own or
computed just now. Keys lie in blocks by their place in the conversation; scores and softmax are fp32; the product with
values is taken a block at a time and added up in the blocks' order; and a matrix product never has fewer than
`LEAST_ROWS` rows, from which on each row of a product is the same whatever the number of rows. Hidden keys add exact
zeros. On a CPU this was seen of oneDNN's bf16 and MKL's fp32 products; on a GPU it holds up to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from envport_trainer.samplers.prefixes import BLOCK, Piece, Stem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from envport_trainer.samplers.rows import Lane, Row

LEAST_ROWS = 4
QUERY_TOKENS = 512
"""Prompt tokens whose scores are held at once: heads x 512 x the prompt's length in fp32."""


class SharedKeys:
    """Keys of a run of blocks that the running requests `first` to `end` share."""

    __slots__ = ("end", "first", "piece", "start")

    def __init__(self, piece: Piece, start: int, first: int) -> None:
        self.piece = piece
        self.start, self.first, self.end = start, first, first + 1


class _LaneRows:
    """The requests of a lane: their keys and values, and room for what each layer computes of them."""

    def __init__(self, lane: Lane, number: dict[Row, int], device: torch.device) -> None:
        self.lane, self.count = lane, len(lane.rows)
        lengths = [row.position - row.own_start for row in lane.rows]
        self.length, self.longest = torch.tensor(lengths, device=device), max(lengths)
        self.rows = _selection([number[row] for row in lane.rows], device)
        """Their numbers among the running requests; a slice, for views instead of copies, where they are in order."""
        self._places = torch.arange(self.count, device=device)
        self._queries: Tensor | None = None
        self._weights: Tensor | None = None
        self._hide()

    def _hide(self) -> None:
        self.width = _whole(self.longest + 1)
        self._hidden = torch.arange(self.width, device=self.length.device) > self.length[:, None]

    def advance(self) -> None:
        """Each has one token more."""
        self.length += 1
        self.longest += 1
        self._hide()

    def store(self, layer: int, key: Tensor, value: Tensor) -> None:
        """Keep the new tokens' keys and values, of (kv_heads, B, D)."""
        keys, values = self.lane.kv[layer]
        keys[self._places, :, self.length] = key[:, self.rows].transpose(0, 1)
        values[self._places, :, self.length] = value[:, self.rows].transpose(0, 1)

    def scores(self, layer: int, query: Tensor) -> Tensor:
        """(kv_heads, n, rep, places) for the queries (kv_heads, B, rep, D), the places after the new token hidden."""
        heads, _, rep, dim = query.shape
        if self._queries is None:
            self._queries = query.new_zeros(self.count, heads, max(rep, LEAST_ROWS), dim)
        self._queries[:, :, :rep] = query[:, self.rows].transpose(0, 1)
        keys = self.lane.kv[layer, 0, : self.count, :, : self.width]
        scores = torch.bmm(self._queries.flatten(0, 1), keys.flatten(0, 1).transpose(1, 2))
        scores = scores.view(self.count, heads, -1, self.width)[:, :, :rep]
        return scores.masked_fill_(self._hidden[:, None, None], float("-inf")).transpose(0, 1)

    def add_values(self, layer: int, weights: Tensor, out: Tensor) -> None:
        """Add to `out` (kv_heads, B, rep, D) the values by `weights` (kv_heads, B, rep, places)."""
        rep = out.shape[2]
        assert self._queries is not None
        if self._weights is None or self._weights.shape[3] != self.width:
            self._weights = weights.new_zeros(*self._queries.shape[:3], self.width)
        self._weights[:, :, :rep] = weights[:, self.rows].transpose(0, 1)
        total = self._queries  # the queries are done with; rows beyond `rep` get nothing added
        total[:, :, :rep] = out[:, self.rows].transpose(0, 1)
        values = self.lane.kv[layer, 1, : self.count, :, : self.width].flatten(0, 1)
        _add_values(total.flatten(0, 1), self._weights.flatten(0, 1), values)
        out[:, self.rows] = total[:, :, :rep].transpose(0, 1)


class RunningRows:
    """One new token for each of B requests, in an order in which those that share keys stand together."""

    def __init__(self, rows: Sequence[Row], lanes: Sequence[Lane], device: torch.device) -> None:
        self.rows = in_order(rows)
        self.shared = _shared_keys(self.rows)
        self._base = max((row.own_start for row in self.rows), default=0)
        self._scores: Tensor | None = None
        number = {row: place for place, row in enumerate(self.rows)}
        self._lanes = [_LaneRows(lane, number, device) for lane in lanes]

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """query (kv_heads, B, rep, D) times the scale, key and value (kv_heads, B, D), all fp32; the output is as the
        query. The new keys and values are stored first."""
        heads, _, rep, dim = query.shape
        scores = self._room(heads, rep, query.device)
        shared = [(part, *part.piece.kv[layer]) for part in self.shared]
        for part, keys, _ in shared:
            of_part = product(query[:, part.first : part.end].reshape(heads, -1, dim), keys.transpose(1, 2))
            width = slice(part.start, part.start + keys.shape[1])
            scores[:, part.first : part.end, :, width] = of_part.view(heads, -1, rep, keys.shape[1])
        for own in self._lanes:
            own.store(layer, key, value)
            scores[:, own.rows, :, self._base : self._base + own.width] = own.scores(layer, query)
        weights = scores.softmax(-1)
        out = torch.zeros_like(query)
        for part, _, values in shared:
            mine = weights[:, part.first : part.end, :, part.start : part.start + values.shape[1]].flatten(1, 2)
            total = add_values(out[:, part.first : part.end].flatten(1, 2), mine, values)
            out[:, part.first : part.end] = total.view(heads, -1, rep, dim)
        for own in self._lanes:
            own.add_values(layer, weights[..., self._base : self._base + own.width], out)
        return out

    def advance(self) -> None:
        """The step's tokens are stored."""
        for own in self._lanes:
            own.advance()

    def _room(self, heads: int, rep: int, device: torch.device) -> Tensor:
        """Scores (kv_heads, B, rep, places), minus infinity wherever nothing is ever written."""
        width = self._base + max(own.width for own in self._lanes)
        if self._scores is None or self._scores.shape[-1] != width:
            self._scores = torch.full((heads, len(self.rows), rep, width), float("-inf"), device=device)
        return self._scores


@dataclass(eq=False, slots=True)
class Segment:
    """Ids of a newcomer's prompt that are computed now, at `places` of the packed row; what comes before is in
    `before`, whose stems may be computed in the same row."""

    before: list[Piece]
    start: int
    """Place of the first of them in the conversation."""
    places: range
    stem: Stem
    """Of the whole blocks among them."""


@dataclass(slots=True)
class StepPlan:
    """An `AttentionPlan` of one packed row: the running requests' new tokens, then the segments."""

    running: RunningRows
    segments: Sequence[Segment]
    longest: int
    kept: list[tuple[Tensor, Tensor]] = field(default_factory=list["tuple[Tensor, Tensor]"])
    """Keys and values of each layer, (kv_heads, T, D) in fp32."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        q, k, v = query[0].float() * scale, key[0].float(), value[0].float()
        grouped = q.view(k.shape[0], -1, *q.shape[1:]).transpose(1, 2)  # (kv_heads, T, rep, D)
        count = len(self.running.rows)
        if count and count == grouped.shape[1]:
            return _ungrouped(self.running.attend(layer, grouped, k, v), query)
        out = torch.zeros_like(grouped)
        if count:
            out[:, :count] = self.running.attend(layer, grouped[:, :count], k[:, :count], v[:, :count])
        if self.segments:
            self.kept.append((k, v))
        for segment in self.segments:
            keys, values = self._keys(segment, layer)
            for part in _parts(segment.places):
                after = part.start - segment.places.start + segment.start
                out[:, part.start : part.stop] = _causal(grouped[:, part.start : part.stop], keys, values, after)
        return _ungrouped(out, query)

    def stored(self, piece: Piece, layer: int) -> tuple[Tensor, Tensor]:
        """Keys and values (kv_heads, n, D) of the blocks, from this row where they are computed in it."""
        if piece.stem.kv is not None:
            keys, values = piece.kv[layer]
            return keys, values
        begin = next(segment.places.start for segment in self.segments if segment.stem is piece.stem)
        k, v = self.kept[layer]
        places = slice(begin + piece.first * BLOCK, begin + piece.end * BLOCK)
        return k[:, places], v[:, places]

    def _keys(self, segment: Segment, layer: int) -> tuple[Tensor, Tensor]:
        """All that a segment's last token sees, filled up to whole blocks."""
        parts = [self.stored(piece, layer) for piece in segment.before]
        k, v = self.kept[layer]
        parts.append(
            (k[:, segment.places.start : segment.places.stop], v[:, segment.places.start : segment.places.stop])
        )
        fill = -len(segment.places) % BLOCK
        keys, values = (torch.cat(side, 1) for side in zip(*parts, strict=True))
        return functional.pad(keys, (0, 0, 0, fill)), functional.pad(values, (0, 0, 0, fill))


def _ungrouped(out: Tensor, query: Tensor) -> Tensor:
    """(kv_heads, T, rep, D) to (1, T, heads, D), in the precision of `query`."""
    return out.to(query.dtype).transpose(0, 1).flatten(1, 2)[None]


def _causal(query: Tensor, keys: Tensor, values: Tensor, start: int) -> Tensor:
    """Attention of tokens from place `start` on: query (kv_heads, t, rep, D), keys and values (kv_heads, n, D)."""
    heads, count, rep, dim = query.shape
    seen = _whole(start + count)
    scores = product(query.reshape(heads, -1, dim), keys[:, :seen].transpose(1, 2)).view(heads, count, rep, seen)
    hidden = torch.arange(seen, device=query.device) > torch.arange(start, start + count, device=query.device)[:, None]
    weights = scores.masked_fill_(hidden[:, None], float("-inf")).softmax(-1).flatten(1, 2)
    total = query.new_zeros(heads, count * rep, dim)
    return add_values(total, weights, values[:, :seen]).view(heads, count, rep, dim)


def in_order(rows: Sequence[Row]) -> list[Row]:
    """The rows, those that share keys together."""
    return sorted(rows, key=lambda row: [(id(piece.stem), piece.first, piece.end) for piece in row.shared])


def _selection(numbers: list[int], device: torch.device) -> Tensor | slice:
    if numbers == list(range(numbers[0], numbers[0] + len(numbers))):
        return slice(numbers[0], numbers[0] + len(numbers))
    return torch.tensor(numbers, device=device)


def product(a: Tensor, b: Tensor) -> Tensor:
    """Batched a @ b whose rows do not depend on how many there are."""
    rows = a.shape[1]
    if rows >= LEAST_ROWS:
        return torch.bmm(a, b)
    return torch.bmm(functional.pad(a, (0, 0, 0, LEAST_ROWS - rows)), b)[:, :rows]


def add_values(total: Tensor, weights: Tensor, values: Tensor) -> Tensor:
    """total + weights @ values: (n, M, D), (n, M, L), (n, L, D). The first is written over."""
    rows = weights.shape[1]
    if rows < LEAST_ROWS:
        weights = functional.pad(weights, (0, 0, 0, LEAST_ROWS - rows))
        total = functional.pad(total, (0, 0, 0, LEAST_ROWS - rows))
    _add_values(total, weights, values)
    return total[:, :rows]


def _add_values(total: Tensor, weights: Tensor, values: Tensor) -> None:
    """One block after the other, with `LEAST_ROWS` rows or more."""
    for start in range(0, values.shape[1], BLOCK):
        total.baddbmm_(weights[:, :, start : start + BLOCK], values[:, start : start + BLOCK])


def _shared_keys(rows: Sequence[Row]) -> list[SharedKeys]:
    """What the rows share, in the order of places; each stem cut where some row's use of it begins or ends."""
    cuts: dict[Stem, set[int]] = {}
    for row in rows:
        for piece in row.shared:
            cuts.setdefault(piece.stem, set()).update((piece.first, piece.end))
    parts: list[SharedKeys] = []
    open_parts: dict[tuple[Stem, int, int], SharedKeys] = {}
    for number, row in enumerate(rows):
        for start, piece in _cut(row.shared, cuts):
            last = open_parts.get((piece.stem, piece.first, start))
            if last is not None and last.end == number:
                last.end = number + 1
            else:
                part = SharedKeys(piece, start, number)
                open_parts[piece.stem, piece.first, start] = part
                parts.append(part)
    return sorted(parts, key=lambda part: part.start)


def _cut(pieces: Sequence[Piece], cuts: dict[Stem, set[int]]) -> Iterator[tuple[int, Piece]]:
    start = 0
    for piece in pieces:
        ends = sorted(cut for cut in cuts[piece.stem] if piece.first < cut <= piece.end)
        for first, end in zip([piece.first, *ends], ends, strict=False):
            yield start, Piece(piece.stem, first, end)
            start += (end - first) * BLOCK


def _parts(places: range) -> list[range]:
    return [places[start : start + QUERY_TOKENS] for start in range(0, len(places), QUERY_TOKENS)]


def _whole(tokens: int) -> int:
    """`tokens`, rounded up to whole blocks."""
    return -(-tokens // BLOCK) * BLOCK
