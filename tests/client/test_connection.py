"""The real connections: aiohttp's, and what becomes of each way that they fail."""

from __future__ import annotations

import asyncio
import errno
import gzip
import socket
from contextlib import asynccontextmanager

import aiohttp
import envport
import orjson
import pytest
from aiohttp.client_reqrep import ConnectionKey
from envport.over_aiohttp import MAX_CONNECTIONS, OverAiohttp
from envport.retry import Retryable

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


async def test_a_batch_whose_connection_breaks_is_finished_by_single_calls():
    manifest = MANIFEST[:-1] + b',"capabilities":["batch"]}'
    line = b'{"id":"0","status":200,"body":{"tools":[]}}\n'
    half = (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"
        b"%x\r\n%b\r\n" % (len(line), line)
    )
    tools = b'{"tools":[{"name":"from_a_single_call"}]}'
    async with listener(answer(manifest), half, answer(tools)) as (url, turns), envport.connect(url) as env:
        first, second = await asyncio.gather(env.list_tools(), env.list_tools())
        assert (first, [tool.name for tool in second]) == ([], ["from_a_single_call"])
        assert turns == []


async def test_https_on_a_plain_port_says_to_check_it():
    async with listener() as (url, _):
        with pytest.raises(envport.TransportError, match="check http or https, and the certificate"):
            await envport.connect(url.replace("http:", "https:")).open()


async def test_as_many_calls_can_be_under_way_as_a_step_has():
    async with listener() as (url, _), envport.connect(url) as env:
        http = env._transport._http
        assert isinstance(http, OverAiohttp)
        assert http._session.connector.limit == MAX_CONNECTIONS == 1024


async def test_a_proxy_in_the_surroundings_is_not_used(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with listener() as (url, _), envport.connect(url, retry_for_s=0.0) as env:
        assert env.manifest.name == "e"


async def test_closing_closes_the_connections():
    async with listener() as (url, _):
        env = envport.connect(url)
        async with env:
            session = env._transport._http._session
        assert session.closed
        with pytest.raises(RuntimeError, match="not open"):
            await env.list_tools()


async def test_a_client_whose_server_is_none_leaves_nothing_open(monkeypatch):
    opened: list[OverAiohttp] = []
    monkeypatch.setattr(
        envport.EnvClient, "_open_http", lambda self: opened.append(OverAiohttp(self._token)) or opened[-1]
    )
    async with listener(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n") as (url, _):
        with pytest.raises(envport.NotAnEnvironmentError):
            await envport.connect(url).open()
    assert [http._session.closed for http in opened] == [True]


def answer(content: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"content-length: %d" % len(content), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + content


async def test_a_compressed_answer_is_read():
    async with (
        listener(answer(gzip.compress(MANIFEST), b"content-encoding: gzip")) as (url, _),
        envport.connect(url) as env,
    ):
        assert env.manifest.name == "e"


async def test_an_answer_that_cannot_be_decompressed_is_told():
    async with listener(answer(b"not gzip", b"content-encoding: gzip")) as (url, _):
        with pytest.raises(envport.ProtocolError, match="its answer cannot be decompressed"):
            await envport.connect(url).open()


@pytest.mark.parametrize("headers", [[], [b"content-encoding: gzip"]], ids=["plain", "compressed"])
async def test_an_answer_without_end_is_cut_off(headers, monkeypatch):
    monkeypatch.setattr("envport.http.MAX_ANSWER_BYTES", 100_000)
    content = b"x" * 200_000
    async with listener(answer(gzip.compress(content) if headers else content, *headers)) as (url, _):
        with pytest.raises(envport.ProtocolError, match="the answer is over 100000 bytes, the most that this client"):
            await envport.connect(url).open()


async def test_a_redirect_is_not_followed_and_the_token_stays_here():
    asked: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.read(65536))
        writer.write(b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(envport.NotAnEnvironmentError, match="HTTP 302 to /elsewhere"):
            await envport.connect(url, token="t" * 16).open()
    assert len(asked) == 1
    assert b"\r\nAuthorization: Bearer tttttttttttttttt\r\n" in asked[0]


HOST = ConnectionKey("127.0.0.1", 9, False, True, None, None, None)
DROPPED = "the connection dropped before the answer came"
NO_CONNECTION = "no connection (Cannot connect to host 127.0.0.1:9 ssl:default ["

NAMES = [
    (aiohttp.ClientConnectorError(HOST, OSError(errno.ENETUNREACH, "no route")), NO_CONNECTION, True),
    (aiohttp.ConnectionTimeoutError("late"), "no connection in time", True),
    (aiohttp.SocketTimeoutError("late"), DROPPED, False),
    (aiohttp.ServerDisconnectedError(), DROPPED, False),
    (aiohttp.ClientOSError(errno.ECONNRESET, "reset"), DROPPED, False),
    (aiohttp.ClientPayloadError("half"), DROPPED, False),
    (aiohttp.ClientError("other"), DROPPED, False),
]


@pytest.mark.parametrize(
    ("raised", "told", "is_absent"), NAMES, ids=lambda value: type(value).__name__ if value is not None else None
)
async def test_each_failure_of_aiohttp_is_told_as_what_it_is(raised, told, is_absent, monkeypatch):
    async def fails(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(aiohttp.ClientSession, "_request", fails)
    http = OverAiohttp()
    with pytest.raises(Retryable) as caught:
        await http.send("GET", "http://127.0.0.1:9/", None, "q1")
    await http.close()
    assert str(caught.value).startswith(f"http://127.0.0.1:9/: {told}")
    assert caught.value.is_absent is is_absent


async def test_an_unknown_host_is_told(monkeypatch):
    async def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    with pytest.raises(envport.TransportError, match=r"the host name 'nowhere\.test' is not known; check the URL"):
        await envport.connect("http://nowhere.test", retry_for_s=0.0).open()
