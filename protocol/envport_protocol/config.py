"""What can be set for a server."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from envport_protocol.messages import Limits


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
    max_calls_per_rollout: Annotated[int, Field(ge=1)] = 100_000
    """Their answers are kept for retries until the rollout ends."""
    max_tombstones: Annotated[int, Field(ge=1)] = 100_000
    """Ended rollout ids that are remembered, about 300 bytes each."""
    idle_timeout_s: Annotated[float, Field(gt=0)] = 600.0
    """A rollout that nothing was asked of for so long expires."""
    call_timeout_s: Annotated[float, Field(gt=0)] = 60.0
    """Deadline of every call; a client may ask for less."""
    max_body_bytes: Annotated[int, Field(ge=1)] = 4 * 2**20
    max_threads: Annotated[int, Field(ge=1)] = 64
    """Blocking methods that run at a time; more wait in line."""

    @property
    def limits(self) -> Limits:
        """The part that clients are told."""
        return Limits(
            max_rollouts=self.max_rollouts,
            idle_timeout_s=self.idle_timeout_s,
            call_timeout_s=self.call_timeout_s,
            max_body_bytes=self.max_body_bytes,
        )
