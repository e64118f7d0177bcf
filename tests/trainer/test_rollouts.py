"""Rollouts against a real server: what is recorded, how they end, and that a failing environment is never a reward."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from typing import TYPE_CHECKING, Any

import envport
import pytest
from envport import NotReadyError, ProtocolError, Rollout, TransportError
from envport.client import EnvClient
from envport_protocol import BaseEnv, EnvTask, RewardResult, ToolError, ToolResult, tool
from envport_protocol.errors import OverloadedError, RolloutEndedError, UnknownRolloutError
from envport_trainer.errors import PromptTooLongError, RolloutFailedError
from envport_trainer.rollouts.playing import (
    RolloutLimits,
    RolloutSpec,
    derive_seed,
    run_rollout,
)
from envport_trainer.rollouts.presence import Presence
from envport_trainer.types import Finish, Trajectory

from .bytewise import byte_chat, ids_of, text_of
from .scripted import STOP, ScriptedSampler

if TYPE_CHECKING:
    from collections.abc import Callable

    from envport_trainer.types import SampleRequest

LIMITS = RolloutLimits(max_new_tokens=500, max_turns=4, max_tokens=4000, temperature=1.0, env_retries=2)


class NumberEnv(BaseEnv):
    """The reward is the number that the model writes last; "none" is not scored."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.seeds: list[int] = []
        self.ended: list[str] = []
        self.fail: Callable[[str], None] = lambda place: None
        """Called with the name of every method that is entered."""

    def tasks(self, split: str) -> list[EnvTask]:
        return [EnvTask(f"{split}-{n}", prompt=f"Say {n}.") for n in range(5)]

    def start_rollout(self, rollout_id: str, seed: int) -> None:
        self.started.append(rollout_id)
        self.seeds.append(seed)
        self.fail("start_rollout")

    def end_rollout(self, rollout_id: str) -> None:
        self.ended.append(rollout_id)

    @tool
    def look(self, at: str) -> str:
        """Looks at a thing."""
        self.fail("look")
        return f"A {at}."

    @tool
    def refuse(self) -> str:
        """Says no."""
        raise ToolError("Not here.")

    @tool
    def leave(self) -> ToolResult:
        """Ends the rollout."""
        return ToolResult("Bye.", done=True)

    def compute_reward(self, completion: str) -> dict[str, RewardResult | None]:
        self.fail("compute_reward")
        score = None if completion == "none" else float(completion.split()[-1])
        return {"number": RewardResult(score, reason=f"read {completion[-4:]!r}"), "silent": None}


def call(name: str, **arguments: Any) -> str:
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


def says(*texts: str) -> ScriptedSampler:
    """A sampler that says one text after the other, the last one for ever."""
    return ScriptedSampler(byte_chat(), lambda number, _: texts[min(number, len(texts) - 1)])


async def run(url: str, sampler: ScriptedSampler, spec: RolloutSpec | None = None, **limits: Any) -> Trajectory:
    async with envport.connect(url) as env:
        spec = spec or RolloutSpec("train", 2, seed=77, env_seed=99)
        return await run_rollout(env, sampler, sampler.chat, spec, dataclasses.replace(LIMITS, **limits))


@pytest.fixture
def env() -> NumberEnv:
    return NumberEnv()


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envport_trainer.rollouts.attempts._RETRY_EVERY_S", 0.0)


# What one rollout records


