"""An evaluation gives means with their intervals over what could be scored, and every row behind them."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

import envport
import pytest
import torch
from envport_protocol import BaseEnv, EnvTask, RewardResult, ToolError, reward, tool
from envport_protocol.errors import UnknownTaskError
from envport_trainer.config import EnvSource, TrainConfig
from envport_trainer.conversation.chat import Chat
from envport_trainer.errors import ModelServerError, TrainerError
from envport_trainer.evaluation.evaluate import evaluate, evaluate_url, local, sampled, served
from envport_trainer.evaluation.openai import OpenAiModel
from envport_trainer.evaluation.result import Estimate, EvalResult, EvalRow, estimate_columns
from envport_trainer.rollouts.playing import RolloutLimits
from envport_trainer.types import Sample
from transformers import LlamaForCausalLM

from .conftest import WORDS, tiny_tokenizer
from .fake_openai import calls, refuses, says
from .made_run import trajectory

LIMITS = RolloutLimits(max_new_tokens=8, max_turns=3, max_tokens=64, temperature=0.0, env_retries=1)


class SumEnv(BaseEnv):
    """Task k asks for k + k; its reward fails as often as `failures` says for the task."""

    def __init__(self, size: int = 4, failures: dict[int, int] | None = None) -> None:
        self.size = size
        self.failures = failures or {}

    def tasks(self, split: str) -> list[EnvTask]:
        if split != "eval":
            raise UnknownTaskError(f"no split {split!r}")
        return [EnvTask(task_id=f"t{k}", prompt=f"{k} + {k} =", ground_truth=str(2 * k)) for k in range(self.size)]

    def splits(self) -> list[str]:
        return ["eval"]

    @tool
    def add(self, a: int, b: int) -> int:
        """Add two numbers.

        Args:
            a: One.
            b: The other.
        """
        if a < 0:
            raise ToolError("only numbers from 0 on")
        return a + b

    @reward(weight=1.0)
    def correct(self, messages: list[dict[str, Any]], ground_truth: str) -> float:
        k = int(ground_truth) // 2
        if self.failures.get(k, 0):
            self.failures[k] -= 1
            raise RuntimeError("the checker fell over")
        return float(messages[-1]["content"] == ground_truth)

    @reward(weight=0.5)
    def short(self, messages: list[dict[str, Any]]) -> RewardResult:
        return RewardResult(float(len(messages) == 2), reason=f"{len(messages)} messages")


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envport_trainer.rollouts.attempts._RETRY_EVERY_S", 0.0)


def asked_number(body: dict[str, Any]) -> int:
    return int(body["messages"][0]["content"].split()[0])


async def run(env: str, fake: Any, **options: Any) -> EvalResult:
    async with OpenAiModel(fake.url, retry_for_s=0) as model:
        return await evaluate_url(env, served(model), LIMITS, **options)


async def test_means_and_intervals_are_those_of_the_rows(serve_env, fake_openai):
    fake_openai.answer = lambda body: says("2" if asked_number(body) < 2 else "wrong")
    seen: list[EvalRow] = []
    result = await run(serve_env(SumEnv()), fake_openai, n=10, on_row=seen.append)
    # Rewards 0.5, 1.5, 0.5, 0.5: mean 0.75, variance 0.25, standard error 0.5 / 2.
    assert [row.reward for row in result.rows] == [0.5, 1.5, 0.5, 0.5]
    assert (result.mean, result.se, result.n, result.failed) == (0.75, 0.25, 4, 0)
    assert result.ci95 == pytest.approx(3.1824463 * 0.25)  # Student's t of 3 degrees of freedom, from printed tables
    assert result.rewards == {"correct": Estimate(0.25, 0.25, 4), "short": Estimate(1.0, 0.0, 4)}
    assert sorted(row.index for row in seen) == [0, 1, 2, 3]
    assert (result.split, result.model) == ("eval", f"fake-model at {fake_openai.url}/v1")
    assert [row.task_id for row in result.rows] == ["t0", "t1", "t2", "t3"]
    assert [row.reasons for row in result.rows] == [{"short": "2 messages"}] * 4


def test_a_row_of_a_local_model_has_the_reasons_too():
    assert EvalRow.of_trajectory(3, trajectory(reasons={"json": "no JSON"})).reasons == {"json": "no JSON"}


async def test_a_tool_call_is_run_and_its_answer_goes_back_to_the_model(serve_env, fake_openai):
    def answer(body: dict[str, Any]) -> dict[str, Any]:
        last = body["messages"][-1]
        return calls("add", {"a": 1, "b": 1}) if last["role"] == "user" else says(last["content"])

    fake_openai.answer = answer
    result = await run(serve_env(SumEnv(size=2)), fake_openai)
    row = result.rows[1]
    assert (row.reward, row.finish, row.tokens, row.tool_calls, row.tool_errors) == (1.0, "stop", 8, 1, 0)
    assert row.messages == [
        {"role": "user", "content": "1 + 1 ="},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": 1}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "name": "add", "content": "2"},
        {"role": "assistant", "content": "2"},
    ]
    assert [spec["function"]["name"] for spec in fake_openai.asked[0]["tools"]] == ["add"]


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("add", {"a": -1, "b": 1}, "only numbers from 0 on"),
        ("add", "{not json", "the arguments are not JSON"),
        ("add", "[1, 2]", "the arguments of a tool call are one JSON object"),
        ("add", {"a": 1}, "b"),
        ("subtract", {"a": 1, "b": 1}, "subtract"),
        ("x" * 300, {}, "the tool call does not fit: "),
        ("ad d!", {}, "ad d!"),
        ("add", '{"a": "\\ud800", "b": 1}', "the tool call does not fit: "),
        ("add", '{"a": 99999999999999999999, "b": 1}', "the tool call does not fit: "),
        ("", {}, "tool"),
    ],
)
async def test_a_wrong_call_is_told_to_the_model_and_the_rollout_goes_on(serve_env, fake_openai, name, arguments, said):
    fake_openai.in_turn(calls(name, arguments), says("0"))
    result = await run(serve_env(SumEnv(size=1)), fake_openai)
    row = result.rows[0]
    assert (row.reward, row.tool_calls, row.tool_errors) == (1.0, 1, 1)
    assert said in row.messages[2]["content"]


async def test_the_limit_of_turns_ends_a_rollout(serve_env, fake_openai):
    fake_openai.answer = lambda _: calls("add", {"a": 1, "b": 1})
    row = (await run(serve_env(SumEnv(size=1)), fake_openai)).rows[0]
    assert (row.finish, row.tool_calls, len(fake_openai.asked)) == ("turns", 2, 3)


async def test_a_conversation_over_the_models_length_is_scored_as_far_as_it_went(serve_env, fake_openai):
    fake_openai.in_turn(calls("add", {"a": 0, "b": 0}), refuses(400, "maximum context length is 8 tokens"))
    row = (await run(serve_env(SumEnv(size=1)), fake_openai)).rows[0]
    assert (row.finish, row.reward, row.messages[-1]["role"]) == ("length", 1.0, "tool")


async def test_a_failure_of_the_environment_is_tried_again_and_then_left_out_never_scored_0(serve_env, fake_openai):
    fake_openai.answer = lambda body: says(str(2 * asked_number(body)))
    result = await run(serve_env(SumEnv(failures={1: 1, 2: 2})), fake_openai)
    assert [row.reward for row in result.rows] == [1.5, 1.5, None, 1.5]
    assert (result.mean, result.n, result.failed) == (1.5, 3, 1)
    assert "failed 2 times" in (result.rows[2].error or "")
    assert result.rewards["correct"] == Estimate(1.0, 0.0, 3)


async def test_an_evaluation_without_one_score_is_an_error(serve_env, fake_openai):
    with pytest.raises(TrainerError, match=r"none of 2 attempts could be scored; the first: .* failed 2 times"):
        await run(serve_env(SumEnv(size=2, failures={0: 9, 1: 9})), fake_openai)


async def test_a_request_that_is_refused_fails_its_row_alone(serve_env, fake_openai):
    fake_openai.answer = lambda body: refuses(400, "odd") if asked_number(body) == 1 else says("0")
    result = await run(serve_env(SumEnv(size=2)), fake_openai)
    assert [row.reward for row in result.rows] == [1.5, None]
    assert result.failed == 1


async def test_a_model_server_that_goes_away_ends_the_evaluation(serve_env, fake_openai):
    fake_openai.answer = lambda _: refuses(500, "out of memory")
    with pytest.raises(ModelServerError, match="HTTP 500: out of memory"):
        await run(serve_env(SumEnv(size=40)), fake_openai)


async def test_an_unknown_split_is_told(serve_env, fake_openai):
    with pytest.raises(UnknownTaskError, match="test"):
        await run(serve_env(SumEnv()), fake_openai, split="test")


async def test_an_empty_split_is_told(serve_env, fake_openai):
    with pytest.raises(TrainerError, match=r"the split 'eval' of http://.* has no tasks"):
        await run(serve_env(SumEnv(size=0)), fake_openai)


async def test_two_evaluations_ask_for_the_same_with_the_same_seeds(serve_env, fake_openai):
    url = serve_env(SumEnv())
    for _ in range(2):
        await run(url, fake_openai, n=3)
    first, second = (sorted((asked_number(b), b["seed"]) for b in fake_openai.asked[k : k + 3]) for k in (0, 3))
    assert first == second
    assert len({seed for _, seed in first}) == 3


class WordSampler:
    """A sampler that answers every prompt with `word`."""

    def __init__(self, word: str) -> None:
        self.ids = [WORDS.index(word), WORDS.index("<|im_end|>")]

    async def sample(self, _: Any) -> Sample:
        return Sample(self.ids, [-0.5, -0.25], truncated=False)

    def rollout(self):
        from contextlib import nullcontext

        return nullcontext()


class YesEnv(BaseEnv):
    def tasks(self, split: str) -> list[EnvTask]:
        return [EnvTask(task_id=f"t{k}", prompt="question", ground_truth="yes") for k in range(3)]

    @reward()
    def correct(self, completion: str, ground_truth: str) -> float:
        return float(completion == ground_truth)


async def test_a_model_in_this_process_is_evaluated_by_its_token_ids(serve_env):
    model = sampled("tiny", WordSampler("yes"), Chat(tiny_tokenizer(), frozenset({1})))
    limits = RolloutLimits(max_new_tokens=4, max_turns=1, max_tokens=64, temperature=0.0, env_retries=0)
    async with envport.connect(serve_env(YesEnv())) as env:
        result = await evaluate(env, model, limits, n=2)
    assert (result.mean, result.se, result.n, result.model) == (1.0, 0.0, 2, "tiny")
    assert [(row.tokens, row.finish, row.messages[-1]["content"]) for row in result.rows] == [(2, "stop", "yes")] * 2


def test_a_local_model_stands_on_the_device_of_the_configuration(tiny_folder, monkeypatch):
    def config(device: str) -> TrainConfig:
        return TrainConfig(envs=(EnvSource(url="http://e"),), model=str(tiny_folder), device=device)

    moved: list[torch.device] = []
    move = LlamaForCausalLM.to
    monkeypatch.setattr(LlamaForCausalLM, "to", lambda model, *to: moved.append(to[0]) or move(model, *to))
    with local(config("cpu")):
        assert moved[0] == torch.device("cpu")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(TrainerError, match='device is "cuda", but torch sees no CUDA device'), local(config("cuda")):
        pass


async def test_no_more_attempts_run_at_once_than_the_model_takes(serve_env):
    running = most = 0

    async def attempt(*_: Any) -> EvalRow:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return EvalRow(index=0, reward=1.0)

    model = served(OpenAiModel("http://h", name="m"), concurrency=3)._replace(attempt=attempt)
    async with envport.connect(serve_env(SumEnv(size=10))) as env:
        await evaluate(env, model, LIMITS)
    assert most == 3


def test_an_estimate_of_few_values():
    assert Estimate.of([1.0, 2.0, 3.0, 6.0]) == Estimate(3.0, math.sqrt(14 / 3 / 4), 4)
    assert Estimate.of([2.0]).as_json() == {"mean": 2.0, "se": None, "ci95": None, "n": 1}
    assert Estimate.of([]).as_json() == {"mean": None, "se": None, "ci95": None, "n": 0}
    assert estimate_columns([{"b": 1.0}, {"a": 2.0, "b": 3.0}])["b"] == Estimate(2.0, 1.0, 2)


async def test_the_results_file_holds_every_row_and_replaces_an_earlier_one(serve_env, fake_openai, tmp_path):
    fake_openai.answer = lambda _: says("0")
    result = await run(serve_env(SumEnv(size=2)), fake_openai)
    path = tmp_path / "out" / "eval.json"
    path.parent.mkdir()
    path.write_text("earlier")
    result.write(path)
    saved = json.loads(path.read_text())
    assert saved == json.loads(json.dumps(result.as_json()))
    assert (saved["mean"], saved["n"], saved["failed"], saved["env"]) == (1.0, 2, 0, result.env)
    assert saved["rewards"]["correct"] == {"mean": 0.5, "se": 0.5, "ci95": pytest.approx(12.7062047 * 0.5), "n": 2}
    assert [row["task_id"] for row in saved["rows"]] == ["t0", "t1"]
    assert [p.name for p in path.parent.iterdir()] == ["eval.json"]
