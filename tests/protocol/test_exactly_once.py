"""Retries over HTTP, counted in the environment."""

from __future__ import annotations

import asyncio
import threading

import httpx
from envport_protocol import BaseEnv
from envport_protocol.config import ServeConfig
from envport_protocol.errors import InvalidRequestError, UnknownRolloutError, UnknownTaskError


class Counting(BaseEnv):
    """Counts what runs; its calls take as long as the gate is shut."""

    def __init__(self):
        self.starts = self.tools = self.rewards_given = self.ends = 0
        self.gate = threading.Event()
        self.gate.set()

    def list_tools(self):
        return [{"name": "add", "parameters": {"x": "int"}}, {"name": "break", "parameters": {}}]

    def start_rollout(self, rollout_id):
        self.starts += 1

    def run_tool(self, rollout_id, tool_name, **args):
        self.tools += 1
        self.gate.wait(10)
        if tool_name == "break":
            raise RuntimeError("the answer is 42")
        return f"{self.tools} {args['x']}"

    def compute_reward(self, completion):
        self.rewards_given += 1
        self.gate.wait(10)
        return self.rewards_given

    def end_rollout(self, rollout_id):
        self.ends += 1


def test_a_repeated_request_gets_the_stored_answer_and_runs_once(api):
    env = Counting()
    server = api(env)
    starts = [server.start() for _ in range(3)]
    tools = [server.run_tool("add", x=1) for _ in range(3)]
    scores = [server.score("done") for _ in range(3)]
    ends = [server.end() for _ in range(3)]
    for answers in (starts, tools, scores, ends):
        assert [answer.status_code for answer in answers] == [200] * 3
        assert len({answer.text for answer in answers}) == 1
    assert (env.starts, env.tools, env.rewards_given, env.ends) == (1, 1, 1, 1)


def test_the_order_of_keys_does_not_make_other_arguments(api):
    class Pair(Counting):
        def list_tools(self):
            return [{"name": "add", "parameters": {"x": "int", "y": "int"}}]

    env = Pair()
    server = api(env)
    server.start()
    body = '{"rollout_id":"r1","call_id":"c","tool_name":"add","arguments":{%s}}'
    for arguments in ('"x":1,"y":2', '"y":2,"x":1'):
        assert server.http.post("/v1/run_tool", content=body % arguments).json()["content"][0]["text"] == "1 1"
    assert env.tools == 1


async def test_concurrent_duplicates_of_a_running_call_join_it(api):
    env = Counting()
    server = api(env)
    server.start()
    env.gate.clear()
    tool = {"rollout_id": "r1", "call_id": "c", "tool_name": "add", "arguments": {"x": 5}}
    score = {"rollout_id": "r1", "completion": "done"}
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as http:
        asked = [asyncio.create_task(http.post("/v1/run_tool", json=tool)) for _ in range(8)]
        asked += [asyncio.create_task(http.post("/v1/compute_reward", json=score)) for _ in range(8)]
        while env.tools + env.rewards_given < 2:
            await asyncio.sleep(0.01)
        env.gate.set()
        answers = await asyncio.gather(*asked)
    assert [answer.json()["content"][0]["text"] for answer in answers[:8]] == ["1 5"] * 8
    assert [answer.json()["reward"] for answer in answers[8:]] == [1.0] * 8
    assert (env.tools, env.rewards_given) == (1, 1)


def test_a_client_that_gave_up_gets_the_answer_by_asking_again(api):
    env = Counting()
    server = api(env)
    server.start()
    env.gate.clear()
    body = {"rollout_id": "r1", "call_id": "c", "tool_name": "add", "arguments": {"x": 2}}
    try:
        server.http.post("/v1/run_tool", json=body, timeout=0.2)
    except httpx.ReadTimeout:
        env.gate.set()
    assert server.run_tool("add", "c", x=2).json()["content"][0]["text"] == "1 2"
    assert env.tools == 1


def test_an_environments_failure_is_stored_and_never_run_again(api):
    env = Counting()
    server = api(env)
    server.start()
    first, again = server.run_tool("break"), server.run_tool("break")
    assert (first.status_code, first.text) == (again.status_code, again.text)
    error = first.json()["error"]
    assert (first.status_code, error["code"], error["outcome"], error["trainable"]) == (
        500,
        "env_error",
        "env_error",
        False,
    )
    assert "RuntimeError" in error["message"]
    assert "42" not in first.text
    assert env.tools == 1


