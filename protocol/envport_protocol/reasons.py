"""The reason for a score, as it is sent: plain text, and not too much of it."""

from __future__ import annotations

from typing import Any

from envport_protocol.errors import EnvFailedError
from envport_protocol.messages import MAX_REASON_CHARS


def reason_text(component: str, reason: Any) -> str | None:
    """The reason, at most MAX_REASON_CHARS long: from the middle of a longer one is taken what is too much, and the
    rest says how much that was. Halves of UTF-16 pairs, which JSON cannot carry, become U+FFFD.

    Raises:
        EnvFailedError: it is neither text nor None.
    """
    if reason is None:
        return None
    if not isinstance(reason, str):
        raise EnvFailedError(
            f"the reason of the reward component {component!r} is of type {type(reason).__name__}; expected text or "
            "None"
        )
    return cut_middle(reason, MAX_REASON_CHARS).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def cut_middle(text: str, most: int) -> str:
    """`text`, or its two ends and between them how much was left out, `most` characters at most; its beginning alone
    where there is no room for that."""
    if len(text) <= most:
        return text
    kept = most - len(_note(len(text)))
    if kept < 0:
        return text[:most]
    tail = kept // 2
    return text[: kept - tail] + _note(len(text) - kept) + text[len(text) - tail :]


def _note(chars: int) -> str:
    return f" [{chars} characters left out] "
