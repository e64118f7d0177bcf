"""The caller's token goes to the server and nowhere else."""

from __future__ import annotations

import asyncio
import logging
import traceback

import envport
import httpx
import pytest
from envport_protocol import BaseEnv, reward, tool
from envport_protocol.config import ServeConfig, Tokens

URL = "http://env.test:8000"
TOKEN = "trainer-0123456789abcdef"
AGENT = "agent-0123456789abcdef"


async def test_it_is_sent_with_every_request(script, scripted_http):
    script.say("/v1/list_tools", {"tools": []})
    async with envport.connect(URL, token=TOKEN, http=scripted_http) as env:
        await env.list_tools()
    assert [request.headers["authorization"] for request in script.requests] == [f"Bearer {TOKEN}"] * 2


async def test_without_one_nothing_is_sent(script, scripted_http):
    async with envport.connect(URL, http=scripted_http):
        pass
    assert "authorization" not in script.requests[0].headers


async def test_it_does_not_follow_a_redirect_though_the_given_client_would(script):
    script.say("/v1/manifest", httpx.Response(307, headers={"location": "http://env.test:8000/elsewhere"}))
    async with httpx.AsyncClient(transport=httpx.MockTransport(script.answer), follow_redirects=True) as http:
        with pytest.raises(envport.NotAnEnvironmentError, match="HTTP 307"):
            await envport.connect(URL, token=TOKEN, http=http).open()
    assert [request.url.path for request in script.requests] == ["/v1/manifest"]


@pytest.mark.parametrize("token", ["", "two words", "line\r\nX-Evil: 1", "Ünicode", "x" * 513])
def test_what_cannot_stand_in_a_header_is_refused_and_not_repeated(token):
    with pytest.raises(envport.InvalidRequestError) as caught:
        envport.connect(URL, token=token)
    assert str(caught.value) == ("the token cannot be sent: expected 1 to 512 printable ASCII characters, no spaces")


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(65536)
    writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
    writer.close()


async def test_it_is_in_no_error_and_in_no_log(script, scripted_http, wire_error, caplog):
    caplog.set_level(logging.DEBUG)
    server = await asyncio.start_server(garbage, "127.0.0.1", 0)
    script.say("/v1/manifest", wire_error(401, "unauthorized", "no token that this server knows"))
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for client in (
            envport.connect(url, token=TOKEN, retry_for_s=0.1),
            envport.connect(URL, token=TOKEN, http=scripted_http),
        ):
            with pytest.raises(envport.EnvportError) as caught:
                await client.open()
            told = "".join(traceback.format_exception(caught.value))
            causes = [caught.value]
            while causes[-1].__cause__ or causes[-1].__context__:
                causes.append(causes[-1].__cause__ or causes[-1].__context__)
            shown = [repr(client), told, *map(repr, causes), *(repr(vars(cause)) for cause in causes)]
            assert [text for text in shown if TOKEN in text] == []
    assert [record for record in caplog.records if TOKEN in record.getMessage()] == []


async def test_a_rollouts_own_token_is_in_no_repr(script, scripted_http):
    script.say(
        "/v1/start_rollout",
        {"rollout_id": "r1", "task_id": "t", "messages": [], "tools": [], "idle_timeout_s": 60.0, "token": TOKEN},
    )
    async with envport.connect(URL, http=scripted_http) as env:
        rollout = await env.start_rollout(task_id="t")
    assert rollout.token == TOKEN
    assert [shown for shown in (repr(rollout), repr(rollout.answer), str(rollout.answer)) if TOKEN in shown] == []


class Echo(BaseEnv):
    @tool
    def echo(self, text: str) -> str:
        """Says it again."""
        return text

    @reward()
    def said(self, completion):
        return 1.0


@pytest.fixture
def guarded(serve_env):
    return serve_env(Echo(), ServeConfig(tokens=Tokens(trainer=TOKEN, agent=AGENT)))


async def test_a_real_server_lets_the_trainer_in(guarded):
    async with (
        envport.connect(guarded, token=TOKEN) as env,
        await env.start_rollout(messages=[{"role": "user", "content": ""}]) as rollout,
    ):
        answers = await rollout.run_tools([("echo", {"text": text}) for text in "ab"])
        assert [answer.text for answer in answers] == ["a", "b"]
        assert (await rollout.compute_reward("x")).reward == 1.0
        assert rollout.token


async def test_a_real_server_keeps_others_out(guarded):
    async with envport.connect(guarded) as env:
        for alone in (True, False):
            starts = [env.start_rollout(messages=[{"role": "user", "content": ""}]) for _ in range(1 if alone else 3)]
            told = await asyncio.gather(*starts, return_exceptions=True)
            assert {type(error) for error in told} == {envport.UnauthorizedError}
    async with envport.connect(guarded, token=AGENT) as env:
        assert [tool.name for tool in await env.list_tools()] == ["echo"]
        for alone in (True, False):
            starts = [env.start_rollout(messages=[{"role": "user", "content": ""}]) for _ in range(1 if alone else 3)]
            told = await asyncio.gather(*starts, return_exceptions=True)
            assert {type(error) for error in told} == {envport.ForbiddenError}
            assert all(error.request_id for error in told)