def test_an_id_with_other_arguments_is_409_and_after_the_end_410(api):
    env = Counting()
    server = api(env)
    server.start()
    server.run_tool("add", x=1)
    server.score("done")
    conflicts = [
        server.start(messages=[{"role": "user", "content": "other"}]),
        server.run_tool("add", x=2),
        server.score("no"),
    ]
    assert [(answer.status_code, answer.json()["error"]["code"]) for answer in conflicts] == [(409, "id_conflict")] * 3
    server.end()
    gone = [
        server.start(),
        server.run_tool("add", x=1),
        server.score("done"),
        server.post("list_tools", rollout_id="r1"),
    ]
    assert [(answer.status_code, answer.json()["error"]["code"]) for answer in gone] == [(410, "rollout_ended")] * 4
    assert {answer.json()["error"]["outcome"] for answer in gone} == {"lost"}
    assert (env.tools, env.rewards_given) == (1, 1)


def error_of(answer):
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["outcome"]


def test_a_servers_error_from_the_authors_code_is_the_environments_failure(api):
    class Client(Counting):
        """Its code is itself a client of another environment."""

        def run_tool(self, rollout_id, tool_name, **args):
            super().run_tool(rollout_id, tool_name, x=0)
            raise UnknownRolloutError("the other server lost it")

        def compute_reward(self, completion):
            raise InvalidRequestError("the other server did not like that")

    env = Client()
    server = api(env)
    server.start()
    tools = [server.run_tool("add", x=1) for _ in range(2)]
    assert [error_of(answer) for answer in tools] == [(500, "env_error", "env_error")] * 2
    assert "raised UnknownRolloutError" in tools[0].json()["error"]["message"]
    assert error_of(server.score("done")) == (500, "env_error", "env_error")
    assert env.tools == 1


def test_a_start_that_raises_a_servers_error_is_stored_freed_and_not_run_again(api):
    class Client(Counting):
        def start_rollout(self, rollout_id):
            super().start_rollout(rollout_id)
            raise UnknownTaskError("the other server has no such task")

    env = Client()
    server = api(env)
    assert [error_of(server.start()) for _ in range(3)] == [(500, "env_error", "env_error")] * 3
    server.end()
    assert (env.starts, env.ends) == (1, 1)


def test_a_start_past_its_deadline_is_freed(api):
    class Slow(Counting):
        async def start_rollout(self, rollout_id):
            self.starts += 1
            await asyncio.sleep(30)

    env = Slow()
    server = api(env, ServeConfig(call_timeout_s=0.05))
    assert [error_of(server.start()) for _ in range(2)] == [(504, "timeout", "timeout")] * 2
    server.end()
    assert (env.starts, env.ends) == (1, 1)


def test_an_environment_that_never_heard_of_a_rollout_is_not_told_of_its_end(api):
    env = Counting()
    server = api(env)
    assert error_of(server.start(task_id="nix"))[:2] == (404, "unknown_task")
    assert server.start().status_code == 200
    assert (env.starts, env.ends) == (1, 0)


async def test_the_tools_of_a_rollout_wait_for_its_start(api):
    class PerRollout(Counting):
        def list_tools(self, rollout_id):
            self.gate.wait(10)
            return [{"name": "add", "parameters": {"x": "int"}}]

        def start_rollout(self, rollout_id):
            super().start_rollout(rollout_id)

    env = PerRollout()
    server = api(env)
    server.get("/v1/manifest")
    env.gate.clear()
    start = {"rollout_id": "r1", "messages": [{"role": "user", "content": "?"}]}
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as http:
        started = asyncio.create_task(http.post("/v1/start_rollout", json=start))
        while env.starts == 0:
            await asyncio.sleep(0.01)
        listed = asyncio.create_task(http.post("/v1/list_tools", json={"rollout_id": "r1"}))
        await asyncio.wait([listed], timeout=0.2)
        env.gate.set()
        assert [tool["name"] for tool in (await listed).json()["tools"]] == ["add"]
        assert (await started).status_code == 200
