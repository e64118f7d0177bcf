"""Fixtures for every folder of tests."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from envport_protocol import BaseEnv
    from envport_protocol.config import ServeConfig

    ServeEnv = Callable[..., str]


_OF_THE_SUITE = {"ENVPORT_BASE_IMAGE", "ENVPORT_TEST_MODEL"}


@pytest.fixture(autouse=True, scope="session")
def none_of_the_shells_variables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whatever tokens, addresses and folders the shell exports for envport, no test and no server of one has them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("ENVPORT_") and name not in _OF_THE_SUITE]:
            patch.delenv(name)
        patch.setenv("ENVPORT_HOME", str(tmp_path_factory.mktemp("home")))
        yield


# A shell that starts jobs in the background lets them ignore Ctrl-C; the tests send it, to themselves and to children.
signal.signal(signal.SIGINT, signal.default_int_handler)


class ServerThread:
    """An environment behind a real uvicorn on a free port of 127.0.0.1, in a thread of its own."""

    def __init__(self, env: BaseEnv, config: ServeConfig | None) -> None:
        from envport_protocol.server.app import create_app
        from envport_protocol.server.serving import EnvServer, bound_socket, url_of

        self._bound = bound_socket("127.0.0.1", 0)
        listener = self._bound.__enter__()
        self.url = url_of(listener, "127.0.0.1")
        self._server = EnvServer(create_app(env, config=config), shutdown_timeout_s=1)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), daemon=True)

    def start(self) -> None:
        """Returns when it listens."""
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
        if self._thread.is_alive():
            raise RuntimeError("the server did not stop")


@pytest.fixture
def serve_env() -> Iterator[ServeEnv]:
    """`serve_env(env, config=None)` -> base URL of a server of that environment, stopped after the test."""
    running: list[ServerThread] = []

    def serve(env: BaseEnv, config: ServeConfig | None = None) -> str:
        server = ServerThread(env, config)
        running.append(server)
        server.start()
        return server.url

    yield serve
    for server in running:
        server.stop()
