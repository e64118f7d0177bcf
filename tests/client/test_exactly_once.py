"""Answers get lost on the way back; the environment's code runs once all the same."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import envport
import httpx
import pytest
from envport.over_aiohttp import OverAiohttp
from envport.retry import Retryable
from envport_protocol import BaseEnv, EnvTask, reward, tool
from envport_protocol.config import ServeConfig
from envport_protocol.server.app import create_app

if TYPE_CHECKING:
    from envport.http import Http, RawAnswer


class CountingEnv(BaseEnv):
    """Counts what runs."""

    def __init__(self) -> None:
        self.ran = Counter()

    def tasks(self, split):
        return [EnvTask(task_id="t-0", prompt="Count.", ground_truth="done")]

    def start_rollout(self, rollout_id, task):
        self.ran["start_rollout"] += 1

    @tool
    def count(self, by: int) -> str:
        """Adds to the counter."""
        self.ran["count"] += by
        return f"now {self.ran['count']}"

    @tool
    def breaks(self) -> str:
        """Fails."""
        self.ran["breaks"] += 1
        raise RuntimeError("no more")

    @reward(weight=0.5)
    def match(self, completion, ground_truth):
        self.ran["match"] += 1
        return float(completion == ground_truth)

    def end_rollout(self, rollout_id):
        self.ran["end_rollout"] += 1


class LosesAnswers(httpx.AsyncBaseTransport):
    """Lets the server finish each call, then drops the first `times` answers to it."""

    def __init__(self, inner: httpx.AsyncBaseTransport, times: int) -> None:
        self._inner = inner
        self._times = times
        self.lost: Counter[str] = Counter()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        path = request.url.path
        if self.lost[path] < self._times:
            await response.aread()
            await response.aclose()
            self.lost[path] += 1
            raise httpx.ReadError("connection reset by peer", request=request)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class LosesAnswersToo:
    """The same of this client's own connections."""

    def __init__(self, token: str | None, times: int) -> None:
        self._inner: Http = OverAiohttp(token)
        self._times = times
        self.lost: Counter[str] = Counter()

    async def send(self, method: str, url: str, body: bytes | None, request_id: str, **options: Any) -> RawAnswer:
        answer = await self._inner.send(method, url, body, request_id, **options)
        path = httpx.URL(url).path
        if self.lost[path] < self._times:
            self.lost[path] += 1
            raise Retryable(envport.TransportError(url, "connection reset by peer"))
        return answer

    async def close(self) -> None:
        await self._inner.close()


class CutsBatches(LosesAnswersToo):
    """Cuts the first `times` batches after one line."""

    async def send(self, method: str, url: str, body: bytes | None, request_id: str, **options: Any) -> RawAnswer:
        on_chunk = options.get("on_chunk")
        if on_chunk is None or self.lost["/v1/batch"] >= self._times:
            return await self._inner.send(method, url, body, request_id, **options)
        self.lost["/v1/batch"] += 1
        lines: list[bytes] = []
        await self._inner.send(method, url, body, request_id, on_chunk=lines.append)
        on_chunk(b"".join(lines).split(b"\n")[0] + b"\n")
        raise Retryable(envport.TransportError(url, "connection reset by peer"))


async def drive(connected):
    async with connected as env, await env.start_rollout(split="train", index=0) as rollout:
        said = [(await rollout.run_tool("count", {"by": by})).text for by in (1, 2)]
        with pytest.raises(envport.EnvFailedError, match="tool 'breaks' raised RuntimeError"):
            await rollout.run_tool("breaks")
        reward = (await rollout.compute_reward("done")).reward
    return said, reward


ONCE = {"start_rollout": 1, "count": 3, "breaks": 1, "match": 1, "end_rollout": 1}
LOST = {f"/v1/{verb}": 2 for verb in ("manifest", "start_rollout", "run_tool", "compute_reward", "end_rollout")}


async def test_each_call_runs_once_though_its_answers_are_lost():
    env = CountingEnv()
    lossy = LosesAnswers(httpx.ASGITransport(create_app(env)), times=2)
    async with httpx.AsyncClient(transport=lossy) as http:
        assert await drive(envport.connect("http://env.test", http=http)) == (["now 1", "now 3"], 0.5)
    assert env.ran == ONCE
    assert lossy.lost == LOST


