"""A server to be attacked, which must serve a whole rollout after each test."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest
from envport_protocol import BaseEnv, EnvTask, reward, tool
from envport_protocol.config import ServeConfig

from ..conftest import ServerThread
from .wire import Wire, request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envport_protocol.hosting.host import Counts, Host

    from .wire import Reply


class TargetEnv(BaseEnv):
    """Answers at once. Counts the rollouts that it was told of and that have not ended."""

    def __init__(self) -> None:
        self.open: set[str] = set()

    def tasks(self, split):
        return [EnvTask(task_id=f"{split}-{number}", prompt="Say it.", ground_truth="it") for number in range(3)]

    async def start_rollout(self, rollout_id):
        self.open.add(rollout_id)

    async def end_rollout(self, rollout_id):
        self.open.discard(rollout_id)

    @tool
    async def echo(self, text: str) -> str:
        """Says it again."""
        return text

    @tool
    async def add(self, numbers: list[int]) -> int:
        """Their sum."""
        return sum(numbers)

    @tool
    async def page(self) -> str:
        """Says a lot."""
        return "x" * 1_000_000

    @reward()
    async def said(self, completion: str, ground_truth: str) -> float:
        return float(completion == ground_truth)


class Target:
    """A server and what is known of it from outside and from within."""

    def __init__(self, env: Any, config: ServeConfig) -> None:
        self.env = env
        self._thread = ServerThread(env, config)
        self._thread.start()
        self.url = self._thread.url
        parts = urlsplit(self.url)
        self.address = (str(parts.hostname), int(parts.port or 0))
        self._ids = itertools.count()

    def wire(self, deadline_s: float = 10.0) -> Wire:
        """A new connection."""
        return Wire(self.address, deadline_s)

    def ask(self, data: bytes) -> Reply | None:
        """The first answer to these bytes on a connection of their own."""
        with self.wire() as wire:
            wire.send(data)
            return wire.reply()

    def post(self, verb: str, body: bytes, **headers: str) -> Reply | None:
        """The answer to these bytes as the body of a verb."""
        return self.ask(request("POST", f"/v1/{verb}", body, **{"Content_Type": "application/json", **headers}))

    def plays_a_rollout(self) -> None:
        """Asserts that a whole rollout goes through."""
        rollout: dict[str, Any] = {"rollout_id": f"whole-{next(self._ids)}"}
        echo = {"call_id": "c", "tool_name": "echo", "arguments": {"text": "hello"}}
        with httpx.Client(base_url=self.url, timeout=20) as http:
            answers = [
                http.post(f"/v1/{verb}", json=rollout | body)
                for verb, body in (
                    ("start_rollout", {"split": "train", "index": 0}),
                    ("run_tool", echo),
                    ("compute_reward", {"completion": "it"}),
                    ("end_rollout", {}),
                )
            ]
        assert [answer.status_code for answer in answers] == [200] * 4
        assert answers[1].json()["content"] == [{"type": "text", "text": "hello"}]
        assert answers[2].json()["reward"] == 1.0

    @property
    def counts(self) -> Counts:
        """What the server holds and does now."""
        return self.host.counts()

    @property
    def host(self) -> Host:
        """What is behind the routes."""
        return self._thread._server.config.app.state.host

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._thread._server.server_state.connections)

    def open_rollouts(self) -> int:
        """How many rollouts the server holds."""
        return self.counts.rollouts

    def stop(self) -> None:
        """Stops the server."""
        self._thread.stop()


def served(env: BaseEnv | None = None, **settings: Any) -> Iterator[Target]:
    """A target with these settings, for a fixture."""
    target = Target(env or TargetEnv(), ServeConfig(**settings))
    yield target
    target.stop()


@pytest.fixture(scope="module")
def target_of_module() -> Iterator[Target]:
    """One server for all tests of a module."""
    yield from served()


@pytest.fixture
def target(target_of_module: Target) -> Iterator[Target]:
    """The server. After the test it serves a whole rollout, and holds none that the test left open."""
    yield target_of_module
    target_of_module.plays_a_rollout()
    assert target_of_module.env.open == set()
