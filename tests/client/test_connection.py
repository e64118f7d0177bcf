"""The real connections: aiohttp's, and what becomes of each way that they fail."""

from __future__ import annotations

import asyncio
import errno
from contextlib import asynccontextmanager

import aiohttp
import envport
import httpx
import orjson
import pytest
from aiohttp.client_reqrep import ConnectionKey
from envport.connection import MAX_CONNECTIONS, _Transport, open_http
from httpx_aiohttp import AiohttpTransport

MANIFEST = orjson.dumps({"name": "e", "version": "1", "protocol": {"min": "1.0", "max": "1.0"}})
GOOD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(MANIFEST) + MANIFEST


@asynccontextmanager
async def listener(*first: bytes):
    """A server on a free port; its first answers are these bytes, then the connection is cut; then it behaves."""
    turns = list(first)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(65536)
            writer.write(turns.pop(0) if turns else GOOD)
            await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", turns


BROKEN = {
    "dropped before the answer": b"",
    "dropped in the headers": b"HTTP/1.1 200 OK\r\ncontent-",
    "dropped in the body": GOOD[:-5],
    "no HTTP at all": b"SSH-2.0-OpenSSH_9.6\r\n",
}


@pytest.mark.parametrize("kind", BROKEN)
async def test_a_connection_that_breaks_is_tried_again(kind):
    async with listener(BROKEN[kind]) as (url, turns):
        async with envport.connect(url) as env:
            assert env.manifest.name == "e"
        assert turns == []


@pytest.mark.parametrize("kind", BROKEN)
async def test_a_connection_that_stays_broken_names_the_url(kind):
    async with listener(*[BROKEN[kind]] * 3) as (url, _):
        with pytest.raises(envport.TransportError) as caught:
            await envport.connect(url, retry_for_s=0.0).open()
        assert str(caught.value).startswith(f"{url}/v1/manifest: the connection dropped before the answer came (")


async def test_https_on_a_plain_port_says_to_check_it():
    async with listener() as (url, _):
        with pytest.raises(envport.TransportError, match="check http or https, and the certificate"):
            await envport.connect(url.replace("http:", "https:")).open()


async def test_calls_go_over_aiohttp_and_not_over_httpxs_own_pool():
    async with listener() as (url, _), envport.connect(url) as env:
        http = env._own_http
        assert isinstance(http, httpx.AsyncClient)
        assert isinstance(http._transport, AiohttpTransport)
        assert http._transport.client.connector.limit == MAX_CONNECTIONS == 1024
        assert http._mounts == {}


async def test_a_proxy_in_the_surroundings_is_not_used(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with listener() as (url, _), envport.connect(url, retry_for_s=0.0) as env:
        assert env.manifest.name == "e"


async def test_closing_closes_the_connections():
    async with listener() as (url, _):
        env = envport.connect(url)
        async with env:
            http = env._own_http
            assert http is not None
        assert http.is_closed
        with pytest.raises(RuntimeError, match="not open"):
            await env.list_tools()


async def test_a_client_whose_server_is_none_leaves_nothing_open():
    async with listener(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n") as (url, _):
        env = envport.connect(url)
        with pytest.raises(envport.NotAnEnvironmentError):
            await env.open()
        assert env._own_http is None


async def test_a_new_http_client_waits_ten_seconds_for_a_connection_and_leaves_the_rest_to_the_call():
    async with open_http() as http:
        assert http.timeout == httpx.Timeout(None, connect=10.0)
        assert not http.trust_env
        assert not http.follow_redirects


HOST = ConnectionKey("127.0.0.1", 9, False, True, None, None, None)

NAMES = [
    (aiohttp.ClientConnectorError(HOST, OSError(errno.ENETUNREACH, "no route")), httpx.ConnectError),
    (aiohttp.ConnectionTimeoutError("late"), httpx.ConnectTimeout),
    (aiohttp.SocketTimeoutError("late"), httpx.ReadTimeout),
    (aiohttp.ServerDisconnectedError(), httpx.ReadError),
    (aiohttp.ClientOSError(errno.ECONNRESET, "reset"), httpx.ReadError),
    (aiohttp.ClientPayloadError("half"), httpx.ReadError),
    (aiohttp.ClientError("other"), httpx.RemoteProtocolError),
]


@pytest.mark.parametrize(("raised", "told"), NAMES, ids=lambda value: getattr(value, "__name__", type(value).__name__))
async def test_each_failure_of_aiohttp_is_named_as_what_it_is(raised, told):
    class Session:
        def request(self, **_: object) -> object:
            raise raised

    transport = _Transport(client=Session)
    with pytest.raises(httpx.TransportError) as caught:
        await transport.handle_async_request(httpx.Request("GET", "http://127.0.0.1:9/"))
    assert type(caught.value) is told