async def test_a_rollout_only_appends_ids_and_marks_what_was_sampled(serve_env, env):
    url = serve_env(env)
    sampler = says("Hm. " + call("look", at="door"), "It is 0.5")
    got = await run(url, sampler, RolloutSpec("train", 2, seed=77, env_seed=99, group=3, policy_version=9))

    chat = sampler.chat
    prompt = list(sampler.requests[0].prompt_ids)
    turn = ids_of(chat, "Hm. " + call("look", at="door") + STOP)
    tool_text = chat.tool_ids([("look", "A door.")])
    last = ids_of(chat, "It is 0.5" + STOP)
    assert text_of(chat, prompt).endswith("<|im_start|>user\nSay 2.<|im_end|>\n<|im_start|>assistant\n")
    assert list(sampler.requests[1].prompt_ids) == prompt + turn + tool_text
    (row,) = got.rows
    assert row.input_ids == prompt + turn + tool_text + last
    assert row.loss_mask == ([False] * len(prompt) + [True] * len(turn) + [False] * len(tool_text) + [True] * len(last))
    assert row.logprobs == (
        [0.0] * len(prompt) + sampler.samples[0].logprobs + [0.0] * len(tool_text) + sampler.samples[1].logprobs
    )
    assert got.prompt_length == len(prompt)
    assert (got.env, got.env_digest, got.task_id) == (url, None, "train-2")
    assert (got.group, got.policy_version, got.finish) == (3, 9, Finish.STOP)
    assert (got.reward, got.rewards, got.reasons) == (0.5, {"number": 0.5}, {"number": "read ' 0.5'"})
    assert (got.tool_calls, got.tool_errors) == (1, 0)
    assert got.messages == [
        {"role": "user", "content": "Say 2."},
        {"role": "assistant", "content": "Hm. " + call("look", at="door")},
        {"role": "tool", "name": "look", "content": "A door."},
        {"role": "assistant", "content": "It is 0.5"},
    ]
    assert (env.started, env.seeds, env.ended) == ([got.rollout_id], [99], [got.rollout_id])
    assert sampler.open == 0


async def test_the_sampled_stop_token_is_trained(serve_env, env):
    got = await run(serve_env(env), says("1"))
    assert text_of(byte_chat(), got.rows[0].input_ids[-1:]) == STOP
    assert got.rows[0].loss_mask[-2:] == [True, True]


async def test_each_turn_is_sampled_with_its_own_seed_and_the_same_temperature(serve_env, env):
    sampler = says(call("look", at="a"), call("look", at="b"), "1")
    await run(serve_env(env), sampler, temperature=0.7)
    assert [r.seed for r in sampler.requests] == [derive_seed(77, turn) for turn in range(3)]
    assert {r.temperature for r in sampler.requests} == {0.7}


async def test_parallel_calls_are_answered_in_the_order_of_the_calls(serve_env, env):
    sampler = says(call("look", at="a") + call("refuse") + call("look", at="b"), "1")
    got = await run(serve_env(env), sampler)
    expected = sampler.chat.tool_ids([("look", "A a."), ("refuse", "Not here."), ("look", "A b.")])
    assert list(sampler.requests[1].prompt_ids[-len(expected) :]) == expected
    assert (got.tool_calls, got.tool_errors) == (3, 1)


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        (call("refuse"), "Not here."),
        (call("fly"), "fly"),
        (call("look", where="door"), "at"),
        (call(""), "''"),
        (call("look here!"), "look here!"),
        ("<tool_call>look(door)</tool_call>", "the tool call is not JSON"),
        (call("x" * 300), "the tool call does not fit: "),
        ('<tool_call>{"name": "look", "arguments": {"at": "\\ud800"}}</tool_call>', "the tool call does not fit: "),
        ('<tool_call>{"name": "look", "arguments": {"at": 99999999999999999999}}</tool_call>', "the tool call does"),
        ('<tool_call>{"name": "look", "arguments": {"at": NaN}}</tool_call>', "at"),
    ],
    ids=["refused", "unknown", "misfit", "nameless", "odd name", "no JSON", "long name", "half pair", "big", "NaN"],
)
async def test_a_wrong_call_is_the_models_own_fault_and_it_sees_why(serve_env, env, written, seen):
    sampler = says(written, "0.25")
    got = await run(serve_env(env), sampler, env_retries=0)
    shown = text_of(sampler.chat, list(sampler.requests[1].prompt_ids[len(sampler.requests[0].prompt_ids) :]))
    answer = shown.split("<tool_response>\n")[1].split("\n</tool_response>")[0]
    assert seen in answer
    assert (got.reward, got.tool_calls, got.tool_errors) == (0.25, 1, 1)


