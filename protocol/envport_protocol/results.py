"""What tools and rewards give back where text or a number alone is not enough, and how a tool's becomes text for the
model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic import BaseModel

from envport_protocol.messages import Outcome, RunToolAnswer, TextContent


@dataclass(frozen=True, slots=True)
class ToolResult:
    """A tool's answer where text alone is not enough."""

    content: Any
    """Text, text blocks, or any value with a JSON form."""
    rewards: Mapping[str, float] = field(default_factory=dict[str, float])
    """Step rewards by component."""
    done: bool = False
    """The rollout is over; the model is not asked again."""


@dataclass(frozen=True, slots=True)
class RewardResult:
    """A component's score with the reason for it: `RewardResult(0.5, reason="2 of 4 fields right: date, title wrong")`.

    The reason reaches the holder of the trainer's token, as the score does, and no model. It lands in logs that people
    read and copy from: leave hidden answers out.
    """

    score: Any
    """A finite number, or None where this rollout cannot be scored."""
    reason: str | None = None
    """Plain text of up to 2000 characters; a longer one loses its middle."""


def run_tool_answer(result: Any) -> RunToolAnswer:
    """The answer on the wire. Text stays text, None is empty, text blocks stay blocks; anything else becomes JSON.

    Raises:
        TypeError, ValueError: the value has no JSON form, or a step reward is not finite.
    """
    if isinstance(result, RunToolAnswer):
        return result
    if isinstance(result, ToolResult):
        return RunToolAnswer(content=_blocks(result.content), rewards=dict(result.rewards), done=result.done)
    return RunToolAnswer(content=_blocks(result))


def tool_error_answer(text: str) -> RunToolAnswer:
    """The model's own fault: it reads the text and goes on; a trainer may learn from it."""
    return RunToolAnswer(content=[TextContent(text=text)], outcome=Outcome.TOOL_ERROR)


def _blocks(value: Any) -> list[TextContent]:
    if isinstance(value, str):
        return [TextContent(text=value)]
    if value is None:
        return []
    if isinstance(value, TextContent):
        return [value]
    if isinstance(value, list) and value and all(_is_block(item) for item in value):
        return [TextContent.model_validate(item) for item in value]
    return [TextContent(text=json.dumps(value, ensure_ascii=False, default=_plain))]


def _is_block(value: Any) -> bool:
    if isinstance(value, TextContent):
        return True
    return isinstance(value, Mapping) and value.get("type") == "text" and isinstance(value.get("text"), str)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, set | frozenset | tuple):
        return list(cast("set[Any]", value))
    return str(value)
