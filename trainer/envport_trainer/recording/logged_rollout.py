"""One rollout as `rollouts/` keeps it: for people to read, bounded, with no tokens in it.

Everything textual in it was written by a model or an environment: untrusted.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from envport_protocol.reasons import cut_middle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from envport_trainer.evaluation.result import EvalRow
    from envport_trainer.types import Trajectory

MAX_MESSAGE_CHARS = 20_000
"""Of one message; what is longer loses its middle."""
MAX_MESSAGES = 200
"""Of one rollout; the first half and the last half are kept."""


class LoggedComponent(NamedTuple):
    """One component of a rollout's reward."""

    name: str
    score: float | None
    """None where it was not scored."""
    weight: float | None
    """None where it is not known."""
    reason: str | None

    @property
    def share(self) -> float | None:
        """What it gave to the reward, weight x score; None where one of them is."""
        return None if self.score is None or self.weight is None else self.weight * self.score


@dataclass(frozen=True, slots=True)
class LoggedRollout:
    """A finished rollout, without its token ids."""

    env: str
    """URL of its environment."""
    env_digest: str | None
    task_id: str
    """The task's id; `#INDEX` where an evaluated task has none; "" where nothing is known."""
    rollout_id: str
    group: int | None
    """Number of its group in the run; None for held-out rollouts."""
    finish: str
    """Why it ended, a value of `Finish`."""
    reward: float | None
    """None where an evaluated attempt could not be scored."""
    rewards: dict[str, float] = field(default_factory=dict[str, float])
    """Score of each scored component."""
    weights: dict[str, float] = field(default_factory=dict[str, float])
    """Weight of each scored component, as far as known; the reward is the sum of weight x score."""
    reasons: dict[str, str] = field(default_factory=dict[str, str])
    """Why the environment gave a component its score, or none, where it says so; {} in logs of earlier versions."""
    metrics: dict[str, float] = field(default_factory=dict[str, float])
    advantage: float | None = None
    """What it counted by in training; None for held-out rollouts and those that no update saw."""
    prompt_tokens: int | None = None
    sampled_tokens: int | None = None
    tool_calls: int = 0
    tool_errors: int = 0
    policy_version: int | None = None
    messages: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    error: str | None = None
    """Why it could not be scored."""

    def components(self) -> list[LoggedComponent]:
        """The components that were scored, and after them those of which a reason says why they were not."""
        names = dict.fromkeys([*self.rewards, *self.reasons])
        return [
            LoggedComponent(name, self.rewards.get(name), self.weights.get(name), self.reasons.get(name))
            for name in names
        ]

    def as_line(self) -> bytes:
        """One line of JSON with its newline. Numbers that are not finite become null, halves of UTF-16 pairs U+FFFD."""
        return json.dumps(_sound(asdict(self)), allow_nan=False).encode() + b"\n"

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> LoggedRollout:
        """The rollout in a line of the file; fields that this version does not know are passed over.

        Raises:
            TypeError: a field is missing.
        """
        return cls(**{name: part for name, part in value.items() if name in cls.__dataclass_fields__})


class Evaluated(NamedTuple):
    """What an evaluation made on one environment."""

    env: str
    """The environment's URL."""
    env_digest: str | None
    split: str
    rows: Sequence[EvalRow]
    weights: Mapping[str, float]
    """Of the environment's components, as its manifest has them."""


def of_trajectory(trajectory: Trajectory, advantage: float | None = None) -> LoggedRollout:
    """What is kept of a trajectory."""
    return LoggedRollout(
        env=trajectory.env,
        env_digest=trajectory.env_digest,
        task_id=trajectory.task_id or "",
        rollout_id=trajectory.rollout_id,
        group=trajectory.group,
        finish=str(trajectory.finish),
        reward=trajectory.reward,
        rewards=dict(trajectory.rewards),
        weights=dict(trajectory.weights),
        reasons=dict(trajectory.reasons),
        metrics=dict(trajectory.metrics),
        advantage=advantage,
        prompt_tokens=trajectory.prompt_length,
        sampled_tokens=trajectory.sampled_tokens,
        tool_calls=trajectory.tool_calls,
        tool_errors=trajectory.tool_errors,
        policy_version=trajectory.policy_version,
        messages=bounded(trajectory.messages),
    )


def of_eval_row(row: EvalRow, evaluated: Evaluated) -> LoggedRollout:
    """What is kept of one attempt of an evaluation."""
    return LoggedRollout(
        env=evaluated.env,
        env_digest=evaluated.env_digest,
        task_id=row.task_id or f"#{row.index}",
        rollout_id=f"{evaluated.split}-{row.index}",
        group=None,
        finish=row.finish or "",
        reward=row.reward,
        rewards=dict(row.rewards),
        weights={name: evaluated.weights[name] for name in row.rewards if name in evaluated.weights},
        reasons=dict(row.reasons),
        metrics=dict(row.metrics),
        sampled_tokens=row.tokens,
        tool_calls=row.tool_calls,
        tool_errors=row.tool_errors,
        messages=bounded(row.messages),
        error=None if row.error is None else cut(row.error),
    )


def bounded(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages, none longer than `MAX_MESSAGE_CHARS` and no more than `MAX_MESSAGES`, each with what was left out
    said in its place."""
    if len(messages) > MAX_MESSAGES:
        half = MAX_MESSAGES // 2
        gap = {"role": "envport", "content": f"[{len(messages) - 2 * half} messages left out]"}
        messages = [*messages[:half], gap, *messages[-half:]]
    return [{key: _bounded_value(value) for key, value in message.items()} for message in messages]


def cut(text: str, most: int = MAX_MESSAGE_CHARS) -> str:
    """`text`, or its beginning and end where it has more than `most` characters, no longer than that."""
    return cut_middle(text, most)


def _bounded_value(value: Any) -> Any:
    if isinstance(value, str):
        return cut(value)
    told = json.dumps(value, default=str)
    return value if len(told) <= MAX_MESSAGE_CHARS else cut(told)


def _sound(value: Any) -> Any:
    """A JSON value that every reader of JSON takes."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_sound(str(key)): _sound(part) for key, part in value.items()}
    return [_sound(part) for part in value] if isinstance(value, list | tuple) else value
