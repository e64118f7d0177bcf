"""What can be set for a server."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic reads the annotation
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from envport_protocol.messages import Limits

Secret = Annotated[SecretStr, Field(min_length=16, max_length=512)]
"""A bearer token. Shorter ones could be guessed."""


class Tokens(BaseModel):
    """The bearer tokens of a server. A scope without a token is closed to everybody but admin."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trainer: Secret | None = None
    """May do everything with rollouts, rewards included."""
    agent: Secret | None = None
    """May list and run the tools of any rollout, and no more."""
    admin: Secret | None = None
    """May do what a trainer may, and see all open rollouts."""

    @model_validator(mode="after")
    def _distinct(self) -> Tokens:
        given = [token.get_secret_value() for token in (self.trainer, self.agent, self.admin) if token is not None]
        if not given:
            raise ValueError("give at least one token, or no tokens at all")
        if len(set(given)) != len(given):
            raise ValueError("two scopes have the same token; each needs its own")
        return self


class ServeConfig(BaseModel):
    """How an environment is served. Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str | None = None
    """Name in the manifest. None: the class's name."""
    version: str = "0.0.0"
    summary: str = ""
    licence: str | None = None
    digest: str | None = None
    """Content digest of the published bundle, for the manifest."""
    reward_weights: dict[str, float] = {}
    """Weights by component, over those of the environment."""
    max_rollouts: Annotated[int, Field(ge=1)] = 1000
    """Rollouts held at a time; one more is 503. A training step of 64 groups of 8 fits with room."""
    max_queued: Annotated[int, Field(ge=0)] = 256
    """Starts that wait in line for room; one more is 503 at once."""
    queue_timeout_s: Annotated[float, Field(gt=0)] = 5.0
    """How long a start waits in that line before it is 503."""
    max_running_calls: Annotated[int, Field(ge=1)] = 4096
    """Calls that run at a time, over all rollouts; one more is 503."""
    max_calls_per_rollout: Annotated[int, Field(ge=1)] = 100_000
    """Their answers are kept for retries until the rollout ends."""
    max_rollout_bytes: Annotated[int, Field(ge=1)] = 64 * 2**20
    """What is kept of a rollout's tool calls: answers and, for replay, arguments. Over it only a reward is possible."""
    max_tombstones: Annotated[int, Field(ge=1)] = 100_000
    """Ended rollout ids that are remembered, about 300 bytes each."""
    idle_timeout_s: Annotated[float, Field(gt=0)] = 600.0
    """A rollout that nothing was asked of for so long expires."""
    call_timeout_s: Annotated[float, Field(gt=0)] = 60.0
    """Deadline of every call; a client may ask for less."""
    orphan_grace_s: Annotated[float, Field(gt=0)] = 15.0
    """A running call that no client waits for any more is cancelled after this. Longer than a client pauses between
    two tries, so that one whose connection broke finds its call again."""
    max_body_bytes: Annotated[int, Field(ge=1)] = 4 * 2**20
    max_header_bytes: Annotated[int, Field(ge=1024)] = 32 * 2**10
    """URL and headers of one request together."""
    max_batch: Annotated[int, Field(ge=1, le=1024)] = 256
    """Calls in one batch."""
    request_timeout_s: Annotated[float, Field(gt=0)] = 30.0
    """Headers, and then the body, must have come whole after so long."""
    max_threads: Annotated[int, Field(ge=1)] = 64
    """Blocking methods that run at a time; more wait in line."""
    tokens: Tokens | None = None
    """None: everybody may do everything, which is right on loopback only."""
    rollout_secret: Annotated[SecretStr, Field(min_length=32)] | None = None
    """Key of the rollouts' own tokens; all workers of a server share it. None: a random one, kept in the journal."""
    journal: Path | None = None
    """Folder of the journal, from which rollouts are rebuilt after a restart. None: a restart loses them."""
    options_digest: str | None = None
    """Names the options that the environment was made with: rollouts that were journaled under others are lost."""

    @property
    def limits(self) -> Limits:
        """The part that clients are told."""
        return Limits(
            max_rollouts=self.max_rollouts,
            idle_timeout_s=self.idle_timeout_s,
            call_timeout_s=self.call_timeout_s,
            max_body_bytes=self.max_body_bytes,
            max_batch=self.max_batch,
            max_queued=self.max_queued,
        )
