"""Tasks, and that their ground truth stays on the server."""

from __future__ import annotations

import asyncio
import re
import threading
from pathlib import Path

import pytest
from envport_protocol import BaseEnv, EnvTask, ToolError, UnknownTaskError, reward, tool
from envport_protocol.config import ServeConfig
from envport_protocol.errors import EnvDefinitionError
from envport_protocol.hosting.taskbook import TaskBook
from envport_protocol.task import ROW_KEYS, as_env_task


class Capitals(BaseEnv):
    """Three capitals; every answer holds GOLD, so that a leak is seen."""

    system_prompt = "Answer in one word."
    data = (("France", "GOLD-Paris"), ("Spain", "GOLD-Madrid"), ("Italy", "GOLD-Rome"))

    def tasks(self, split):
        if split != "train":
            raise UnknownTaskError(f"no split {split!r}")
        return [
            EnvTask(f"capital-{land}", prompt=f"{land}?", ground_truth=gold, metadata={"land": land})
            for land, gold in self.data
        ]

    @tool
    def hint(self, rollout_id: str, letters: int = 1) -> str:
        """Gives a hint.

        Args:
            letters: How many letters to show.
        """
        if letters > 3:
            raise ToolError("at most 3 letters")
        return f"{letters} letters for {rollout_id}"

    @tool
    async def explode(self) -> str:
        """Fails with the answer in its text."""
        raise ValueError("expected GOLD-Paris")

    @reward(weight=0.75)
    def correct(self, completion, ground_truth) -> float:
        """Whether the capital is named."""
        return float(completion == ground_truth)

    @reward(weight=0.25, min=-1)
    async def short(self, completion, task, metadata) -> float | None:
        return None if not completion else (1.0 if len(completion) < 20 and metadata == task.metadata else -1.0)


def test_splits_that_tasks_does_not_know_are_left_out_and_sizes_told(api):
    manifest = api(Capitals()).get("/v1/manifest").json()
    assert manifest["splits"] == [{"name": "train", "size": 3}]
    assert {"tasks", "tools"} <= set(manifest["capabilities"])
    assert manifest["rewards"] == [
        {"name": "correct", "weight": 0.75, "min": 0.0, "max": 1.0, "description": "Whether the capital is named."},
        {"name": "short", "weight": 0.25, "min": -1.0, "max": 1.0, "description": ""},
    ]


def test_pages_of_tasks_have_stable_ids_and_a_total(api):
    server = api(Capitals())
    page = server.get("/v1/tasks", split="train", offset=1, limit=5).json()
    assert [(task["task_id"], task["index"], task["metadata"]) for task in page["tasks"]] == [
        ("capital-Spain", 1, {"land": "Spain"}),
        ("capital-Italy", 2, {"land": "Italy"}),
    ]
    assert [message["content"] for message in page["tasks"][0]["messages"]] == ["Answer in one word.", "Spain?"]
    assert (page["total"], page["offset"]) == (3, 1)
    assert server.get("/v1/tasks", split="train", offset=9).json() == {"tasks": [], "total": 3, "offset": 9}
    assert server.get("/v1/tasks", split="nix").json()["error"]["message"] == "there is no split 'nix'; splits: train"


def test_a_rollout_starts_by_index_and_by_id_alike(api):
    server = api(Capitals())
    by_index, by_id = (
        server.start("a", split="train", index=2).json(),
        server.start("b", task_id="capital-Italy").json(),
    )
    assert (by_index.pop("rollout_id"), by_id.pop("rollout_id")) == ("a", "b")
    assert by_index.pop("token") != by_id.pop("token")
    assert by_index == by_id
    assert by_id["task_id"] == "capital-Italy"
    missing = server.start("c", split="train", index=3).json()["error"]
    assert (missing["code"], missing["message"]) == ("unknown_task", "the split 'train' has 3 tasks, so no index 3")


