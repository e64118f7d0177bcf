"""Running a hub in this process: open its folder, register its token, listen until told to stop."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn
from envport_protocol.server.serving import bound_socket, url_of

from envport_registry.hub_server import create_hub
from envport_registry.store import Store
from envport_registry.tokens import register_token

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Generator
    from pathlib import Path

    from fastapi import FastAPI

_GRACE_S = 10
"""For transfers that run when the hub is told to stop; a publish that is cut off leaves nothing."""


def serve_hub(data: Path, token_file: Path, host: str, port: int, on_ready: Callable[[str, bool], None]) -> None:
    """Serves the hub in the folder `data` until Ctrl-C or SIGTERM. Port 0 takes a free one.

    `on_ready` gets the URL, as soon as requests are answered, and whether the token file was made just now. Returns
    after SIGTERM, raises KeyboardInterrupt after Ctrl-C.

    Raises:
        ServeError: the port is in use, or the address is not of this machine.
        StorageError: the folder or the token file cannot be used.
    """
    with bound_socket(host, port) as listener:
        store = Store(data)
        try:
            created = register_token(store, token_file)
            server = HubServer(create_hub(store), lambda: on_ready(url_of(listener, host), created))
            server.run(sockets=[listener])
        finally:
            store.close()
    if signal.SIGINT in server.stopped_by:
        raise KeyboardInterrupt


class HubServer(uvicorn.Server):
    """A uvicorn server of the hub's application; calls `on_ready` once it answers."""

    def __init__(self, app: FastAPI, on_ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                access_log=False,
                log_level="warning",
                timeout_graceful_shutdown=_GRACE_S,
            )
        )
        self.stopped_by: list[int] = []
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens, then says so."""
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Takes Ctrl-C and SIGTERM as a wish to stop; a second one stops at once. Restores the handlers after."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._stop_by) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop_by(self, number: int, _: object) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True
        self.stopped_by.append(number)