async def test_without_further_turns_no_tools_are_offered_and_none_is_called(serve_env, env):
    sampler = says(call("look", at="door") + " 1")
    got = await run(serve_env(env), sampler, max_turns=1)
    assert text_of(sampler.chat, got.rows[0].input_ids[: got.prompt_length]) == (
        "<|im_start|>user\nSay 2.<|im_end|>\n<|im_start|>assistant\n"
    )
    assert (got.finish, got.tool_calls) == (Finish.STOP, 0)


# How a rollout ends


async def test_a_turn_over_its_tokens_is_truncated_and_its_calls_are_not_made(serve_env, env):
    written = call("look", at="door") + " 7 and more"
    room = len(ids_of(byte_chat(), call("look", at="door") + " 7"))
    got = await run(serve_env(env), says(written), max_new_tokens=room)
    assert (got.finish, got.tool_calls, got.reward) == (Finish.LENGTH, 0, 7.0)
    assert got.sampled_tokens == room


async def test_a_rollout_over_its_tokens_ends_with_the_last_sampled_token(serve_env, env):
    sampler = says("3 " + call("look", at="d" * 300) + " 3", "1")
    first = await run(serve_env(env), says("1"))
    turn = len(ids_of(sampler.chat, "3 " + call("look", at="d" * 300) + " 3" + STOP))
    got = await run(serve_env(env), sampler, max_tokens=first.prompt_length + turn + 5)
    assert (got.finish, len(sampler.requests), got.reward) == (Finish.LENGTH, 1, 3.0)
    assert len(got.rows[0].input_ids) == first.prompt_length + turn
    assert got.rows[0].loss_mask[-1]


async def test_a_turn_may_take_what_is_left_of_the_rollouts_tokens(serve_env, env):
    sampler = says("1")
    url = serve_env(env)
    prompt = (await run(url, sampler)).prompt_length
    got = await run(url, sampler, max_tokens=prompt + 1)
    assert sampler.requests[-1].max_new_tokens == 1
    assert (got.finish, got.sampled_tokens) == (Finish.LENGTH, 1)


async def test_the_limit_of_turns_ends_a_rollout_before_its_last_calls(serve_env, env):
    sampler = says(call("look", at="door") + " 2")
    got = await run(serve_env(env), sampler, max_turns=3)
    assert (got.finish, len(sampler.requests), got.tool_calls, got.reward) == (Finish.TURNS, 3, 2, 2.0)
    assert got.rows[0].loss_mask[-1]


async def test_a_tool_may_end_the_rollout(serve_env, env):
    sampler = says("4 " + call("leave") + " 4", "1")
    got = await run(serve_env(env), sampler)
    assert (got.finish, len(sampler.requests), got.reward) == (Finish.DONE, 1, 4.0)
    assert got.messages[-1] == {"role": "tool", "name": "leave", "content": "Bye."}
    assert got.rows[0].loss_mask[-1]


async def test_a_prompt_that_leaves_no_room_is_told_at_once_and_not_tried_again(serve_env, env):
    with pytest.raises(PromptTooLongError, match=r"the prompt of task train-2 has \d+ tokens, .* may have 9; raise"):
        await run(serve_env(env), says("1"), max_tokens=9, max_new_tokens=9)
    assert (len(env.started), env.ended) == (1, env.started)


# When the environment fails


class FailsAt:
    """Raises in the method `place`, the first `times` times that it is entered."""

    def __init__(self, place: str, times: int) -> None:
        self.place, self.left = place, times

    def __call__(self, place: str) -> None:
        if place == self.place and self.left:
            self.left -= 1
            raise RuntimeError("the database is down")


@pytest.mark.parametrize("place", ["start_rollout", "look", "compute_reward"])
async def test_a_failed_environment_gets_a_fresh_rollout_of_the_same_task_and_seed(serve_env, env, place):
    env.fail = FailsAt(place, times=2)
    got = await run(serve_env(env), ScriptedSampler(byte_chat(), _look_then_half))
    assert got.reward == 0.5
    assert len(set(env.started)) == 3
    assert env.started[-1] == got.rollout_id
    assert env.seeds == [99, 99, 99]
    assert (got.messages[0]["content"], got.tool_calls) == ("Say 2.", 1)


