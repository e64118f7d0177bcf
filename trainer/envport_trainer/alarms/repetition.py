"""How much of a text repeats itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def repeated_share(token_ids: Sequence[int], n: int = 4) -> float:
    """Share of the n-grams that came before in the same text: 1 - distinct / all, from 0 to below 1.

    0 where there are fewer than `n` tokens. Source: seq-rep-n of 1908.04319, section 6.1.

    Raises:
        ValueError: `n` is below 1.
    """
    if n < 1:
        raise ValueError(f"n is {n}; an n-gram has at least one token")
    count = len(token_ids) - n + 1
    if count < 1:
        return 0.0
    distinct = {tuple(token_ids[start : start + n]) for start in range(count)}
    return 1 - len(distinct) / count
