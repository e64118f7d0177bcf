"""What a model thinks before it speaks: the part of a turn between its tags."""

from __future__ import annotations

from typing import NamedTuple

_TAGS = (("<think>", "</think>"), ("[THINK]", "[/THINK]"))
TAGS = tuple(tag for pair in _TAGS for tag in pair)
"""Special tokens in some tokenizers; kept where a turn is decoded."""


class Thought(NamedTuple):
    """A turn in two."""

    reasoning: str
    said: str


def split_reasoning(text: str, *, opened: bool = False) -> Thought:
    """The reasoning that `text` begins with, and what is said after it.

    `opened` says that the prompt wrote the opening tag. Reasoning that is never closed leaves nothing said.
    """
    for opening, closing in _TAGS:
        begun = text.lstrip().startswith(opening)
        if begun or (opened and closing in text):
            reasoning, _, said = text.partition(closing)
            return Thought(reasoning.lstrip().removeprefix(opening).strip("\n"), said)
    return Thought(text, "") if opened else Thought("", text)


def opens_reasoning(prompt: str) -> bool:
    """Whether a prompt ends with an opening tag."""
    return prompt.rstrip().endswith(tuple(opening for opening, _ in _TAGS))