def _look_then_half(_: int, request: SampleRequest) -> str:
    """Looks in the first turn of every attempt."""
    return call("look", at="door") if request.seed == derive_seed(77, 0) else "0.5"


@pytest.mark.parametrize("place", ["start_rollout", "look", "compute_reward"])
async def test_an_environment_that_keeps_failing_gives_no_trajectory(serve_env, env, place):
    env.fail = FailsAt(place, times=3)
    url = serve_env(env)
    with pytest.raises(RolloutFailedError, match=f"{url} failed 3 times: .*{place}.* raised RuntimeError"):
        await run(url, ScriptedSampler(byte_chat(), _look_then_half))
    assert len(env.started) == 3
    if place != "start_rollout":
        assert env.ended == env.started


async def test_a_rollout_that_was_not_scored_gives_no_trajectory(serve_env, env):
    with pytest.raises(RolloutFailedError, match="failed 1 times: the environment gave no reward"):
        await run(serve_env(env), says("none"), env_retries=0)


class Absent(EnvClient):
    """Cannot be reached when the first `times` rollouts begin."""

    def __init__(self, url: str, error: Exception, times: int) -> None:
        super().__init__(url, timeout_s=None, retry_for_s=0.0, http=None)
        self.error, self.left = error, times

    async def start_rollout(self, **task: Any) -> Rollout:
        if not self.left:
            return await super().start_rollout(**task)
        self.left -= 1
        raise self.error


class LosesRollouts(EnvClient):
    """Speaks to a server that does not know the first `times` rollouts any more, as after its restart."""

    def __init__(self, url: str, times: int) -> None:
        super().__init__(url, timeout_s=None, retry_for_s=0.0, http=None)
        self.left = times

    async def start_rollout(self, **task: Any) -> Rollout:
        rollout = await super().start_rollout(**task)
        if self.left:
            self.left -= 1
            rollout.rollout_id = "of-the-server-before"
        return rollout


class LosesAtTheReward(EnvClient):
    """Every call for a reward of the first `times` rollouts raises `error`."""

    def __init__(self, url: str, error: Exception, times: int) -> None:
        super().__init__(url, timeout_s=None, retry_for_s=0.0, http=None)
        self.error, self.left = error, times

    async def start_rollout(self, **task: Any) -> Rollout:
        rollout = await super().start_rollout(**task)
        if self.left:
            self.left -= 1

            async def compute_reward(*_: object, **__: object) -> Any:
                raise self.error

            rollout.compute_reward = compute_reward
        return rollout


@pytest.mark.parametrize(
    "error",
    [TransportError("http://env", "refused"), OverloadedError("full"), NotReadyError("starting")],
    ids=["unreachable", "full", "starting"],
)
async def test_an_absent_environment_is_waited_for_and_does_not_count_as_failed(serve_env, env, error):
    async with Absent(serve_env(env), error, times=5) as client:
        got = await run_rollout(client, says("0.5"), byte_chat(), RolloutSpec("train", 1, seed=1), no_retries())
    assert (got.reward, got.task_id, len(env.started)) == (0.5, "train-1", 1)


def no_retries() -> RolloutLimits:
    return dataclasses.replace(LIMITS, env_retries=0)


async def test_a_rollout_that_the_server_lost_is_begun_anew_and_does_not_count_as_failed(serve_env, env):
    async with LosesRollouts(serve_env(env), times=3) as client:
        got = await run_rollout(client, says("0.5"), byte_chat(), RolloutSpec("train", 1, seed=1), no_retries())
    assert (got.reward, len(set(env.started))) == (0.5, 4)


async def test_the_wait_for_an_absent_environment_is_bounded(serve_env, env, monkeypatch):
    monkeypatch.setattr("envport_trainer.rollouts.attempts.ENV_PATIENCE_S", 0.0)
    async with Absent(serve_env(env), TransportError("http://env", "refused"), times=9) as client:
        with pytest.raises(RolloutFailedError, match=f"{client.url} was away for 0 s: http://env: refused"):
            await run_rollout(client, says("1"), byte_chat(), RolloutSpec("train", 1, seed=1), LIMITS)
        assert client.left == 8


