"""Environments written for benchmax, served as they stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from envport_protocol import BaseEnv


@dataclass
class ToolDefinition:
    name: str
    description: str
    input_schema: dict[str, Any] | None = None


class OlderEnv(BaseEnv):
    system_prompt = "Be brief."

    def __init__(self):
        self.boards: dict[str, str] = {}
        self.seen: dict[str, Any] = {}

    @classmethod
    def dataset_preprocess(cls, example, **kwargs):
        return {
            "prompt": f"Q: {example['Question']}",
            "ground_truth": example["Answer"],
            "init_rollout_args": {"board": example["Board"]},
        }

    def tasks(self, split):
        return [{"Question": f"{split} {n}?", "Answer": f"gold-{n}", "Board": f"board-{n}"} for n in range(3)]

    async def list_tools(self):
        schema = {"type": "object", "properties": {"msg": {"type": "string"}}, "required": ["msg"]}
        return [ToolDefinition("echo", "Echo a message", schema)]

    async def run_tool(self, rollout_id: str, tool_name: str, **tool_args) -> Any:
        return f"{self.boards[rollout_id]}: {tool_args['msg']}"

    async def init_rollout(self, rollout_id: str, **rollout_args) -> None:
        self.boards[rollout_id] = rollout_args.get("board", "none")

    async def release_rollout(self, rollout_id: str) -> None:
        del self.boards[rollout_id]

    async def compute_reward(self, rollout_id: str, completion: str, ground_truth: Any, **kwargs: Any):
        self.seen = {"rollout_id": rollout_id, "completion": completion, **kwargs}
        return {"match": float(completion == ground_truth), "length": len(completion) / 10}


class NewerEnv(BaseEnv):
    async def list_tools(self):
        return []

    async def run_tool(self, rollout_id, tool_name, **tool_args):
        raise NotImplementedError

    async def compute_reward(self, rollout_id, messages, task, **kwargs):
        self.seen = messages
        return {"match": float(messages[-1]["content"] == task["ground_truth"])}


def test_older_compute_reward_gets_text_and_ground_truth_and_the_rest_as_keywords(api):
    env = OlderEnv()
    server = api(env)
    server.start(split="eval", index=2)
    scored = server.score([{"role": "assistant", "content": "hm"}, {"role": "assistant", "content": "gold-2"}]).json()
    assert scored["reward"] == 1.6
    assert scored["rewards"] == {
        "match": {"score": 1.0, "weight": 1.0, "reason": None},
        "length": {"score": 0.6, "weight": 1.0, "reason": None},
    }
    assert (env.seen["rollout_id"], env.seen["completion"], env.seen["seed"]) == ("r1", "gold-2", 0)
    assert env.seen["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Q: eval 2?"},
        {"role": "assistant", "content": "hm"},
        {"role": "assistant", "content": "gold-2"},
    ]
    assert env.seen["task"].ground_truth == "gold-2"


def test_newer_compute_reward_gets_messages_and_a_task_to_read_like_a_dict(api):
    env = NewerEnv()
    server = api(env)
    server.start(messages=[{"role": "user", "content": "?"}], ground_truth="yes")
    assert server.score("yes").json()["reward"] == 1.0
    assert env.seen == [{"role": "user", "content": "?"}, {"role": "assistant", "content": "yes"}]


def test_init_and_release_rollout_bracket_a_rollout(api):
    env = OlderEnv()
    server = api(env)
    server.start(split="train", index=1)
    assert env.boards == {"r1": "board-1"}
    assert server.run_tool("echo", msg="hi").json()["content"] == [{"type": "text", "text": "board-1: hi"}]
    assert server.end().status_code == 200
    assert env.boards == {}


def test_dataset_preprocess_makes_tasks_of_rows_and_hides_what_they_hold(api):
    page = api(OlderEnv()).get("/v1/tasks", split="train", offset=1, limit=1)
    assert page.json() == {
        "tasks": [
            {
                "task_id": "train-1",
                "split": "train",
                "index": 1,
                "messages": [
                    {"role": "system", "content": "Be brief.", "name": None, "tool_calls": None, "tool_call_id": None},
                    {"role": "user", "content": "Q: train 1?", "name": None, "tool_calls": None, "tool_call_id": None},
                ],
                "metadata": {},
            }
        ],
        "total": 3,
        "offset": 1,
    }
    assert "gold" not in page.text


def test_newer_dataset_preprocess_with_prompt_messages_and_task(api):
    @dataclass
    class Example:
        id: str
        prompt_messages: list[dict[str, Any]]
        task: dict[str, Any]
        init_rollout_args: dict[str, Any] | None = None

    class Env(NewerEnv):
        @classmethod
        def dataset_preprocess(cls, row, **kwargs):
            return Example(f"id-{row}", [{"role": "user", "content": f"say {row}"}], {"ground_truth": row, "bonus": 3})

        def tasks(self, split):
            return ["a", "b"]

        async def compute_reward(self, rollout_id, messages, task, **kwargs):
            return float(messages[-1]["content"] == task["ground_truth"]) * task["bonus"]

    server = api(Env())
    started = server.start(task_id="id-b").json()
    assert [(m["role"], m["content"]) for m in started["messages"]] == [("user", "say b")]
    assert server.score("b").json()["reward"] == 3.0