async def test_each_call_runs_once_over_real_connections_too(serve_env, monkeypatch):
    env = CountingEnv()
    lossy = LosesAnswersToo(None, times=2)
    monkeypatch.setattr(envport.EnvClient, "_open_http", lambda _: lossy)
    assert await drive(envport.connect(serve_env(env))) == (["now 1", "now 3"], 0.5)
    assert env.ran == ONCE
    assert lossy.lost == LOST


async def test_each_call_of_a_batch_runs_once_though_the_batch_is_cut(serve_env, monkeypatch):
    env = CountingEnv()
    lossy = CutsBatches(None, times=3)
    monkeypatch.setattr(envport.EnvClient, "_open_http", lambda _: lossy)
    async with envport.connect(serve_env(env)) as client:
        group = await client.start_group(8, split="train", index=0)
        said = await asyncio.gather(*(rollout.run_tool("count", {"by": 1}) for rollout in group))
        rewards = await client.compute_group_reward([(rollout, "done") for rollout in group])
        await asyncio.gather(*(rollout.end() for rollout in group))
    assert sorted(answer.text for answer in said) == [f"now {number}" for number in range(1, 9)]
    assert [answer.reward for answer in rewards] == [0.5] * 8
    assert env.ran == {"start_rollout": 8, "count": 8, "match": 8, "end_rollout": 8}
    assert lossy.lost == {"/v1/batch": 3}


class SlowEnv(BaseEnv):
    """A tool that waits until it is let go."""

    def __init__(self, expected: int) -> None:
        self.runs = 0
        self._expected = expected
        self._all_in = asyncio.Event()

    @tool
    async def wait(self) -> str:
        """Returns when as many calls as expected are in."""
        self.runs += 1
        if self.runs == self._expected:
            self._all_in.set()
        await self._all_in.wait()
        return "all in"


async def test_hundreds_of_calls_are_under_way_at_once(serve_env):
    env = SlowEnv(expected=300)
    async with envport.connect(serve_env(env)) as client:

        async def one() -> str:
            async with await client.start_rollout(messages=[{"role": "user", "content": ""}]) as rollout:
                return (await rollout.run_tool("wait")).text

        assert await asyncio.gather(*(one() for _ in range(300))) == ["all in"] * 300
    assert env.runs == 300


async def test_a_call_that_outlasts_the_client_is_joined_and_not_run_again(serve_env, monkeypatch):
    monkeypatch.setattr("envport.transport.MARGIN_S", 0.05)

    class Late(BaseEnv):
        runs = 0

        @tool
        async def late(self) -> str:
            """Takes longer than the client waits, once."""
            type(self).runs += 1
            await asyncio.sleep(0.3)
            return "at last"

    # The server's own limit is told as 60 s, so only this client is in a hurry.
    async with envport.connect(serve_env(Late())) as env:
        env._transport.timeout_s = 0.05
        rollout = await env.start_rollout(messages=[{"role": "user", "content": ""}])
        assert (await rollout.run_tool("late")).text == "at last"
    assert Late.runs == 1


async def test_a_late_tool_is_told_by_the_server(serve_env):
    async with (
        envport.connect(serve_env(SlowEnv(expected=2)), timeout_s=0.1) as env,
        await env.start_rollout(messages=[{"role": "user", "content": ""}]) as rollout,
    ):
        with pytest.raises(envport.CallTimeoutError) as caught:
            await rollout.run_tool("wait")
    assert caught.value.outcome == "timeout"


async def test_a_full_server_lets_the_next_in_when_one_leaves(serve_env):
    config = ServeConfig(max_rollouts=1, max_queued=0)
    async with envport.connect(serve_env(CountingEnv(), config)) as env:
        first = await env.start_rollout(task_id="t-0")
        second = asyncio.create_task(env.start_rollout(task_id="t-0"))
        third = envport.connect(env.url, retry_for_s=0)
        async with third:
            with pytest.raises(envport.OverloadedError):
                await third.start_rollout(task_id="t-0")
        await first.end()
        await (await second).end()


def test_the_blocking_client_drives_a_real_server(serve_env):
    env = CountingEnv()
    with envport.connect_sync(serve_env(env)) as client, client.start_rollout(split="train", index=0) as rollout:
        assert sorted(tool.name for tool in rollout.tools) == ["breaks", "count"]
        assert rollout.run_tool("count", {"by": 4}).text == "now 4"
        assert rollout.run_tool("count", {"by": "x"}).outcome == "tool_error"
        assert rollout.compute_reward("other").reward == 0.0
    assert env.ran == {"start_rollout": 1, "count": 4, "match": 1, "end_rollout": 1}