@pytest.mark.parametrize(
    "error",
    [
        UnknownRolloutError("restarted"),
        RolloutEndedError("expired"),
        TransportError("http://env", "connection reset"),
        OverloadedError("full"),
    ],
    ids=["unknown", "ended", "unreachable", "full"],
)
async def test_a_rollout_is_lost_at_most_three_times(serve_env, env, error):
    url = serve_env(env)
    async with LosesAtTheReward(url, error, times=3) as client:
        got = await run_rollout(client, says("0.5"), byte_chat(), RolloutSpec("train", 1, seed=1), no_retries())
    assert (got.reward, len(env.started)) == (0.5, 4)
    async with LosesAtTheReward(url, error, times=4) as client:
        with pytest.raises(RolloutFailedError, match=f"{url} lost the rollout 4 times: "):
            await run_rollout(client, says("0.5"), byte_chat(), RolloutSpec("train", 1, seed=1), no_retries())
    assert len(env.started) == 8
    assert env.ended == env.started


@pytest.mark.parametrize("absent", [True, False], ids=["at the start", "at the reward"])
async def test_an_answer_that_fits_no_protocol_is_a_failure_of_the_environment(serve_env, env, absent):
    """Such as the HTML page of a proxy."""
    kind = Absent if absent else LosesAtTheReward
    spec, error = RolloutSpec("train", 1, seed=1), ProtocolError("http://env", "HTTP 500 without an error body: <html>")
    async with kind(serve_env(env), error, times=2) as client:
        assert (await run_rollout(client, says("0.5"), byte_chat(), spec, LIMITS)).reward == 0.5
    async with kind(client.url, error, times=3) as client:
        with pytest.raises(RolloutFailedError, match=f"{client.url} failed 3 times: http://env: HTTP 500 without"):
            await run_rollout(client, says("0.5"), byte_chat(), spec, LIMITS)


async def test_an_absent_environment_is_told_once_for_all_its_rollouts(serve_env, env, caplog):
    specs = [RolloutSpec("train", 1, seed=seed) for seed in range(4)]
    async with Absent(serve_env(env), TransportError("http://env", "refused"), times=9) as client:
        await asyncio.gather(*(run_rollout(client, says("0.5"), byte_chat(), spec, LIMITS) for spec in specs))
    told = [record.getMessage() for record in caplog.records if record.name.startswith("envport_trainer")]
    assert told == [
        f"{client.url} is away, waiting up to 600 s for it; Ctrl-C is safe, and --resume goes on with a training: "
        "http://env: refused",
        f"{client.url} is back after 0 s",
    ]


def test_what_an_environment_lost_is_told_once_until_it_starts_a_rollout(caplog):
    presence = Presence("http://env")
    presence.lost(UnknownRolloutError("restarted"))
    presence.lost(UnknownRolloutError("restarted"))
    presence.back()
    presence.lost(UnknownRolloutError("again"))
    assert [record.getMessage() for record in caplog.records] == [
        "http://env lost a rollout, trying again: restarted",
        "http://env lost a rollout, trying again: again",
    ]


async def test_a_rollout_that_starts_ends_the_wait_for_an_absent_environment(serve_env, env, monkeypatch):
    """Away, back with a rollout that takes longer than the patience and is lost, and away again."""
    monkeypatch.setattr("envport_trainer.rollouts.attempts.ENV_PATIENCE_S", 0.3)

    class Comes(LosesRollouts):
        starts = 0

        async def start_rollout(self, **task: Any) -> Rollout:
            self.starts += 1
            if self.starts in (1, 3):
                raise TransportError(self.url, "refused")
            return await super().start_rollout(**task)

    def say_slowly(number: int, _: SampleRequest) -> str:
        time.sleep(0.4 if number == 0 else 0.0)
        return "0.5"

    sampler = ScriptedSampler(byte_chat(), say_slowly)
    async with Comes(serve_env(env), times=1) as client:
        got = await run_rollout(client, sampler, sampler.chat, RolloutSpec("train", 1, seed=1), LIMITS)
    assert (got.reward, client.starts) == (0.5, 4)
