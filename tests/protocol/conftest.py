"""A plain HTTP client for the tests of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from envport_protocol import BaseEnv
    from envport_protocol.config import ServeConfig


class Api:
    """One server: its verbs as methods, each giving the HTTP response."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx.Client(base_url=url, timeout=20)

    def get(self, path: str, **query: Any) -> httpx.Response:
        return self.http.get(path, params=query)

    def post(self, verb: str, **body: Any) -> httpx.Response:
        return self.http.post(f"/v1/{verb}", json=body)

    def start(self, rollout_id: str = "r1", **task: Any) -> httpx.Response:
        task = task or {"messages": [{"role": "user", "content": "Question?"}], "ground_truth": "42"}
        return self.post("start_rollout", rollout_id=rollout_id, **task)

    def run_tool(self, tool_name: str, call_id: str = "c1", rollout_id: str = "r1", **arguments: Any) -> httpx.Response:
        return self.post("run_tool", rollout_id=rollout_id, call_id=call_id, tool_name=tool_name, arguments=arguments)

    def score(self, completion: Any, rollout_id: str = "r1", **more: Any) -> httpx.Response:
        return self.post("compute_reward", rollout_id=rollout_id, completion=completion, **more)

    def end(self, rollout_id: str = "r1") -> httpx.Response:
        return self.post("end_rollout", rollout_id=rollout_id)


@pytest.fixture
def api(serve_env: Callable[..., str]) -> Iterator[Callable[..., Api]]:
    """`api(env, config=None)` -> Api of a server of that environment."""
    opened: list[Api] = []

    def connect(env: BaseEnv, config: ServeConfig | None = None) -> Api:
        opened.append(Api(serve_env(env, config)))
        return opened[-1]

    yield connect
    for one in opened:
        one.http.close()
