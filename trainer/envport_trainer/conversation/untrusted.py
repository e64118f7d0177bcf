"""Text from an environment, made harmless: no document can end the model's turn or open another.

Covered: every special token of the tokenizer, the added tokens that a template writes around turns without their being
marked as special, as DeepSeek's <｜User｜>, and what it writes between two turns as plain text, as Llama 2's [/INST].

Not covered: tags within a turn that are no special tokens, such as </tool_response>; they can make a tool's answer look
as if it ended, and cannot end the turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from transformers import PreTrainedTokenizerBase


class Defuser:
    """Breaks up the texts in `marks` by a space after their first letter."""

    def __init__(self, marks: Iterable[str]) -> None:
        self._marks = sorted((mark for mark in set(marks) if len(mark) > 1), key=len, reverse=True)

    def value(self, value: Any) -> Any:
        """A JSON value whose texts, keys included, hold no mark."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.value(key): self.value(item) for key, item in value.items()}
        return [self.value(item) for item in value] if isinstance(value, list) else value

    def text(self, text: str) -> str:
        """The text without any mark."""
        for mark in self._marks:
            if mark in text:
                text = text.replace(mark, f"{mark[0]} {mark[1:]}")
        return text


def special_texts(tokenizer: PreTrainedTokenizerBase) -> set[str]:
    """What the tokenizer turns into a special token; `all_special_tokens` alone names those with a role."""
    added = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    return added | {str(text) for text in tokenizer.all_special_tokens}


def added_texts(tokenizer: PreTrainedTokenizerBase) -> set[str]:
    """What the tokenizer turns into one token whatever stands around it, special or not."""
    return {token.content for token in tokenizer.added_tokens_decoder.values()}


def turn_marks(rendered: str, contents: tuple[str, ...], added: set[str]) -> set[str]:
    """What `rendered`, a conversation of `contents`, writes around them: each of the `added` tokens, and what stands
    between two contents, or after the last, where that holds no such token."""
    found: set[str] = set()
    rest = rendered
    for content in (*contents, ""):
        between, _, rest = rest.partition(content) if content else (rest, "", "")
        tokens = {token for token in added if token in between}
        plain = {between.strip()} if content != contents[0] and not tokens else set[str]()
        found |= {mark for mark in tokens | plain if len(mark.strip()) > 1}
    return found
