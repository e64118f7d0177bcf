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
        """Take over the weights of `model`; prompts that come later are sampled from them alone.

        A sample in flight goes on with the new weights and what it has computed so far. Blocks; may be called from any
        thread."""
        ...

    def sleep(self) -> None:
        """Give memory to the trainer until `wake`. Called with no sample in flight."""
        ...

    def wake(self) -> None:
        """Be ready to sample again; called after `update_weights`."""
        ...

    def close(self) -> None:
        """Free threads and memory."""
        ...


@dataclass(frozen=True, slots=True)
class TokenRow:
    """Token ids of a conversation as the model saw them; `input_ids`, `loss_mask` and `logprobs` have length T."""

    input_ids: list[int]
    loss_mask: list[bool]
    """True where the policy sampled the token, its stop token included; False on prompt and tool text."""
    logprobs: list[float]
    """Sampler's logprob of each sampled token; 0.0 where `loss_mask` is False."""
    prompt_length: int
    """Number of leading ids that the policy did not write in this row."""

    def __post_init__(self) -> None:
        if not len(self.input_ids) == len(self.loss_mask) == len(self.logprobs):
            lengths = len(self.input_ids), len(self.loss_mask), len(self.logprobs)
            raise ValueError(f"input_ids, loss_mask and logprobs differ in length: {lengths}")


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One recorded attempt."""

    env: str
    """The environment's URL."""
    env_digest: str | None
    task_id: str | None
    rollout_id: str
    group: int
    """Number of the group in the run; the rollouts of a group share their task."""
    rows: list[TokenRow]
    """One, to which everything was appended; another begins where the template changed what came before. Each sampled
    token is marked in one row alone."""
    policy_version: int
    """Weight updates that the sampler had when the rollout began; later tokens may be of later versions."""
    finish: Finish
    messages: list[dict[str, Any]]
    """The conversation, for people to read."""
    reward: float
    rewards: dict[str, float] = field(default_factory=dict[str, float])
    """Score of each scored component."""
    weights: dict[str, float] = field(default_factory=dict[str, float])
    """Weight of each scored component; the reward is the sum of weight x score."""
    reasons: dict[str, str] = field(default_factory=dict[str, str])
    """Why the environment gave a component its score, or none, where it says so. For people: no model reads it."""
    metrics: dict[str, float] = field(default_factory=dict[str, float])
    tool_calls: int = 0
    tool_errors: int = 0

    @property
    def sampled_tokens(self) -> int:
        """Tokens that the policy wrote."""
        return sum(sum(row.loss_mask) for row in self.rows)

    @property
    def prompt_length(self) -> int:
        """Tokens of the task."""
        return self.rows[0].prompt_length
