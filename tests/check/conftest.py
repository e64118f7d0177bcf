"""Servers to be checked: real ones in a thread, with one thing broken where a test wants it."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from envport.check import Access
from envport_protocol.config import ServeConfig
from envport_protocol.server.app import create_app
from envport_protocol.server.serving import EnvServer, bound_socket, url_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from envport_protocol import BaseEnv

TRAINER = "trainer-token-of-the-tests"
AGENT = "agent-token-of-the-tests"
ADMIN = "admin-token-of-the-tests"


class TamperedServer:
    """A server in a thread, of an app that `tamper` may wrap. Each start makes its environment and app anew."""

    def __init__(
        self,
        make_env: Callable[[], BaseEnv],
        config: dict[str, Any],
        tamper: Callable[[Any], Any] = lambda app: app,
        protocol: Callable[[type[Any]], type[Any]] | None = None,
    ) -> None:
        self._make_env = make_env
        self._config = ServeConfig.model_validate(config)
        self._tamper = tamper
        self._protocol = protocol
        self._port = 0
        self.told: str | None = None
        tokens = config.get("tokens") or {}
        self.access = Access(tokens.get("trainer"), tokens.get("agent"))
        self.start()

    def start(self) -> None:
        """Returns when it listens."""
        self._bound = bound_socket("127.0.0.1", self._port)
        listener = self._bound.__enter__()
        self.url = url_of(listener, "127.0.0.1")
        self._port = listener.getsockname()[1]
        app = self._tamper(create_app(self._make_env(), config=self._config))
        self._server = EnvServer(app, shutdown_timeout_s=1)
        if self._protocol is not None:
            self._server.config.http = self._protocol(self._server.config.http)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), daemon=True)
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise RuntimeError("the server did not start")
            time.sleep(0.005)

    def stop(self) -> None:
        """Returns when its thread has ended."""
        self._server.should_exit = True
        self._thread.join(timeout=15)
        self._bound.__exit__(None, None, None)

    async def kill(self) -> None:
        """As near to SIGKILL as a thread comes."""
        await asyncio.to_thread(self.stop)

    def log(self) -> str | None:
        """Where a test gives none, it is not at hand: it goes to the log of the tests."""
        return self.told

    async def start_again(self) -> None:
        """Starts it anew at the same port."""
        self.start()


@pytest.fixture
def serve() -> Iterator[Callable[..., TamperedServer]]:
    """`serve(make_env, config, tamper, protocol)` -> a server, stopped after the test."""
    running: list[TamperedServer] = []

    def start(*args: Any) -> TamperedServer:
        running.append(TamperedServer(*args))
        return running[-1]

    yield start
    for server in running:
        server.stop()


def launcher_of(
    make_env: Callable[[], BaseEnv], config: dict[str, Any], tamper: Any = lambda app: app, told: str | None = None
) -> Any:
    """Starts servers in threads, set by what a check asks for, and by `config` above all. `told` is their log."""

    @asynccontextmanager
    async def launch(asked: dict[str, Any]) -> Any:
        fields = {name: value for name, value in {**asked, **config}.items() if name != "workers" and value is not None}
        server = TamperedServer(make_env, fields, tamper)
        server.told = told
        try:
            yield server
        finally:
            await asyncio.to_thread(server.stop)

    return launch
