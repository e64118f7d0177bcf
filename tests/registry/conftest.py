"""A real hub behind a real uvicorn, and small environments to publish."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from envport_protocol.server.serving import bound_socket, url_of
from envport_registry.hub_server import create_hub
from envport_registry.hub_serving import HubServer
from envport_registry.store import Store
from envport_registry.tokens import read_token, register_token, token_file_of

if TYPE_CHECKING:
    import socket
    from contextlib import AbstractContextManager
    from pathlib import Path

    from envport_registry.hub_upload import UploadLimits


@dataclass
class RunningHub:
    url: str
    token: str
    data: Path
    home: Path
    """Of the machine that the hub runs on: `home/hub/token` is its token."""

    @property
    def blobs(self) -> list[Path]:
        return sorted((self.data / "blobs" / "sha256").iterdir())


@pytest.fixture
def start_hub(tmp_path):
    """`start_hub(limits=None)` -> a RunningHub, stopped after the test."""
    running: list[tuple[HubServer, threading.Thread, AbstractContextManager[socket.socket], Store]] = []

    def start(limits: UploadLimits | None = None) -> RunningHub:
        home, data = tmp_path / "hub-home", tmp_path / "hub-data"
        bound = bound_socket("127.0.0.1", 0)
        listener = bound.__enter__()
        store = Store(data)
        register_token(store, token_file_of(home))
        ready = threading.Event()
        server = HubServer(create_hub(store, limits), ready.set)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        running.append((server, thread, bound, store))
        thread.start()
        assert ready.wait(10), "the hub did not start"
        return RunningHub(url_of(listener, "127.0.0.1"), read_token(token_file_of(home)), data, home)

    yield start
    for server, thread, bound, store in running:
        server.should_exit = True
        thread.join(timeout=15)
        bound.__exit__(None, None, None)
        store.close()
        assert not thread.is_alive(), "the hub did not stop"


@pytest.fixture
def hub(start_hub) -> RunningHub:
    return start_hub()


@pytest.fixture
def make_env(tmp_path):
    """`make_env(version="0.1.0", files={path: text}, ...)` -> a new folder with an environment `me/toy`."""
    made = 0

    def make(version="0.1.0", name="toy", namespace="me", summary="Counts to ten", files=None) -> Path:
        nonlocal made
        made += 1
        folder = tmp_path / f"env-{made}"
        folder.mkdir()
        space = f'namespace = "{namespace}"\n' if namespace else ""
        (folder / "envport.toml").write_text(
            f'name = "{name}"\n{space}version = "{version}"\nsummary = "{summary}"\nlicence = "MIT"\n'
            'entry_point = "toy_env:ToyEnv"\n'
        )
        for path, text in {"toy_env/__init__.py": "class ToyEnv: ...\n", **(files or {})}.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        return folder

    return make


@pytest.fixture
def home(tmp_path) -> Path:
    """Of the machine that pulls."""
    return tmp_path / "home"
