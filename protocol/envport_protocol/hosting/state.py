"""What the server knows of one rollout."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from envport_protocol.errors import EnvFailedError
from envport_protocol.messages import Message

if TYPE_CHECKING:
    from envport_protocol.messages import StartRolloutRequest
    from envport_protocol.task import EnvTask
    from envport_protocol.toolset import ToolSet


@dataclass(slots=True)
class RolloutState:
    """One rollout, apart from its calls."""

    rollout_id: str
    tools: ToolSet
    start: StartRolloutRequest = field(init=False)
    """Set when the start begins. Of a fork: that of the rollout it was forked from."""
    task: EnvTask | None = None
    """None until the start found it."""
    messages: list[Message] = field(default_factory=list[Message])
    """Those it began with."""
    is_begun: bool = False
    """The author's code was told of the rollout, so it must be told of its end."""

    @property
    def truth_is_ours(self) -> bool:
        """The task is the environment's own, so no trainer may bring another ground truth."""
        return self.start.messages is None

    @property
    def begun_task(self) -> EnvTask:
        """The task.

        Raises:
            EnvFailedError: the start has not found it yet.
        """
        if self.task is None:
            raise EnvFailedError(f"the rollout {self.rollout_id!r} has no task yet")
        return self.task

    def inputs(self) -> dict[str, Any]:
        """What the author's methods may ask for by name."""
        task = self.begun_task
        return {
            "rollout_id": self.rollout_id,
            "seed": self.start.seed,
            "task": task,
            "messages": [message.model_dump(exclude_none=True) for message in self.messages],
            "ground_truth": task.ground_truth,
            "metadata": task.metadata,
        }
