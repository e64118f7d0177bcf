"""A client that goes away is waited for no more."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket

import pytest
from envport_protocol import BaseEnv
from envport_protocol.config import ServeConfig
from envport_protocol.server.disconnects import ClientGoneError, Disconnects


class Connection:
    """One connection as an ASGI handler sees it: silent until its client hangs up."""

    def __init__(self):
        self.asked = 0
        self._hung_up = asyncio.Event()

    async def receive(self):
        self.asked += 1
        await self._hung_up.wait()
        return {"type": "http.disconnect"}

    def hang_up(self):
        self._hung_up.set()


class Clock:
    """Time that goes on when it is told to."""

    def __init__(self):
        self.now_s = 0.0
        self._ticks = asyncio.Queue()

    def __call__(self):
        return self.now_s

    async def sleep(self, _):
        await self._ticks.get()

    async def goes_on_by(self, seconds):
        self.now_s += seconds
        self._ticks.put_nowait(None)
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
async def clock():
    return Clock()


@pytest.fixture
async def disconnects(clock):
    watch = Disconnects(clock, clock.sleep)
    listening = asyncio.create_task(watch.listen())
    yield watch
    listening.cancel()


async def test_a_handler_whose_client_went_is_cancelled(disconnects, clock):
    connection, cancelled = Connection(), asyncio.Event()

    async def hang():
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    handler = asyncio.create_task(disconnects.guarded(hang(), connection.receive, clock()))
    await clock.goes_on_by(2)
    assert (connection.asked, cancelled.is_set()) == (1, False)
    connection.hang_up()
    with pytest.raises(ClientGoneError):
        await handler
    assert cancelled.is_set()
    assert not handler.cancelled()


async def test_a_handler_that_is_quick_costs_no_listener(disconnects, clock):
    connection = Connection()

    async def answer():
        return b"done"

    assert await disconnects.guarded(answer(), connection.receive, clock()) == b"done"
    slow = asyncio.create_task(disconnects.guarded(asyncio.sleep(0, b"x"), connection.receive, clock()))
    await clock.goes_on_by(0.5)
    assert await slow == b"x"
    assert connection.asked == 0
    assert len(asyncio.all_tasks()) == 2  # this test and the one that listens


async def test_only_handlers_that_are_older_than_a_second_are_listened_for(disconnects, clock):
    old, young = Connection(), Connection()
    done = asyncio.Event()
    handlers = [asyncio.create_task(disconnects.guarded(done.wait(), old.receive, clock()))]
    await clock.goes_on_by(0.9)
    handlers.append(asyncio.create_task(disconnects.guarded(done.wait(), young.receive, clock())))
    await clock.goes_on_by(0.2)
    assert (old.asked, young.asked) == (1, 0)
    await clock.goes_on_by(0.9)
    assert (old.asked, young.asked) == (1, 1)
    done.set()
    assert await asyncio.gather(*handlers) == [True, True]
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 2


async def test_a_handler_that_is_cancelled_otherwise_stays_cancelled(disconnects, clock):
    handler = asyncio.create_task(disconnects.guarded(asyncio.Event().wait(), Connection().receive, clock()))
    await clock.goes_on_by(2)
    handler.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handler


class Hanging(BaseEnv):
    """A tool and a start that hang until they are cancelled, which is told."""

    def __init__(self):
        self.running = 0
        self.cancelled = 0

    def list_tools(self):
        return [{"name": "hang", "parameters": {}}]

    async def hang(self):
        self.running += 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def run_tool(self, rollout_id, tool_name):
        await self.hang()

    async def compute_reward(self, completion):
        await self.hang()


CALL = {"rollout_id": "r1", "call_id": "c", "tool_name": "hang"}
ASKED = {
    "run_tool": CALL,
    "compute_reward": {"rollout_id": "r1", "completion": "x"},
    "batch": {
        "calls": [
            {"id": "a", "verb": "run_tool", "body": CALL},
            {"id": "b", "verb": "run_tool", "body": {**CALL, "call_id": "d"}},
            {"id": "c", "verb": "list_tools", "body": {}},
        ]
    },
}


async def until(is_so):
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("verb", ASKED)
@pytest.mark.parametrize("is_reset", [False, True])
async def test_a_socket_that_closes_while_a_tool_hangs_ends_the_waiting(api, verb, is_reset):
    env = Hanging()
    server = api(env, ServeConfig(orphan_grace_s=0.05))
    server.start()
    hanging = 2 if verb == "batch" else 1
    body = json.dumps(ASKED[verb]).encode()
    raw = socket.create_connection((server.http.base_url.host, server.http.base_url.port), timeout=10)
    raw.sendall(b"POST /v1/%b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (verb.encode(), len(body), body))
    await until(lambda: env.running == hanging)
    if is_reset:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    with contextlib.closing(raw):
        pass
    await until(lambda: env.cancelled == hanging)
    assert server.get("/livez").status_code == 200


async def test_a_client_that_stays_is_waited_for(api):
    env = Hanging()
    server = api(env, ServeConfig(orphan_grace_s=0.05, call_timeout_s=2.5))
    server.start()
    answer = await asyncio.to_thread(server.run_tool, "hang")
    assert (answer.status_code, answer.json()["error"]["code"], env.cancelled) == (504, "timeout", 1)
