"""The ways in which models write tool calls: a reader for each, which never raises, and the list of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from envport_trainer.conversation.tool_formats import hermes, llama, mistral, plain_json, xml
from envport_trainer.conversation.tool_formats.call import MAX_CALLS, ToolCall

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FORMATS", "MAX_CALLS", "ToolCall", "ToolFormat"]


@dataclass(frozen=True, slots=True)
class ToolFormat:
    """One way to write calls."""

    name: str
    """As in the setting `tool_format`."""
    read: Callable[[str], list[ToolCall]]
    """The calls of a turn, at most `MAX_CALLS`. Never raises: a malformed call has a `problem`."""
    content: Callable[[str], str]
    """What a turn with calls says beside them."""
    markers: tuple[str, ...]
    """Texts of the form that may be special tokens, and are kept where a turn is decoded."""


FORMATS = {
    name: ToolFormat(name, module.read, module.content, module.MARKERS)
    for name, module in (
        ("hermes", hermes),
        ("xml", xml),
        ("mistral", mistral),
        ("llama", llama),
        ("json", plain_json),
    )
}
"""By name, in the order in which `auto` tries them."""
