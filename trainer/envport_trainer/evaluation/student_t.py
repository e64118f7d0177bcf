"""Student's t, for the intervals of means over few values."""

from __future__ import annotations

import math
from functools import lru_cache

_NORMAL = 1.96


def errors_in_half(n: float | None) -> float:
    """How many standard errors of a mean over `n` values are half of its 95 % interval; as of very many where `n` is
    not known, and NaN below two."""
    if n is None:
        return _NORMAL
    return t_quantile(int(n) - 1) if n >= 2 else math.nan


@lru_cache(maxsize=256)
def t_quantile(degrees: int, share: float = 0.95) -> float:
    """The t with `share` of Student's distribution between -t and t, by bisection; (12.706 for 1 degree and 95 %)."""
    low, high = 0.0, 1.0
    while _t_within(high, degrees) < share:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_within(middle, degrees) < share else (low, middle)
    return (low + high) / 2


def _t_within(t: float, degrees: int) -> float:
    """The share of Student's distribution between -t and t. Source: Abramowitz and Stegun 26.7.3 and 26.7.4."""
    angle = math.atan2(t, math.sqrt(degrees))
    cosine, sine = math.cos(angle), math.sin(angle)
    if degrees % 2:
        term, total = cosine, cosine if degrees > 1 else 0.0
        for k in range(3, degrees - 1, 2):
            term *= cosine * cosine * (k - 1) / k
            total += term
        return (angle + sine * total) * 2 / math.pi
    term = total = 1.0
    for k in range(2, degrees - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    return sine * total
