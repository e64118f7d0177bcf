"""A completion as the two things that a reward may ask for: its text, and the whole conversation."""

from __future__ import annotations

from typing import Any

from envport_protocol.messages import Message


def completion_text(completion: str | list[Message]) -> str:
    """The completion as text: that of the last assistant message, or nothing where there is none."""
    if isinstance(completion, str):
        return completion
    return next((message.content for message in reversed(completion) if message.role == "assistant"), "")


def conversation(first: list[Message], completion: str | list[Message]) -> list[dict[str, Any]]:
    """The whole conversation as dicts: the rollout's first messages, then the completion.

    A completion that already begins with the first messages is the whole conversation.
    """
    if isinstance(completion, str):
        said = [Message(role="assistant", content=completion)]
    else:
        said = completion[len(first) :] if completion[: len(first)] == first else completion
    return [message.model_dump(exclude_none=True) for message in (*first, *said)]
