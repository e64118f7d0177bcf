"""What goes on for as long as an app serves."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from contextlib import AbstractAsyncContextManager

    from starlette.applications import Starlette


def run_during(app: Starlette, during: Callable[[], AbstractAsyncContextManager[None]]) -> None:
    """`during()` is entered before the app begins to serve, and left after it has stopped."""
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(running: Any) -> AsyncGenerator[Any]:
        async with during(), inner(running) as state:
            yield state

    app.router.lifespan_context = lifespan
