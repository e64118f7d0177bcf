"""The keys and values that each request has to itself, in lanes of one capacity each.

A request moves to the lane of twice the capacity when it outgrows its own, so memory stays below twice what is used,
and a short request is not computed at the length of a long one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from envport_trainer.samplers.prefixes import BLOCK

if TYPE_CHECKING:
    from torch import Tensor

    from envport_trainer.samplers.rows import Row

LEAST_CAPACITY = 2 * BLOCK


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

    def put(self, row: Row, own: Tensor) -> None:
        """Give `row` a place, with its keys and values (layers, 2, kv_heads, n, D)."""
        place = len(self.rows)
        if self._kv is None or place == self._kv.shape[2]:
            self._resize(max(4, 2 * place), own)
        self.kv[:, :, place, :, : own.shape[3]] = own
        self.rows.append(row)
        row.place = place

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

    def put(self, row: Row, own: Tensor) -> None:
        """Store the row's keys and values (layers, 2, kv_heads, n, D), with room for one more token at least."""
        capacity = LEAST_CAPACITY
        while capacity <= own.shape[3]:
            capacity *= 2
        row.lane = self._lanes.setdefault(capacity, Lane(capacity))
        row.lane.put(row, own)

    def make_room(self, row: Row, length: int) -> bool:
        """Move `row`, which has `length` tokens of its own, where one more fits; True where it moved."""
        if length < row.lane.capacity:
            return False
        own = row.lane.own(row, 0, length).clone()
        row.lane.drop(row)
        self.put(row, own)
        return True