def test_ground_truth_is_in_no_answer(api):
    server = api(Capitals())
    answers = [
        server.get("/v1/manifest"),
        server.get("/v1/tasks", split="train"),
        server.start(split="train", index=0),
        server.start("own", messages=[{"role": "user", "content": "?"}], ground_truth="GOLD-own"),
        server.start("bad", messages=[{"role": "user", "content": "?"}], ground_truth="GOLD-own", more="GOLD"),
        server.start("bad", split="train", index=0, ground_truth="GOLD-own"),
        server.post("list_tools", rollout_id="r1"),
        server.run_tool("hint", "1", letters=2),
        server.run_tool("hint", "2", letters="GOL"),
        server.run_tool("explode", "3"),
        server.score("Paris"),
        server.score("Paris", ground_truth="GOLD-Paris"),
        server.score("x", "own"),
        server.end(),
    ]
    assert [answer.status_code for answer in answers] == [
        200,
        200,
        200,
        200,
        422,
        422,
        200,
        200,
        200,
        500,
        200,
        422,
        200,
        200,
    ]
    assert [answer.text for answer in answers if "GOLD" in answer.text] == []


def test_a_trainer_cannot_bring_a_ground_truth_for_the_environments_own_task(api):
    server = api(Capitals())
    server.start(split="train", index=0)
    refused = server.score("mine", ground_truth="mine")
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "invalid_request")


def test_a_ground_truth_with_the_reward_counts_for_messages_of_the_trainers_own(api):
    server = api(Capitals())
    server.start(messages=[{"role": "user", "content": "?"}])
    assert server.score("mine", ground_truth="mine").json()["rewards"]["correct"]["score"] == 1.0


def test_declared_rewards_are_weighed_and_unscored_ones_left_out(api):
    server = api(Capitals())
    server.start(split="train", index=1)
    assert server.score("GOLD-Madrid").json()["reward"] == 1.0
    server.start("r2", split="train", index=1)
    empty = server.score("", "r2").json()
    assert empty["reward"] == 0.0
    assert empty["rewards"] == {
        "correct": {"score": 0.0, "weight": 0.75, "reason": None},
        "short": {"score": None, "weight": 0.25, "reason": None},
    }
    server.start("r3", split="train", index=1)
    assert server.score("no idea, but at length", "r3").json()["reward"] == -0.25


def test_a_tool_method_gets_the_rollout_id_and_typed_arguments(api):
    server = api(Capitals())
    server.start(split="train", index=0)
    assert server.run_tool("hint", "1", letters=2).json()["content"][0]["text"] == "2 letters for r1"
    assert server.run_tool("hint", "2").json()["content"][0]["text"] == "1 letters for r1"
    refused = server.run_tool("hint", "3", letters=4).json()
    assert (refused["outcome"], refused["trainable"], refused["content"][0]["text"]) == (
        "tool_error",
        True,
        "at most 3 letters",
    )
    stolen = server.run_tool("hint", "4", rollout_id_="x").json()
    assert stolen["outcome"] == "tool_error"
    body = {"rollout_id": "r1", "call_id": "5", "tool_name": "hint", "arguments": {"rollout_id": "r2"}}
    assert server.http.post("/v1/run_tool", json=body).json()["outcome"] == "tool_error"


def test_two_tasks_of_one_id_are_the_environments_failure(api):
    class Twice(Capitals):
        def tasks(self, split):
            return [EnvTask("same", prompt="a"), EnvTask("same", prompt="b")]

    answer = api(Twice()).start(task_id="other")
    assert answer.status_code == 500
    assert "tasks 0 and 1 of 'train' both have the id 'same'" in answer.json()["error"]["message"]


