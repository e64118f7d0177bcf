"""When a request is sent again, with the same ids, and when the client gives up."""

from __future__ import annotations

import asyncio

import envport
import httpx
import pytest
from envport.retry import Backoff, retry_after_s

URL = "http://env.test:8000"
SAID = {"content": [{"type": "text", "text": "hi"}]}
STARTED = {"rollout_id": "r1", "task_id": "t", "messages": [], "tools": [], "idle_timeout_s": 600.0}

TRANSIENT = {
    "refused": httpx.ConnectError("refused"),
    "dropped": httpx.ReadError("dropped"),
    "half sent": httpx.WriteError("dropped"),
    "no HTTP": httpx.RemoteProtocolError("garbage"),
    "too late": httpx.ReadTimeout("late"),
    "bad gateway": httpx.Response(502, html="<h1>Bad Gateway"),
    "unavailable": httpx.Response(503, text="no upstream"),
}


async def run_tool(http, retry_for_s):
    async with envport.connect(URL, http=http, retry_for_s=retry_for_s) as env:
        rollout = await env.start_rollout(task_id="t")
        return await rollout.run_tool("echo")


@pytest.mark.parametrize("kind", TRANSIENT)
async def test_a_call_without_an_answer_is_sent_again_unchanged(kind, script, scripted_http):
    script.say("/v1/start_rollout", STARTED)
    script.say("/v1/run_tool", TRANSIENT[kind], TRANSIENT[kind], SAID)
    assert (await run_tool(scripted_http, retry_for_s=20.0)).text == "hi"
    first, *again = script.bodies("/v1/run_tool")
    assert again == [first, first]


async def test_a_full_server_is_asked_again(script, scripted_http, wire_error):
    script.say("/v1/start_rollout", wire_error(503, "overloaded", "1000 of 1000", "overloaded"), STARTED)
    script.say("/v1/run_tool", SAID)
    assert (await run_tool(scripted_http, retry_for_s=20.0)).text == "hi"


async def test_a_server_that_stays_full_is_told_with_the_tries(script, scripted_http, wire_error):
    script.say("/v1/start_rollout", wire_error(503, "overloaded", "1000 of 1000", "overloaded"))
    with pytest.raises(envport.OverloadedError, match=r"^1000 of 1000 \(tried \d+ times in 0\.\d s\)$") as caught:
        await run_tool(scripted_http, retry_for_s=0.05)
    assert caught.value.outcome == "overloaded"
    assert script.count("/v1/start_rollout") > 1


async def test_a_wait_beyond_the_budget_is_not_begun(script, scripted_http, wire_error):
    script.say("/v1/start_rollout", wire_error(503, "overloaded", "full", "overloaded", Retry_After="3600"))
    with pytest.raises(envport.OverloadedError, match=r"^full$"):
        await run_tool(scripted_http, retry_for_s=30.0)
    assert script.count("/v1/start_rollout") == 1


async def test_giving_up_names_the_url_the_reason_and_the_tries(script, scripted_http):
    script.say("/v1/start_rollout", STARTED)
    script.say("/v1/run_tool", httpx.ReadError("reset"))
    with pytest.raises(envport.TransportError) as caught:
        await run_tool(scripted_http, retry_for_s=0.0)
    assert str(caught.value) == f"{URL}/v1/run_tool: the connection dropped before the answer came (reset)"
    assert (caught.value.url, caught.value.outcome) == (f"{URL}/v1/run_tool", "infra_error")


async def test_each_call_has_a_request_id_that_its_retries_and_its_error_keep(script, scripted_http):
    script.say("/v1/start_rollout", STARTED)
    script.say("/v1/run_tool", httpx.ReadError("reset"))
    with pytest.raises(envport.TransportError) as caught:
        await run_tool(scripted_http, retry_for_s=0.1)
    ids = {path: set() for path in ("/v1/manifest", "/v1/start_rollout", "/v1/run_tool")}
    for request in script.requests:
        ids[request.url.path].add(request.headers["x-request-id"])
    assert [len(made) for made in ids.values()] == [1, 1, 1]
    assert len(set().union(*ids.values())) == 3
    assert script.count("/v1/run_tool") > 1
    assert {caught.value.request_id} == ids["/v1/run_tool"]


