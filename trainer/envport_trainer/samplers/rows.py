"""A request that is being sampled."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy

from envport_trainer.samplers.prefixes import BLOCK, Piece, block_names
from envport_trainer.types import Sample, SampleRequest

if TYPE_CHECKING:
    from collections.abc import Collection

    from envport_trainer.samplers.row_storage import Lane

_UNIFORMS = 256
"""Uniform numbers drawn at once."""


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
