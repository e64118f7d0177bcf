"""One rollout that is held, and what may be run in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from envport_protocol.errors import WireError
    from envport_protocol.hosting.stored_call import StoredCall

S = TypeVar("S")

CALL_BYTES = 512
"""What a kept call takes beside its request and its answer."""


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """How much a store may hold, and for how long."""

    max_rollouts: int = 1000
    max_queued: int = 0
    queue_timeout_s: float = 5.0
    max_running_calls: int = 4096
    idle_timeout_s: float = 600.0
    orphan_grace_s: float = 15.0
    end_timeout_s: float = 60.0
    """Deadline of the author's code that frees a rollout."""
    max_calls: int = 100_000
    """Tool calls of one rollout; their answers are kept until it ends."""
    max_bytes: int = 64 * 2**20
    """What is kept of the tool calls of one rollout."""
    max_tombstones: int = 100_000
    """Ended ids that are remembered; the oldest are forgotten first."""


class Job(NamedTuple, Generic[S]):
    """One call to be run."""

    key: str
    """Names the call within its rollout."""
    fingerprint: bytes
    """Equal for equal arguments."""
    work: Callable[[S], Coroutine[object, object, bytes]]
    timeout_s: float
    request: bytes = b""
    """What it takes to run it again."""
    verb: str = ""
    tool: str | None = None
    """The tool that it runs. Calls of tools are bounded; a reward is always possible."""


class Held(NamedTuple, Generic[S]):
    """One rollout that is held now; times in seconds."""

    rollout_id: str
    state: S
    age_s: float
    idle_s: float
    calls: int
    running: int


@dataclass(slots=True)
class Rollout(Generic[S]):
    """What a store knows of a rollout. Times by the store's clock."""

    state: S
    begun_at: float
    used_at: float
    start: StoredCall
    calls: dict[str, StoredCall] = field(default_factory=dict[str, "StoredCall"])
    kept_bytes: int = 0
    """Of its calls: their requests and answers."""
    running: int = 0
    end: asyncio.Future[WireError | None] | None = None
    end_reason: str = "ended"

    def keep(self, call: StoredCall) -> None:
        """Counts what a call takes, now that it has its outcome."""
        answer = len(call.outcome) if isinstance(call.outcome, bytes) else 0
        self.kept_bytes += CALL_BYTES + len(call.request) + answer
