"""Blocking code, deadlines, idleness: the server stays able to answer."""

from __future__ import annotations

import asyncio
import threading
import time

import httpx
from envport_protocol import BaseEnv
from envport_protocol.config import ServeConfig


class Waiting(BaseEnv):
    """Its tools wait for a gate: one blocks a thread, one the event loop's way."""

    def __init__(self):
        self.gate = threading.Event()
        self.threads: set[str] = set()
        self.runs = 0
        self.cancelled = 0
        self.ended: list[str] = []

    def list_tools(self):
        return [{"name": "block", "parameters": {}}, {"name": "sleep", "parameters": {}}]

    async def sleep(self):
        self.runs += 1
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    def run_tool(self, rollout_id, tool_name, **args):
        if tool_name == "sleep":
            return self.sleep()
        self.runs += 1
        self.threads.add(threading.current_thread().name)
        self.gate.wait(20)
        return "let go"

    def end_rollout(self, rollout_id):
        self.ended.append(rollout_id)


async def test_blocking_tools_leave_the_server_alive_and_use_a_bounded_number_of_threads(api):
    env = Waiting()
    server = api(env, ServeConfig(max_threads=2))
    server.start()
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as http:
        calls = [
            asyncio.create_task(
                http.post("/v1/run_tool", json={"rollout_id": "r1", "call_id": str(n), "tool_name": "block"})
            )
            for n in range(5)
        ]
        while env.runs < 2:
            await asyncio.sleep(0.01)
        assert (await http.get("/livez")).json() == {"status": "alive"}
        assert (await http.get("/readyz")).json() == {"status": "ready"}
        assert env.runs == 2
        env.gate.set()
        answers = await asyncio.gather(*calls)
    assert [answer.json()["content"][0]["text"] for answer in answers] == ["let go"] * 5
    assert len(env.threads) <= 2


def test_a_call_past_its_deadline_is_504_and_a_retry_gets_the_same(api):
    env = Waiting()
    server = api(env)
    server.start()
    for tool in ("block", "sleep"):
        body = {"rollout_id": "r1", "call_id": tool, "tool_name": tool, "timeout_s": 0.05}
        first, again = (server.http.post("/v1/run_tool", json=body) for _ in range(2))
        assert (first.status_code, first.text) == (504, again.text)
        error = first.json()["error"]
        assert (error["code"], error["outcome"], error["trainable"]) == ("timeout", "timeout", False)
        assert "deadline of 0.05 s" in error["message"]
    env.gate.set()
    assert (env.runs, env.cancelled) == (2, 1)


def test_the_servers_own_deadline_holds_where_the_client_asks_for_more(api):
    server = api(Waiting(), ServeConfig(call_timeout_s=0.05))
    server.start()
    body = {"rollout_id": "r1", "call_id": "c", "tool_name": "sleep", "timeout_s": 100}
    assert server.http.post("/v1/run_tool", json=body).status_code == 504


def test_the_environments_own_timeout_error_is_its_failure_not_the_deadline(api):
    class Upstream(Waiting):
        async def run_tool(self, rollout_id, tool_name, **args):
            raise TimeoutError("upstream did not answer")

    server = api(Upstream())
    server.start()
    answer = server.run_tool("sleep")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "env_error")


def test_an_idle_rollout_expires_and_is_freed(api):
    env = Waiting()
    server = api(env, ServeConfig(idle_timeout_s=0.1))
    server.start()
    deadline = time.monotonic() + 10
    while not env.ended and time.monotonic() < deadline:
        time.sleep(0.02)
    assert env.ended == ["r1"]
    gone = server.run_tool("sleep")
    assert (gone.status_code, gone.json()["error"]["code"]) == (410, "rollout_ended")
    assert "was idle for too long" in gone.json()["error"]["message"]
    assert server.end().status_code == 200
    assert env.ended == ["r1"]


def test_exits_and_strays_in_the_environment_do_not_take_the_server_along(api):
    class Exiting(Waiting):
        async def run_tool(self, rollout_id, tool_name, **args):
            raise SystemExit(3)

        def compute_reward(self, completion):
            return next(iter(()))

    server = api(Exiting())
    server.start()
    assert server.run_tool("sleep").json()["error"]["code"] == "env_error"
    assert server.score("x").json()["error"]["code"] == "env_error"
    assert server.get("/livez").status_code == 200