async def test_the_servers_error_has_the_request_id_of_its_answer(script, scripted_http, wire_error):
    script.say("/v1/start_rollout", STARTED)
    script.say("/v1/run_tool", wire_error(500, "infra_error", "failed", X_Request_Id="from-the-server"))
    with pytest.raises(envport.InfraError) as caught:
        await run_tool(scripted_http, retry_for_s=5.0)
    assert caught.value.request_id == "from-the-server"


async def test_a_proxys_refusal_has_the_request_id_of_its_answer(script, scripted_http):
    script.say("/v1/start_rollout", STARTED)
    script.say("/v1/run_tool", httpx.Response(502, html="<h1>Bad Gateway", headers={"x-request-id": "proxied"}))
    with pytest.raises(envport.TransportError) as caught:
        await run_tool(scripted_http, retry_for_s=0.05)
    assert caught.value.request_id == "proxied"


async def test_a_call_past_its_deadline_and_margin_is_sent_again(script, scripted_http, monkeypatch):
    monkeypatch.setattr("envport.transport.MARGIN_S", 0.05)
    script.say("/v1/start_rollout", STARTED)
    script.say("/v1/run_tool", SAID)
    answer = script.answer
    hung: list[httpx.Request] = []

    async def hangs_once(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/run_tool" and not hung:
            hung.append(request)
            await asyncio.Event().wait()
        return await answer(request)

    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(hangs_once)) as http,
        envport.connect(URL, http=http) as env,
    ):
        rollout = await env.start_rollout(task_id="t")
        assert (await rollout.run_tool("echo", timeout_s=0.05)).text == "hi"
    assert [request.content for request in hung] == [script.requests[-1].content]


async def test_a_server_that_hangs_is_a_transport_error(script, scripted_http, monkeypatch):
    monkeypatch.setattr("envport.transport.MARGIN_S", 0.02)

    async def hangs(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with httpx.AsyncClient(transport=httpx.MockTransport(hangs)) as http:
        with pytest.raises(envport.TransportError) as caught:
            await envport.connect(URL, http=http, timeout_s=0.03, retry_for_s=0.0).open()
    assert str(caught.value) == f"{URL}/v1/manifest: no answer within 0.05 s"


async def test_a_cancelled_call_is_not_sent_again(script, scripted_http):
    script.say("/v1/start_rollout", STARTED)
    script.say("/v1/run_tool", httpx.Response(503, headers={"retry-after": "5"}))
    async with envport.connect(URL, http=scripted_http) as env:
        rollout = await env.start_rollout(task_id="t")
        call = asyncio.create_task(rollout.run_tool("echo"))
        while not script.count("/v1/run_tool"):
            await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert script.count("/v1/run_tool") == 1


def test_waits_grow_to_the_cap_and_are_spread_from_zero(monkeypatch):
    ranges = []
    monkeypatch.setattr("envport.retry.random.uniform", lambda low, high: ranges.append((low, high)) or high)
    backoff = Backoff(first_s=0.5, cap_s=3.0)
    assert [backoff.delay_s(tries, 100.0) for tries in (1, 2, 3, 4, 5000)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert ranges == [(0.0, 0.5), (0.0, 1.0), (0.0, 2.0), (0.0, 3.0), (0.0, 3.0)]
    assert backoff.delay_s(1, 100.0, at_least_s=7.0) == 7.5
    assert backoff.delay_s(3, 1.5) == 1.5
    assert backoff.delay_s(3, 0.0) is None
    assert backoff.delay_s(3, 6.9, at_least_s=7.0) is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, 0.0), ("2", 2.0), ("0.5", 0.5), ("-1", 0.0), ("inf", 0.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0.0)],
)
def test_retry_after_is_read_in_seconds(header, seconds):
    assert retry_after_s(header) == seconds
