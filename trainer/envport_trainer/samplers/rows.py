"""A request that is being sampled, and the keys and values that it has to itself.

These lie in lanes of one capacity each. A request moves to a lane of twice the capacity when it outgrows its own, so a
short request is not computed at the length of a long one, and nothing is copied at every token.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy
import torch

from envport_trainer.samplers.prefixes import BLOCK, Piece, block_names
from envport_trainer.types import Sample, SampleRequest

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from torch import Tensor

_UNIFORMS = 256
"""Uniform numbers drawn at once."""
LEAST_CAPACITY = 2 * BLOCK
SPARE_TOKENS = 128
"""Room for new tokens that a request gets at first, if it may take as many: short answers never move."""


@dataclass(eq=False)
class Row:
    """What is known of a request: its keys and values are those of `shared`, then those of its own in `lane`."""

    request: SampleRequest
    version: int
    """Of the weights that its prompt is computed with."""
    token_ids: list[int] = field(default_factory=list[int])
    logprobs: list[float] = field(default_factory=list[float])
    stopped: bool = False
    shared: list[Piece] = field(default_factory=list[Piece])
    lane: Lane = field(init=False)
    place: int = field(init=False)

    def __post_init__(self) -> None:
        self.prompt = tuple(self.request.prompt_ids)
        self.names = block_names(self.prompt[:-1])
        """Of the prompt's blocks; its last id is never in one, since its hidden state is needed."""
        self._random = numpy.random.Generator(numpy.random.Philox(self.request.seed))
        self._uniforms: list[float] = []

    @property
    def position(self) -> int:
        """Place in the conversation of the id that was sampled last; the keys and values before it are stored."""
        return len(self.prompt) + len(self.token_ids) - 1

    @property
    def own_start(self) -> int:
        """Place in the conversation of the first token whose keys and values are the row's own."""
        return BLOCK * sum(piece.end - piece.first for piece in self.shared)

    def uniform(self) -> float:
        """The number for the next token, in [0, 1): of the seed and of the token's number alone."""
        while len(self._uniforms) <= len(self.token_ids):
            self._uniforms += self._random.random(_UNIFORMS).tolist()
        return self._uniforms[len(self.token_ids)]

    def append(self, token: int, logprob: float, stop_ids: Collection[int]) -> None:
        """Record a sampled token."""
        self.token_ids.append(token)
        self.logprobs.append(logprob)
        self.stopped = token in stop_ids

    @property
    def done(self) -> bool:
        """Whether nothing more is to be sampled."""
        return self.stopped or len(self.token_ids) >= self.request.max_new_tokens

    def sample(self) -> Sample:
        """The answer."""
        return Sample(self.token_ids, self.logprobs, truncated=not self.stopped)


class Lane:
    """Requests of up to `capacity` tokens of their own, in the first places of one tensor."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.rows: list[Row] = []
        self._kv: Tensor | None = None

    @property
    def kv(self) -> Tensor:
        """(layers, 2, places, kv_heads, capacity, D) in fp32, finite everywhere."""
        assert self._kv is not None
        return self._kv

    def put(self, rows: Sequence[Row], owns: Sequence[Tensor]) -> None:
        """Give each row a place, with its keys and values (layers, 2, kv_heads, n, D)."""
        places = len(self.rows) + len(rows)
        if self._kv is None or places > self._kv.shape[2]:
            held = 0 if self._kv is None else self._kv.shape[2]
            self._resize(max(places, 2 * held), owns[0])
        for row, own in zip(rows, owns, strict=True):
            row.lane, row.place = self, len(self.rows)
            self.kv[:, :, row.place, :, : own.shape[3]] = own
            self.rows.append(row)

    def own(self, row: Row, first: int, end: int) -> Tensor:
        """The row's keys and values of its own tokens `first` to `end`, a view."""
        return self.kv[:, :, row.place, :, first:end]

    def drop(self, row: Row) -> None:
        """Free the row's place; the last row takes it."""
        last = self.rows.pop()
        if last is not row:
            self.kv[:, :, row.place] = self.kv[:, :, last.place]
            self.rows[row.place] = last
            last.place = row.place
        if not self.rows:
            self._kv = None
        elif 4 * len(self.rows) <= self.kv.shape[2] and self.kv.shape[2] > 4:
            self._resize(2 * len(self.rows), self.kv)

    def _resize(self, places: int, like: Tensor) -> None:
        layers, _, *_, dim = like.shape
        old, kept = self._kv, min(places, len(self.rows))
        self._kv = like.new_zeros((layers, 2, places, like.shape[-3], self.capacity, dim), dtype=torch.float32)
        if old is not None:
            self._kv[:, :, :kept] = old[:, :, :kept]


class Lanes:
    """All requests' own keys and values."""

    def __init__(self) -> None:
        self._lanes: dict[int, Lane] = {}

    def used(self) -> list[Lane]:
        """The lanes that hold requests."""
        return [lane for _, lane in sorted(self._lanes.items()) if lane.rows]

    def put(self, rows: Sequence[Row], owns: Sequence[Tensor]) -> None:
        """Store each row's keys and values (layers, 2, kv_heads, n, D), with room for one more token at least."""
        by_capacity: dict[int, list[int]] = {}
        for number, (row, own) in enumerate(zip(rows, owns, strict=True)):
            left = row.request.max_new_tokens - len(row.token_ids)
            by_capacity.setdefault(_capacity(own.shape[3] + max(1, min(left, SPARE_TOKENS))), []).append(number)
        for capacity, numbers in by_capacity.items():
            lane = self._lanes.setdefault(capacity, Lane(capacity))
            lane.put([rows[number] for number in numbers], [owns[number] for number in numbers])

    def make_room(self, rows: Sequence[Row]) -> bool:
        """Move those of the rows that have no room for one more token; True where any moved."""
        full = [row for row in rows if row.position - row.own_start >= row.lane.capacity]
        owns = [row.lane.own(row, 0, row.lane.capacity).clone() for row in full]
        for row in sorted(full, key=lambda row: -row.place):  # the last first: nothing is to close up
            row.lane.drop(row)
        self.put(full, owns)
        return bool(full)


def _capacity(tokens: int) -> int:
    capacity = LEAST_CAPACITY
    while capacity < tokens:
        capacity *= 2
    return capacity
