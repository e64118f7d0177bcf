"""Text of models and environments, made safe to look at: what would steer a terminal or turn text is spelled out.

HTML is not its business: the page escapes all text besides.
"""

from __future__ import annotations

import unicodedata

_JOINERS = "\u200c\u200d"
"""They hold letters and emoji together, and cannot deceive."""
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
"""Unicode's control, format, surrogate and private characters, and its line and paragraph separators."""


def visible(text: str) -> str:
    r"""`text` with line ends and tabs as they are and every other invisible character as `\u{202e}`."""
    if text.isascii() and text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return "".join(_shown(char) for char in text)


def _shown(char: str) -> str:
    plain = char in "\n\t" or char in _JOINERS or unicodedata.category(char) not in _HIDDEN
    return char if plain else f"\\u{{{ord(char):x}}}"


def printable(text: str) -> str:
    """`text` on one line: `visible`, line ends and tabs spelled out too."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")
