"""What becomes of calls under way when their client is closed, over either HTTP library."""

from __future__ import annotations

import asyncio
import threading

import envport
import httpx
import pytest
from envport_protocol import BaseEnv, tool

URL = "http://env.test:8000"


class Waits(BaseEnv):
    """Has a tool that never returns by itself."""

    def __init__(self) -> None:
        self.running = threading.Semaphore(0)

    @tool
    async def wait(self) -> str:
        """Waits."""
        self.running.release()
        await asyncio.Event().wait()
        return "never"


@pytest.mark.parametrize("batch", [True, False], ids=["batched", "alone"])
@pytest.mark.parametrize("library", ["aiohttp", "httpx"])
async def test_a_call_under_way_is_told_at_once(library, batch, serve_env):
    server = Waits()
    async with httpx.AsyncClient() as http:
        async with envport.connect(
            serve_env(server), batch=batch, http=http if library == "httpx" else None, retry_for_s=60.0
        ) as env:
            rollout = await env.start_rollout(messages=[{"role": "user", "content": ""}])
            calls = [asyncio.create_task(rollout.run_tool("wait")) for _ in range(2)]
            for _ in calls:
                assert await asyncio.to_thread(server.running.acquire, timeout=10)
        async with asyncio.timeout(5):
            told = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(error) for error in told] == [envport.TransportError] * 2
    assert {str(error).partition(": ")[2] for error in told} == {"this client was closed"}


async def test_nothing_is_sent_again_after_closing(script, scripted_http):
    script.say("/v1/list_tools", httpx.ReadError("dropped"))
    async with envport.connect(URL, http=scripted_http, retry_for_s=600.0) as env:
        call = asyncio.create_task(env.list_tools())
        while script.count("/v1/list_tools") == 0:
            await asyncio.sleep(0)
    sent = script.count("/v1/list_tools")
    async with asyncio.timeout(5):
        with pytest.raises(envport.TransportError, match="this client was closed"):
            await call
    assert script.count("/v1/list_tools") == sent


async def test_a_rollout_of_a_closed_client_says_so_and_sends_nothing(script, scripted_http):
    script.say(
        "/v1/start_rollout",
        {"rollout_id": "r1", "task_id": "t", "messages": [], "tools": [], "idle_timeout_s": 600.0},
    )
    async with envport.connect(URL, http=scripted_http) as env:
        rollout = await env.start_rollout(task_id="t")
    with pytest.raises(envport.TransportError, match="/v1/run_tool: this client was closed"):
        await rollout.run_tool("echo")
    assert script.count("/v1/run_tool") == 0


async def test_a_caller_that_is_cancelled_while_its_client_closes_is_cancelled(script, scripted_http):
    script.say("/v1/list_tools", {"tools": []})
    async with envport.connect(URL, http=scripted_http) as env:
        script.hangs = True
        call = asyncio.create_task(env.list_tools())
        while script.count("/v1/list_tools") == 0:
            await asyncio.sleep(0)
        call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
