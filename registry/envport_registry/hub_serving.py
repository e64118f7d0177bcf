"""Running a hub in this process: open its folder, register its token, listen until told to stop."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import uvicorn

from envport_registry.errors import PortInUseError
from envport_registry.hub_server import create_hub
from envport_registry.store import Store
from envport_registry.tokens import register_token

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_GRACE_S = 10


def serve_hub(data: Path, token_file: Path, host: str, port: int, on_ready: Callable[[str, bool], None]) -> None:
    """Serves the hub in the folder `data` until SIGINT or SIGTERM.

    `on_ready` gets the URL, as soon as requests are answered, and whether the token file was made just now.

    Raises:
        PortInUseError: the address is taken, or not this machine's.
        StorageError: the folder or the token file cannot be used.
    """
    with listen(host, port) as listener:
        store = Store(data)
        try:
            created = register_token(store, token_file)
            url = url_of(listener)
            HubServer(store, lambda: on_ready(url, created)).run(sockets=[listener])
        finally:
            store.close()


class HubServer(uvicorn.Server):
    """A hub on an open store; calls `on_ready` once it answers."""

    def __init__(self, store: Store, on_ready: Callable[[], None]) -> None:
        app = create_hub(store)
        super().__init__(
            uvicorn.Config(
                app, log_level="warning", access_log=False, timeout_graceful_shutdown=_GRACE_S, server_header=False
            )
        )
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, and tells when it is done."""
        await super().startup(sockets)
        if self.started:
            self._on_ready()


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on the address; port 0 takes a free one.

    Raises:
        PortInUseError: the address is taken, or not this machine's.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise PortInUseError(
            f"the hub cannot listen on {host} port {port} ({error.strerror or error}): is another hub running there? "
            "give another --port, or 0 for a free one"
        ) from error


def url_of(listener: socket.socket) -> str:
    """The base URL of a listening socket, `http://127.0.0.1:8800`."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
