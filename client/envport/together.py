"""Several calls at once, none of them left behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

T = TypeVar("T")


async def all_ended(jobs: Iterable[Awaitable[T]]) -> list[T]:
    """What `jobs` return, in their order, when the last one has ended. Cancelled, it cancels them.

    Raises:
        Exception: that of the first of `jobs` that raised, in their order.
    """
    ended = await asyncio.gather(*jobs, return_exceptions=True)
    for one in ended:
        if isinstance(one, BaseException):
            raise one
    return [one for one in ended if not isinstance(one, BaseException)]
