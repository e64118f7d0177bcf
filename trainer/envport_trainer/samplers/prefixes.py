"""Keys and values of ids that several requests begin with, by blocks of ids: found again by the ids themselves.

A block's name is a digest of its ids and of the name of the block before it, so that equal names mean equal beginnings.
A stem holds the keys and values of blocks that were computed together; a request takes any run of its blocks.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

BLOCK = 32
"""Ids of a block. Smaller ones share more and take more matrix products: a request computes up to `BLOCK` ids of its
prompt again, and each block is one product a layer."""


@dataclass(eq=False, slots=True)
class Stem:
    """Blocks computed together."""

    names: list[bytes]
    kv: Tensor | None
    """(layers, 2, kv_heads, blocks x BLOCK, D) in fp32; None until the forward pass that computes them is done."""


class Piece(NamedTuple):
    """Blocks `first` to `end` of a stem."""

    stem: Stem
    first: int
    end: int

    @property
    def kv(self) -> Tensor:
        """(layers, 2, kv_heads, n, D), a view."""
        assert self.stem.kv is not None
        return self.stem.kv[:, :, :, self.first * BLOCK : self.end * BLOCK]


class PrefixIndex:
    """The stems that requests to come may begin with: of one version of the weights, at most `most_blocks` blocks, of
    which those unused for longest go first."""

    def __init__(self, most_blocks: int) -> None:
        self._most = most_blocks
        self._blocks = 0
        self._places: dict[bytes, tuple[Stem, int]] = {}
        self._stems: OrderedDict[int, Stem] = OrderedDict()

    def match(self, names: Sequence[bytes]) -> list[Piece]:
        """The longest known beginning of `names`, in order."""
        pieces: list[Piece] = []
        for name in names:
            if name not in self._places:
                break
            stem, place = self._places[name]
            if pieces and pieces[-1].stem is stem and pieces[-1].end == place:
                pieces[-1] = pieces[-1]._replace(end=place + 1)
            else:
                pieces.append(Piece(stem, place, place + 1))
        for piece in reversed(pieces):  # what comes first is used last, and so goes last
            self._stems.move_to_end(id(piece.stem))
        return pieces

    def add(self, stem: Stem) -> None:
        """Make `stem` known. Names that are known already keep their place."""
        self._stems[id(stem)] = stem
        self._blocks += len(stem.names)
        for place, name in enumerate(stem.names):
            self._places.setdefault(name, (stem, place))

    def shrink(self) -> None:
        """Drop what is over the limit; who holds a stem keeps it."""
        while self._blocks > self._most:
            _, stem = self._stems.popitem(last=False)
            self._blocks -= len(stem.names)
            for name in stem.names:
                known = self._places.get(name)  # another stem of the same name may have gone first
                if known is not None and known[0] is stem:
                    del self._places[name]

    def clear(self) -> None:
        """Know nothing any more."""
        self._places.clear()
        self._stems.clear()
        self._blocks = 0


def block_names(ids: Sequence[int], before: bytes = b"") -> list[bytes]:
    """A name for each whole block of `ids`, which go on after the block named `before`."""
    names: list[bytes] = []
    for start in range(0, len(ids) - BLOCK + 1, BLOCK):
        block = array("q", ids[start : start + BLOCK]).tobytes()
        before = hashlib.blake2b(before + block, digest_size=16).digest()
        names.append(before)
    return names
