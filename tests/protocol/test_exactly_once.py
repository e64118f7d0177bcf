"""Retries over HTTP, counted in the environment."""

from __future__ import annotations

import asyncio
import threading

import httpx
from envport_protocol import BaseEnv


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
