"""What each verb sends, what it returns, and the errors it raises."""

from __future__ import annotations

import asyncio

import envport
import envport.rollout
import httpx
import pytest
from envport_protocol import BaseEnv, tool
from envport_protocol.messages import Message, RewardScore, ToolSpec

URL = "http://env.test:8000"

STARTED = {
    "rollout_id": "r1",
    "task_id": "train-0",
    "messages": [{"role": "user", "content": "Say it."}],
    "tools": [{"name": "echo", "parameters": {"type": "object", "properties": {"text": {"type": "string"}}}}],
    "idle_timeout_s": 600.0,
    "from_a_later_version": True,
}

MATCH = {"score": 1.0, "weight": 0.5, "reason": "says what was asked"}


@pytest.fixture
async def env(script, scripted_http):
    script.say("/v1/start_rollout", STARTED)
    script.say("/v1/run_tool", {"content": [{"type": "text", "text": "hi"}]})
    script.say("/v1/compute_reward", {"reward": 0.5, "rewards": {"match": MATCH}})
    script.say("/v1/end_rollout", {"rollout_id": "r1"})
    async with envport.connect(URL, http=scripted_http, retry_for_s=5.0) as env:
        yield env


async def test_tasks_are_paged(env, script):
    task = {"task_id": "t-7", "split": "train", "index": 7, "messages": [{"role": "user", "content": "Seven?"}]}
    script.say("/v1/tasks", {"tasks": [task], "total": 8, "offset": 7})
    page = await env.tasks("train", offset=7, limit=3)
    assert (page.total, page.offset, page.tasks[0].task_id) == (8, 7, "t-7")
    assert page.tasks[0].messages == [Message(role="user", content="Seven?")]
    assert dict(script.requests[-1].url.params) == {"split": "train", "offset": "7", "limit": "3"}


async def test_a_rollout_has_its_first_messages_and_tools(env, script):
    rollout = await env.start_rollout(split="train", index=0, seed=3, rollout_id="r1")
    assert (rollout.rollout_id, rollout.task_id, rollout.idle_timeout_s) == ("r1", "train-0", 600.0)
    assert rollout.messages == [Message(role="user", content="Say it.")]
    assert rollout.tools == [
        ToolSpec(name="echo", parameters={"type": "object", "properties": {"text": {"type": "string"}}})
    ]
    assert script.bodies("/v1/start_rollout") == [{"rollout_id": "r1", "split": "train", "index": 0, "seed": 3}]


async def test_a_rollout_of_given_messages_takes_dicts_and_ground_truth(env, script):
    await env.start_rollout(messages=[{"role": "user", "content": "2+2?"}], ground_truth={"n": None}, rollout_id="r1")
    assert script.bodies("/v1/start_rollout") == [
        {"rollout_id": "r1", "messages": [{"role": "user", "content": "2+2?"}], "ground_truth": {"n": None}}
    ]


async def test_a_tool_call_carries_its_ids_and_arguments(env, script):
    rollout = await env.start_rollout(task_id="train-0")
    answer = await rollout.run_tool("echo", {"text": "hi", "n": None}, call_id="c1", timeout_s=2.5)
    assert (answer.text, answer.outcome, answer.trainable) == ("hi", envport.Outcome.OK, True)
    assert script.bodies("/v1/run_tool") == [
        {
            "rollout_id": "r1",
            "call_id": "c1",
            "tool_name": "echo",
            "arguments": {"text": "hi", "n": None},
            "timeout_s": 2.5,
        }
    ]


async def test_ids_are_made_where_none_are_given(env, script):
    rollout = await env.start_rollout(task_id="train-0")
    await rollout.run_tool("echo")
    await rollout.run_tool("echo")
    first, second = script.bodies("/v1/run_tool")
    assert first["call_id"] != second["call_id"]
    assert len(script.bodies("/v1/start_rollout")[0]["rollout_id"]) == 32


async def test_the_clients_time_limit_goes_with_each_tool_call(script, scripted_http, env):
    async with envport.connect(URL, http=scripted_http, timeout_s=7.0) as hurried:
        rollout = await hurried.start_rollout(task_id="train-0")
        await rollout.run_tool("echo")
    assert script.bodies("/v1/run_tool")[0]["timeout_s"] == 7.0