def test_start_rollout_may_replace_the_messages_and_tools_may_depend_on_the_rollout(api):
    class Choosy(BaseEnv):
        def start_rollout(self, rollout_id, task, seed):
            return [{"role": "user", "content": f"{task.get('ground_truth')} seed {seed}"}]

        async def list_tools(self, rollout_id):
            return [{"name": f"only-{rollout_id}", "parameters": {}}]

        async def run_tool(self, rollout_id, tool_name):
            return {"tool": tool_name}

    server = api(Choosy())
    started = server.start(messages=[{"role": "user", "content": "?"}], ground_truth=1, seed=5).json()
    server.start("r2")
    assert started["messages"][0]["content"] == "1 seed 5"
    assert [spec["name"] for spec in server.post("list_tools", rollout_id="r2").json()["tools"]] == ["only-r2"]
    assert server.run_tool("only-r1").json()["content"][0]["text"] == '{"tool": "only-r1"}'
    assert server.run_tool("only-r2", "c2").json()["outcome"] == "tool_error"


def test_an_index_of_ids_that_takes_longer_than_the_deadline_is_made_once(api):
    class SlowRows:
        """Three rows, the first of which waits for the gate; counts how often each is read."""

        def __init__(self):
            self.gate = threading.Event()
            self.reads = [0, 0, 0]

        def __len__(self):
            return 3

        def __getitem__(self, index):
            self.reads[index] += 1
            if index == 0:
                self.gate.wait(10)
            return EnvTask(f"id-{index}", prompt="?")

    class Slow(BaseEnv):
        rows = SlowRows()

        def splits(self):
            return ["train"]

        def tasks(self, split):
            return self.rows

    server = api(Slow(), ServeConfig(call_timeout_s=0.05))
    late = [server.start(f"late-{n}", task_id="id-1") for n in range(2)]
    assert [answer.status_code for answer in late] == [504, 504]
    Slow.rows.gate.set()
    for n in range(200):
        found = server.start(f"r{n}", task_id="id-2")
        if found.status_code == 200:
            break
    assert found.json()["task_id"] == "id-2"
    assert Slow.rows.reads[:2] == [1, 1]


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("answer", "; did you mean 'ground_truth'? A row's keys are task_id, id, prompt, "),
        ("ground_thruth", "; did you mean 'ground_truth'? A row's keys are task_id, id, prompt, "),
        ("question", "; did you mean 'prompt'? A row's keys are task_id, id, prompt, "),
        ("zzz", "; a row's keys are task_id, id, prompt, messages, prompt_messages, ground_truth, metadata, private, "),
    ],
)
def test_a_row_with_an_unknown_key_is_refused_with_the_known_ones(key, hint):
    with pytest.raises(EnvDefinitionError) as caught:
        as_env_task({"prompt": "1+1?", key: "2"}, "train-0")
    assert str(caught.value).startswith(f"a task row has the unknown key {key!r}{hint}")
    assert "'2'" not in str(caught.value)


def test_every_key_of_a_row_has_its_place_in_the_task():
    row = {
        "id": 7,
        "prompt_messages": [{"role": "user", "content": "1+1?"}],
        "ground_truth": "2",
        "metadata": {"level": 1},
        "private": {"steps": 3},
        "init_args": {"board": "b"},
    }
    task = as_env_task(row, "train-0")
    assert (task.task_id, task.messages[0].content, task.ground_truth) == ("7", "1+1?", "2")
    assert (task.metadata, task.private, task.init_args) == ({"level": 1}, {"steps": 3}, {"board": "b"})


def test_the_keys_of_a_row_are_those_on_the_protocol_page():
    page = (Path(__file__).parents[2] / "docs/protocol.md").read_text("utf-8")
    table = page.split("| key | type | meaning |\n|---|---|---|\n")[1].split("\n\n")[0]
    shown = [name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(shown) == sorted(ROW_KEYS)


def test_a_wrong_row_is_told_when_serving_begins():
    class Rows(BaseEnv):
        def tasks(self, split):
            return [{"prompt": "1+1?", "answer": "2"}]

    with pytest.raises(EnvDefinitionError, match=r"unknown key 'answer'; did you mean 'ground_truth'\?"):
        asyncio.run(TaskBook(Rows()).open())


def test_a_reward_that_was_refused_leaves_the_rollout_to_be_scored(api):
    server = api(Capitals())
    server.start(split="train", index=0)
    assert server.score("Paris", ground_truth="GOLD-Paris").status_code == 422
    assert server.score("Paris").status_code == 200
