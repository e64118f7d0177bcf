"""The values that flow through the trainer: a request to the sampler, its answer, and a finished trajectory.

Shape suffixes used everywhere in this package: `_T` tokens of one trajectory, `_N` loss tokens of a batch, `_G`
rollouts of one group, `_V` the vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager

    from torch import nn


class Finish(StrEnum):
    """Why a rollout ended."""

    STOP = "stop"
    """The model ended its turn and called no tool."""
    LENGTH = "length"
    """The token budget ran out: truncated."""
    TURNS = "turns"
    """The limit of turns ran out."""
    DONE = "done"
    """A tool said that the rollout is over."""


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """One completion to sample. Equal requests give equal answers from one policy, whatever else is in the batch."""

    prompt_ids: Sequence[int]
    max_new_tokens: int
    temperature: float = 1.0
    """0 means greedy. No top-p or top-k: they would bias the ratio by the mass they cut."""
    seed: int = 0
    """Unique for each request of a run: equal seeds on one prompt give equal text."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Sampled ids with their logprobs at the request's temperature. The stop token, when sampled, is the last id."""

    token_ids: list[int]
    logprobs: list[float]
    truncated: bool
    """True where `max_new_tokens` ran out before a stop token."""


class Sampler(Protocol):
    """What turns prompts into completions under the current policy."""

    async def sample(self, request: SampleRequest) -> Sample:
        """Sample one completion. Calls made at the same time are batched."""
        ...

    def rollout(self) -> AbstractAsyncContextManager[None]:
        """Held open while a rollout lives, so that a batching sampler knows how many requests may still come."""
        ...

    def update_weights(self, model: nn.Module) -> None:
        """Take over the weights of `model`; later samples come from them alone. Called with no sample in flight."""
        ...

    def close(self) -> None:
        """Free threads and memory."""
        ...


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One recorded attempt. `input_ids`, `loss_mask` and `logprobs` have equal length T."""

    env: str
    """The environment's URL."""
    env_digest: str | None
    task_id: str | None
    rollout_id: str
    group: int
    """Number of the group within the step; the rollouts of a group share their task."""
    input_ids: list[int]
    loss_mask: list[bool]
    """True where the policy sampled the token, its stop token included; False on prompt and tool text."""
    logprobs: list[float]
    """Sampler's logprob of each sampled token; 0.0 where `loss_mask` is False."""
    prompt_length: int
    """Number of leading ids that the policy did not write: the task, mostly the same for the whole group."""
    policy_version: int
    finish: Finish
    messages: list[dict[str, Any]]
    """The conversation, for people to read."""
    reward: float
    rewards: dict[str, float] = field(default_factory=dict[str, float])
    """Score of each scored component."""
    metrics: dict[str, float] = field(default_factory=dict[str, float])
    tool_calls: int = 0
    tool_errors: int = 0

    def __post_init__(self) -> None:
        if not len(self.input_ids) == len(self.loss_mask) == len(self.logprobs):
            lengths = len(self.input_ids), len(self.loss_mask), len(self.logprobs)
            raise ValueError(f"input_ids, loss_mask and logprobs differ in length: {lengths}")