async def test_a_reward_has_its_components(env, script):
    rollout = await env.start_rollout(task_id="train-0")
    answer = await rollout.compute_reward("hi")
    expected = RewardScore(score=1.0, weight=0.5, reason="says what was asked")
    assert (answer.reward, answer.rewards) == (0.5, {"match": expected})
    await rollout.compute_reward([{"role": "assistant", "content": "hi"}, Message(role="tool", content="x")])
    assert [body["completion"] for body in script.bodies("/v1/compute_reward")] == [
        "hi",
        [{"role": "assistant", "content": "hi"}, {"role": "tool", "content": "x"}],
    ]


async def test_a_server_of_an_earlier_version_gives_scores_without_reasons(env, script):
    script.say("/v1/compute_reward", {"reward": 0.5, "rewards": {"match": {"score": 1.0, "weight": 0.5}}})
    answer = await (await env.start_rollout(task_id="train-0")).compute_reward("hi")
    assert answer.rewards["match"].reason is None


async def test_a_rollout_is_ended_on_the_way_out(env, script):
    async with await env.start_rollout(task_id="train-0"):
        assert script.count("/v1/end_rollout") == 0
    assert script.bodies("/v1/end_rollout") == [{"rollout_id": "r1"}]


async def test_the_bodys_own_error_is_not_hidden_by_a_failing_end(env, script):
    script.say("/v1/end_rollout", httpx.ConnectError("down"))
    with pytest.raises(ValueError, match="mine"):
        async with await env.start_rollout(task_id="train-0"):
            raise ValueError("mine")
    assert script.count("/v1/end_rollout") == 1


async def test_a_server_that_hangs_does_not_hold_an_error_back(env, script, monkeypatch):
    monkeypatch.setattr(envport.rollout, "LEAVE_S", 0.01)

    async def interrupted():
        async with await env.start_rollout(task_id="t"):
            script.hangs = True
            raise KeyError("own")

    async with asyncio.timeout(5):
        with pytest.raises(KeyError, match="own"):
            await interrupted()
    assert script.count("/v1/end_rollout") == 1


@pytest.mark.parametrize(("status", "code"), [(404, "unknown_rollout"), (410, "rollout_ended")])
async def test_a_rollout_that_the_server_lost_needs_no_end(env, script, wire_error, status, code):
    script.say("/v1/end_rollout", wire_error(status, code, "gone", "lost"))
    rollout = await env.start_rollout(task_id="train-0")
    async with rollout:
        pass
    with pytest.raises(envport.UnknownRolloutError if status == 404 else envport.RolloutEndedError, match="gone"):
        await rollout.end()


ERRORS = [
    (422, "invalid_request", "infra_error", envport.InvalidRequestError),
    (404, "unknown_task", "infra_error", envport.UnknownTaskError),
    (404, "unknown_rollout", "lost", envport.UnknownRolloutError),
    (410, "rollout_ended", "lost", envport.RolloutEndedError),
    (409, "id_conflict", "infra_error", envport.IdConflictError),
    (413, "body_too_large", "infra_error", envport.BodyTooLargeError),
    (404, "not_found", "infra_error", envport.NotFoundError),
    (504, "timeout", "timeout", envport.CallTimeoutError),
    (500, "env_error", "env_error", envport.EnvFailedError),
    (500, "infra_error", "infra_error", envport.InfraError),
]


@pytest.mark.parametrize(("status", "code", "outcome", "error_type"), ERRORS)
async def test_the_servers_error_is_raised_as_its_class_and_not_asked_for_again(
    env, script, wire_error, status, code, outcome, error_type
):
    script.say("/v1/run_tool", wire_error(status, code, "seen, expected, do", outcome))
    rollout = await env.start_rollout(task_id="train-0")
    with pytest.raises(error_type) as caught:
        await rollout.run_tool("echo")
    assert (type(caught.value), str(caught.value)) == (error_type, "seen, expected, do")
    assert caught.value.outcome == outcome
    assert script.count("/v1/run_tool") == 1


