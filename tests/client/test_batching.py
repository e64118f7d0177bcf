"""Calls made at one moment share a request, and none of them is any the worse for it."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager

import envport
import httpx
import pytest
from envport_protocol import BaseEnv, tool

URL = "http://env.test:8000"
STARTED = {"rollout_id": "r1", "task_id": "t", "messages": [], "tools": [], "idle_timeout_s": 600.0}


def said(text: str) -> dict:
    return {"content": [{"type": "text", "text": text}]}


@pytest.fixture
def http(script, scripted_http, monkeypatch):
    monkeypatch.setattr("envport.batching.LINE_RETRY_AFTER_S", "0")
    script.can("batch", max_batch=256)
    script.say("/v1/start_rollout", STARTED)
    script.say("/v1/run_tool", said("alone"))
    return scripted_http


@asynccontextmanager
async def rollout_of(http, **options):
    async with envport.connect(URL, http=http, **options) as env:
        yield await env.start_rollout(task_id="t")


def called(rollout, *texts, **options):
    return [asyncio.create_task(rollout.run_tool("echo", {"text": text}, **options)) for text in texts]


async def ended(task):
    """The text of a call that has its answer, or its error."""
    async with asyncio.timeout(5):
        return (await task).text


async def test_calls_of_one_moment_share_a_request_and_each_gets_its_own_answer(script, http):
    async with rollout_of(http) as rollout:
        first, second, third = called(rollout, "a", "b", "c")
        batch = await script.batches.get()
        assert [(call["verb"], call["body"]["arguments"]) for call in batch.calls] == [
            ("run_tool", {"text": "a"}),
            ("run_tool", {"text": "b"}),
            ("run_tool", {"text": "c"}),
        ]
        batch.send(batch.line(2, said("C")) + batch.line(0, said("A")) + batch.line(1, said("B")))
        batch.send(None)
        assert [await ended(task) for task in (first, second, third)] == ["A", "B", "C"]
    assert script.count("/v1/batch") == 1
    assert script.count("/v1/run_tool") == 0


async def test_a_call_that_is_alone_is_sent_alone(script, http):
    async with rollout_of(http) as rollout:
        assert (await rollout.run_tool("echo")).text == "alone"
    assert script.count("/v1/batch") == 0


async def test_a_slow_call_delays_no_other(script, http):
    async with rollout_of(http) as rollout:
        slow, quick = called(rollout, "slow", "quick")
        batch = await script.batches.get()
        batch.answer(1, said("at once"))
        assert await ended(quick) == "at once"
        assert not slow.done()
        batch.answer(0, said("at last"))
        assert await ended(slow) == "at last"


async def test_an_answer_may_come_in_any_pieces(script, http):
    async with rollout_of(http) as rollout:
        tasks = called(rollout, "a", "b")
        batch = await script.batches.get()
        for byte in batch.line(0, said("Ä")) + batch.line(1, said("B")):
            batch.send(bytes([byte]))
        assert [await ended(task) for task in tasks] == ["Ä", "B"]


async def test_the_last_line_needs_no_newline(script, http):
    async with rollout_of(http) as rollout:
        tasks = called(rollout, "a", "b")
        batch = await script.batches.get()
        batch.send(batch.line(0, said("A")) + batch.line(1, said("B"))[:-1])
        batch.send(None)
        assert [await ended(task) for task in tasks] == ["A", "B"]
    assert script.count("/v1/run_tool") == 0


BREAKS = {"dropped": httpx.ReadError("reset"), "no HTTP": httpx.RemoteProtocolError("garbage"), "ended": None}


@pytest.mark.parametrize("kind", BREAKS)
async def test_what_was_unanswered_when_a_batch_broke_is_sent_again_with_its_own_ids(kind, script, http):
    async with rollout_of(http, retry_for_s=20.0) as rollout:
        answered, lost = called(rollout, "a", "b")
        batch = await script.batches.get()
        batch.send(batch.line(0, said("A")) + batch.line(1, said("B"))[:-20])
        batch.send(BREAKS[kind])
        assert [await ended(answered), await ended(lost)] == ["A", "alone"]
    assert script.bodies("/v1/run_tool") == [batch.calls[1]["body"]]


async def test_a_batch_that_breaks_without_retries_is_told_with_its_request_id(script, http):
    async with rollout_of(http, retry_for_s=0.0) as rollout:
        tasks = called(rollout, "a", "b")
        batch = await script.batches.get()
        batch.send(httpx.ReadError("reset"))
        for task in tasks:
            with pytest.raises(envport.TransportError) as caught:
                await ended(task)
            assert str(caught.value) == f"{URL}/v1/batch: the connection dropped before the answer came (reset)"
            assert caught.value.request_id == batch.request_id


async def test_each_call_keeps_its_own_deadline(script, http, monkeypatch):
    monkeypatch.setattr("envport.transport.MARGIN_S", 0.01)
    async with rollout_of(http, retry_for_s=0.0) as rollout:
        (hurried,) = called(rollout, "a", timeout_s=0.02)
        (patient,) = called(rollout, "b", timeout_s=60.0)
        batch = await script.batches.get()
        with pytest.raises(envport.TransportError) as caught:
            await ended(hurried)
        assert str(caught.value) == f"{URL}/v1/run_tool: no answer within 0.03 s"
        assert not patient.done()
        batch.answer(0, said("too late"))
        batch.answer(1, said("B"))
        assert await ended(patient) == "B"


async def test_a_batch_past_all_its_deadlines_is_broken_off(script, http, monkeypatch):
    monkeypatch.setattr("envport.transport.MARGIN_S", 0.01)
    async with rollout_of(http, retry_for_s=0.0) as rollout:
        tasks = called(rollout, "a", "b", timeout_s=0.01)
        batch = await script.batches.get()
        assert [type(error) for error in await asyncio.gather(*tasks, return_exceptions=True)] == [
            envport.TransportError
        ] * 2
        async with asyncio.timeout(5):
            await batch.was_left.wait()


async def test_an_error_in_a_line_is_its_callers_alone(script, http, wire_error):
    async with rollout_of(http) as rollout:
        fails, goes_on = called(rollout, "a", "b")
        batch = await script.batches.get()
        batch.answer(0, wire_error(500, "env_error", "broken", "env_error").json(), status=500)
        with pytest.raises(envport.EnvFailedError, match="broken") as caught:
            await ended(fails)
        assert caught.value.request_id == batch.request_id
        batch.answer(1, said("B"))
        assert await ended(goes_on) == "B"
    assert script.count("/v1/run_tool") == 0


async def test_a_full_server_is_asked_again_for_that_call_alone(script, http, wire_error):
    async with rollout_of(http, retry_for_s=20.0) as rollout:
        refused, taken = called(rollout, "a", "b")
        batch = await script.batches.get()
        batch.answer(0, wire_error(503, "overloaded", "full", "overloaded").json(), status=503)
        batch.answer(1, said("B"))
        assert [await ended(refused), await ended(taken)] == ["alone", "B"]
    assert script.bodies("/v1/run_tool") == [batch.calls[0]["body"]]


async def test_a_refusal_in_a_line_is_taken_to_ask_for_a_second(script, scripted_http, wire_error):
    script.can("batch")
    script.say("/v1/start_rollout", STARTED)
    async with rollout_of(scripted_http, retry_for_s=0.9) as rollout:
        tasks = called(rollout, "a", "b")
        batch = await script.batches.get()
        for number in (0, 1):
            batch.answer(number, wire_error(503, "overloaded", "full", "overloaded").json(), status=503)
        for task in tasks:
            with pytest.raises(envport.OverloadedError, match=r"^full$"):
                await ended(task)


async def test_a_cancelled_caller_takes_no_other_along(script, http):
    async with rollout_of(http) as rollout:
        leaves, stays = called(rollout, "a", "b")
        batch = await script.batches.get()
        leaves.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaves
        batch.answer(0, said("for nobody"))
        batch.answer(1, said("B"))
        assert await ended(stays) == "B"


async def test_a_batch_that_nobody_waits_for_is_broken_off(script, http):
    async with rollout_of(http) as rollout:
        tasks = called(rollout, "a", "b")
        batch = await script.batches.get()
        for task in tasks:
            task.cancel()
        async with asyncio.timeout(5):
            await batch.was_left.wait()
        assert [task.cancelled() for task in tasks] == [True, True]


async def test_a_batch_whose_last_callers_left_is_broken_off_though_others_had_their_answers(script, http):
    async with rollout_of(http) as rollout:
        answered, leaves = called(rollout, "a", "b")
        batch = await script.batches.get()
        batch.answer(0, said("A"))
        assert await ended(answered) == "A"
        leaves.cancel()
        async with asyncio.timeout(5):
            await batch.was_left.wait()


async def test_a_client_that_is_closed_leaves_no_caller_of_a_batch_waiting(serve_env):
    class Waits(BaseEnv):
        @tool
        async def wait(self) -> str:
            """Never returns by itself."""
            running.set()
            await asyncio.Event().wait()
            return "never"

    running = threading.Event()
    async with envport.connect(serve_env(Waits())) as env:
        rollout = await env.start_rollout(messages=[{"role": "user", "content": ""}])
        tasks = [asyncio.create_task(rollout.run_tool("wait")) for _ in range(2)]
        while not running.is_set():
            await asyncio.sleep(0.005)
    async with asyncio.timeout(5):
        told = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in told] == [envport.TransportError] * 2


async def test_a_call_that_was_cancelled_at_once_is_not_sent(script, http):
    async with rollout_of(http) as rollout:
        tasks = called(rollout, "a", "b", "c")
        await asyncio.sleep(0)
        tasks[0].cancel()
        batch = await script.batches.get()
        assert [call["body"]["arguments"]["text"] for call in batch.calls] == ["b", "c"]
        for number in (0, 1):
            batch.answer(number, said("x"))
        await asyncio.gather(*tasks[1:])


async def test_a_batch_holds_no_more_calls_than_the_server_takes(script, http):
    script.can("batch", max_batch=2)
    async with rollout_of(http) as rollout:
        tasks = called(rollout, "a", "b", "c", "d", "e")
        for _ in range(2):
            batch = await script.batches.get()
            assert len(batch.calls) == 2
            for number in (0, 1):
                batch.answer(number, said(batch.calls[number]["body"]["arguments"]["text"]))
        assert [await ended(task) for task in tasks] == ["a", "b", "c", "d", "alone"]


async def test_a_batch_holds_no_more_bytes_than_the_server_takes(script, http):
    limit = 2000
    script.can("batch", max_body_bytes=limit)
    async with rollout_of(http) as rollout:
        tasks = called(rollout, *["x" * 500] * 6, "y" * 3000)
        for _ in range(3):
            batch = await script.batches.get()
            assert len(batch.calls) == 2
            for number in (0, 1):
                batch.answer(number, said("together"))
        assert [await ended(task) for task in tasks] == ["together"] * 6 + ["alone"]
    sizes = [len(request.content) for request in script.requests if request.url.path == "/v1/batch"]
    assert max(sizes) <= limit


@pytest.mark.parametrize("why", ["the caller wants none", "the server has none"])
async def test_without_batches_each_call_is_sent_alone(why, script, http):
    if why == "the server has none":
        script.can("tools")
    async with rollout_of(http, batch=why == "the server has none") as rollout:
        answers = await asyncio.gather(*called(rollout, "a", "b"))
        assert [answer.text for answer in answers] == ["alone", "alone"]
    assert script.count("/v1/batch") == 0


@pytest.mark.parametrize(
    ("status", "code"),
    [(422, "invalid_request"), (404, "not_found"), (413, "body_too_large"), (415, "unsupported_media_type")],
)
async def test_after_a_batch_that_the_server_does_not_take_each_call_is_sent_alone(
    status, code, script, http, wire_error
):
    script.say("/v1/batch", wire_error(status, code, "no batch"))
    async with rollout_of(http) as rollout:
        assert [await ended(task) for task in called(rollout, "a", "b")] == ["alone", "alone"]
    assert script.count("/v1/batch") == 1


@pytest.mark.parametrize(
    ("status", "code", "error_type"),
    [(401, "unauthorized", envport.UnauthorizedError), (503, "overloaded", envport.OverloadedError)],
)
async def test_a_batch_that_is_refused_is_refused_for_each_of_its_calls(
    status, code, error_type, script, http, wire_error
):
    script.say("/v1/batch", wire_error(status, code, "not you"))
    async with rollout_of(http, retry_for_s=0.0) as rollout:
        for task in called(rollout, "a", "b"):
            with pytest.raises(error_type, match="not you"):
                await ended(task)


NO_LINES = {
    "a page": (b"<html>\n", "answered the line '<html>', expected id, status and body"),
    "another line": (b'{"jsonrpc": "2.0"}\n', 'answered the line \'{"jsonrpc": "2.0"}\', expected id'),
    "a list": (b"[1]\n", "answered the line '[1]', expected id"),
    "a text for a status": (b'{"id": "0", "status": "ok", "body": {}}\n', "expected id, status and body"),
    "too long a line": (b"x" * 1001, "the answer is over 1000 bytes"),
}


@pytest.mark.parametrize("kind", NO_LINES)
async def test_what_is_no_line_is_told_to_all_who_wait(kind, script, http, monkeypatch):
    monkeypatch.setattr("envport.http.MAX_ANSWER_BYTES", 1000)
    line, told = NO_LINES[kind]
    async with rollout_of(http) as rollout:
        answered, *waiting = called(rollout, "a", "b", "c")
        batch = await script.batches.get()
        batch.answer(0, said("A"))
        assert await ended(answered) == "A"
        batch.send(line)
        for task in waiting:
            with pytest.raises(envport.ProtocolError) as caught:
                await ended(task)
            assert told in str(caught.value)


async def test_lines_together_may_be_longer_than_one_answer(script, http, monkeypatch):
    monkeypatch.setattr("envport.http.MAX_ANSWER_BYTES", 1000)
    async with rollout_of(http) as rollout:
        tasks = called(rollout, *"abcd")
        batch = await script.batches.get()
        for number in range(4):
            batch.answer(number, said("x" * 600))
        assert [len(await ended(task)) for task in tasks] == [600] * 4


async def test_an_answer_that_came_twice_counts_once(script, http):
    async with rollout_of(http) as rollout:
        tasks = called(rollout, "a", "b")
        batch = await script.batches.get()
        for text in ("first", "second"):
            batch.answer(0, said(text))
        batch.answer(1, said("B"))
        assert [await ended(task) for task in tasks] == ["first", "B"]


async def test_no_batch_is_left_over_when_its_callers_have_their_answers(script, http):
    async with rollout_of(http) as rollout:
        tasks = called(rollout, "a", "b")
        batch = await script.batches.get()
        for number in (0, 1):
            batch.answer(number, said("x"))
        batch.send(None)
        await asyncio.gather(*tasks)
        await batch.was_left.wait()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_batch_whose_lines_all_came_but_that_does_not_end_is_broken_off(script, http, monkeypatch):
    monkeypatch.setattr("envport.batching._LINGER_S", 0.01)
    async with rollout_of(http) as rollout:
        tasks = called(rollout, "a", "b")
        batch = await script.batches.get()
        for number in (0, 1):
            batch.answer(number, said("x"))
        assert [await ended(task) for task in tasks] == ["x", "x"]
        async with asyncio.timeout(5):
            await batch.was_left.wait()


async def test_a_turns_calls_are_sent_together_and_their_answers_keep_their_order(script, http):
    async with rollout_of(http) as rollout:
        turn = asyncio.create_task(rollout.run_tools([("echo", {"text": "a"}), ("echo", {})], call_ids=["c-0", "c-1"]))
        batch = await script.batches.get()
        assert [call["body"]["call_id"] for call in batch.calls] == ["c-0", "c-1"]
        batch.answer(1, said("B"))
        batch.answer(0, said("A"))
        assert [answer.text for answer in await turn] == ["A", "B"]


async def test_the_first_error_of_a_turn_is_raised_when_all_its_calls_have_ended(script, http, wire_error):
    async with rollout_of(http) as rollout:
        turn = asyncio.create_task(rollout.run_tools([("echo", {})] * 3))
        batch = await script.batches.get()
        batch.answer(2, wire_error(500, "infra_error", "third").json(), status=500)
        batch.answer(1, wire_error(500, "env_error", "second", "env_error").json(), status=500)
        assert (await asyncio.wait({turn}, timeout=0.05))[0] == set()
        batch.answer(0, said("A"))
        with pytest.raises(envport.EnvFailedError, match="second"):
            await turn