async def test_a_misfit_is_told_before_it_is_sent(env, script):
    with pytest.raises(envport.InvalidRequestError) as caught:
        await env.start_rollout(split="train")
    assert str(caught.value) == (
        "start_rollout was not sent: the request: Value error, "
        "name the task in exactly one way: task_id, or split with index, or messages"
    )
    with pytest.raises(envport.InvalidRequestError, match=r"start_rollout was not sent: role: Input should be"):
        await env.start_rollout(messages=[{"role": "wizard", "content": ""}])
    assert script.count("/v1/start_rollout") == 0


@pytest.mark.parametrize("value", [object(), "half a pair \ud83d"])
async def test_what_has_no_json_is_told_before_it_is_sent(env, script, value):
    rollout = await env.start_rollout(task_id="train-0")
    with pytest.raises(envport.InvalidRequestError, match="RunToolRequest was not sent, it cannot be written as JSON"):
        await rollout.run_tool("echo", {"text": value})
    assert script.count("/v1/run_tool") == 0


async def test_an_answer_that_does_not_fit_says_where(env, script):
    script.say("/v1/run_tool", {"content": "hi"})
    rollout = await env.start_rollout(task_id="train-0")
    with pytest.raises(envport.ProtocolError) as caught:
        await rollout.run_tool("echo")
    assert str(caught.value) == (
        f"{URL}/v1/run_tool: answered no RunToolAnswer: at content: Input should be a valid list"
    )


async def test_a_score_that_is_no_finite_number_is_refused(env, script):
    script.say("/v1/compute_reward", httpx.Response(200, content=b'{"reward": NaN, "rewards": {}}'))
    rollout = await env.start_rollout(task_id="train-0")
    with pytest.raises(envport.ProtocolError, match="expected JSON"):
        await rollout.compute_reward("hi")


async def test_an_answer_without_end_is_cut_off(env, script, monkeypatch):
    monkeypatch.setattr("envport.http.MAX_ANSWER_BYTES", 1000)
    script.say("/v1/run_tool", {"content": [{"text": "x" * 1000}]})
    rollout = await env.start_rollout(task_id="train-0")
    with pytest.raises(envport.ProtocolError, match="the answer is over 1000 bytes, the most that this client takes"):
        await rollout.run_tool("echo")


async def test_an_answer_that_cannot_be_decompressed_is_told(env, scripted_http):
    async def garbled(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(b"not gzip"))

    async with httpx.AsyncClient(transport=httpx.MockTransport(garbled)) as http:
        with pytest.raises(envport.ProtocolError, match="its answer cannot be decompressed"):
            await envport.connect(URL, http=http).open()


@pytest.mark.parametrize("capability", ["fork", "cancel"])
async def test_what_a_server_cannot_do_is_told_before_anything_is_sent(capability, script, scripted_http):
    script.can("tools", "tasks")
    script.say("/v1/start_rollout", STARTED)
    async with envport.connect(URL, http=scripted_http) as env:
        rollout = await env.start_rollout(task_id="t")
        with pytest.raises(envport.UnsupportedError) as caught:
            await (rollout.fork() if capability == "fork" else rollout.cancel("c1"))
    assert str(caught.value) == (
        f"{URL}: this environment or its server cannot {capability}; its capabilities: tools, tasks"
    )
    assert len(script.requests) == 2


async def test_a_given_httpx_clients_own_timeouts_cut_no_call(serve_env):
    class Slow(BaseEnv):
        @tool
        async def wait(self) -> str:
            """Takes longer than the client reads."""
            await asyncio.sleep(0.3)
            return "done"

    async with (
        httpx.AsyncClient(timeout=httpx.Timeout(0.05, connect=5.0)) as http,
        envport.connect(serve_env(Slow()), http=http, retry_for_s=0.0) as env,
    ):
        rollout = await env.start_rollout(messages=[{"role": "user", "content": ""}])
        answers = await rollout.run_tools([("wait", {})] * 2)
        assert [answer.text for answer in [*answers, await rollout.run_tool("wait")]] == ["done"] * 3
