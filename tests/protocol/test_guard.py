"""One connection of the server, byte by byte, without a socket."""

from __future__ import annotations

import asyncio
import json

import pytest
import uvicorn
from envport_protocol import BaseEnv
from envport_protocol.config import ServeConfig
from envport_protocol.server.app import create_app
from envport_protocol.server.guard import guarded_by
from uvicorn.server import ServerState

LIVEZ = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
ALIVE = (200, '{"status":"alive"}')


class Slow(BaseEnv):
    """Its tool waits until it is let go."""

    def __init__(self):
        self.go = asyncio.Event()
        self.runs = asyncio.Event()

    def list_tools(self):
        return [{"name": "wait", "parameters": {}}]

    async def run_tool(self, rollout_id, tool_name):
        self.runs.set()
        await self.go.wait()
        return "done"


class Transport(asyncio.Transport):
    """Keeps what is written, and hears how reading and writing are held back."""

    def __init__(self):
        super().__init__()
        self.writes = []
        self.ended = asyncio.Event()
        self.closed = asyncio.Event()
        self.is_read = True
        self.protocol = None
        self.unread = [0]

    def get_write_buffer_size(self):
        return self.unread.pop(0)

    def get_extra_info(self, name, default=None):
        return {"sockname": ("127.0.0.1", 1), "peername": ("127.0.0.1", 2)}.get(name, default)

    def get_protocol(self):
        return self.protocol

    def write(self, data):
        assert not self.ended.is_set()
        self.writes.append(bytes(data))

    def can_write_eof(self):
        return True

    def write_eof(self):
        self.ended.set()

    def pause_reading(self):
        self.is_read = False

    def resume_reading(self):
        self.is_read = True

    def is_closing(self):
        return self.closed.is_set()

    def close(self):
        if not self.closed.is_set():
            self.closed.set()
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def abort(self):
        self.close()


class Wire:
    """A connection to a server of `env`, told what comes and asked what was answered."""

    def __init__(self, env, config):
        self.app = create_app(env, config=config)
        uvicorn_config = uvicorn.Config(
            self.app, http=guarded_by(config), ws="none", lifespan="off", log_config=None, proxy_headers=False
        )
        uvicorn_config.load()
        state = ServerState()
        loop = asyncio.get_running_loop()
        self.tasks = state.tasks
        self.protocol = uvicorn_config.http_protocol_class(
            config=uvicorn_config, server_state=state, app_state={}, _loop=loop
        )
        self.transport = Transport()
        self.transport.protocol = self.protocol
        self.protocol.connection_made(self.transport)

    def comes(self, *chunks):
        for chunk in chunks:
            self.protocol.data_received(chunk)

    @property
    def answers(self):
        """(status, body) of each answer so far."""
        found, rest = [], b"".join(self.transport.writes)
        while rest:
            head, _, rest = rest.partition(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            found.append((int(head.split(b" ")[1]), rest[:length].decode()))
            rest = rest[length:]
        return found

    @property
    def errors(self):
        """(status, code) of each answer so far."""
        return [(status, json.loads(body)["error"]["code"]) for status, body in self.answers]

    async def settles(self):
        """Returns when every request that came whole is answered."""
        while self.tasks:
            await asyncio.wait({*self.tasks})


@pytest.fixture
async def wire():
    """`wire(env=None, **config)` -> Wire"""
    opened = []

    def connect(env=None, **config):
        opened.append(Wire(env or BaseEnv(), ServeConfig(**config)))
        return opened[-1]

    yield connect
    for one in opened:
        one.transport.close()
        await one.app.desk.readiness.stop()
        await one.app.desk.host.close()


async def test_an_answer_is_one_write(wire):
    one = wire()
    one.comes(LIVEZ)
    await one.settles()
    assert one.answers == [ALIVE]
    assert len(one.transport.writes) == 1


async def test_a_request_in_single_bytes_is_read_like_one_in_a_piece(wire):
    one = wire()
    body = b'{"rollout_id":"nobody"}'
    post = b"POST /v1/end_rollout HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    one.comes(*(bytes([byte]) for byte in LIVEZ + post + LIVEZ))
    await one.settles()
    assert [status for status, _ in one.answers] == [200, 404, 200]


def head_of(size):
    """A request whose URL and headers have so many bytes."""
    fixed = len(b"/livez") + len(b"Host") + len(b"x") + len(b"X-Fill")
    return b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Fill: %b\r\n\r\n" % (b"f" * (size - fixed))


@pytest.mark.parametrize("piece", [1, 7, 500, 4000])
async def test_headers_are_counted_to_the_byte_in_whatever_pieces_they_come(wire, piece):
    for size, status in ((2000, 200), (2001, 431)):
        one = wire(max_header_bytes=2000)
        one.comes(LIVEZ)
        await one.settles()
        head = head_of(size)
        one.comes(*(head[at : at + piece] for at in range(0, len(head), piece)))
        await one.settles()
        assert [status for status, _ in one.answers] == [200, status]


@pytest.mark.parametrize("size", [1, 100, 1500])
async def test_headers_without_an_end_are_refused_once_over_the_limit(wire, size):
    one = wire(max_header_bytes=2000)
    one.comes(b"GET /livez HTTP/1.1\r\nX-Fill: ")
    came = 28
    while not one.transport.ended.is_set():
        one.comes(b"f" * size)
        came += size
    assert one.errors == [(431, "headers_too_large")]
    assert 2000 < came <= 2100 + size


async def test_the_body_before_does_not_count_against_the_headers_after_it(wire):
    one = wire(max_header_bytes=2000)
    body = b'{"rollout_id":"' + b"x" * 5000 + b'"}'
    post = b"POST /v1/end_rollout HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    one.comes(post)
    await one.settles()
    one.comes(post[:-10])
    one.comes(post[-10:] + LIVEZ[:20])
    await one.settles()
    one.comes(LIVEZ[20:])
    await one.settles()
    assert [status for status, _ in one.answers] == [422, 422, 200]


async def test_headers_behind_a_chunked_body_are_left_out(wire):
    one = wire()
    one.comes(
        b"POST /v1/end_rollout HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b'17\r\n{"rollout_id":"nobody"}\r\n0\r\nX-Request-Id: late\r\nContent-Type: text/plain\r\n\r\n'
    )
    await one.settles()
    assert one.errors == [(404, "unknown_rollout")]
    assert b"late" not in one.transport.writes[0]


async def test_a_body_that_is_mostly_overhead_is_not_read_for_ever(wire):
    one = wire(max_body_bytes=100, max_header_bytes=1024)
    one.comes(b"POST /v1/end_rollout HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    came = 0
    while not one.transport.ended.is_set():
        one.comes(b"1;" + b"x" * 100 + b"\r\n{\r\n")
        came += 107
        await asyncio.sleep(0)
    await one.settles()
    assert [status for status, _ in one.answers] == [413]
    assert came < 20_000


@pytest.mark.parametrize(
    ("part", "told"),
    [
        (LIVEZ[:10], "the URL and the headers of the request"),
        (b"POST /v1/end_rollout HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{", "the body of the request"),
    ],
)
async def test_what_does_not_come_whole_in_time_is_408(wire, part, told):
    one = wire(request_timeout_s=0.05)
    one.comes(part)
    async with asyncio.timeout(5):
        await one.transport.ended.wait()
    await one.settles()
    assert one.errors == [(408, "request_timeout")]
    message = json.loads(one.answers[0][1])["error"]["message"]
    assert message == f"{told} did not come whole within 0.05 s; send it again"


async def test_the_body_has_its_own_time_after_the_headers(wire):
    one = wire(request_timeout_s=100)
    one.comes(LIVEZ[:10])
    first = one.protocol._deadline
    one.comes(b"z HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n")
    assert first.cancelled()
    second = one.protocol._deadline
    one.comes(b"ab")
    assert one.protocol._deadline is second
    one.comes(b"cd")
    assert second.cancelled()
    assert one.protocol._deadline is None


async def test_a_request_that_comes_at_once_needs_no_timer(wire):
    one = wire()
    assert one.protocol._deadline is not None  # for the first byte
    one.comes(LIVEZ)
    assert one.protocol._deadline is None
    await one.settles()
    one.comes(LIVEZ)
    assert one.protocol._deadline is None
    await one.settles()


async def test_a_refused_client_is_read_for_a_while_and_heard_no_more(wire, monkeypatch):
    monkeypatch.setattr("envport_protocol.server.guard._LINGER_S", 0.05)
    one = wire()
    one.comes(b"nonsense\r\n\r\n")
    assert one.transport.ended.is_set()
    assert not one.transport.closed.is_set()
    one.comes(LIVEZ, b"more nonsense")
    assert one.errors == [(400, "bad_request")]
    async with asyncio.timeout(5):
        await one.transport.closed.wait()
    assert not one.tasks


CALL = b'{"rollout_id":"r","call_id":"c","tool_name":"wait"}'
RUN_TOOL = b"POST /v1/run_tool HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(CALL), CALL)
START_BODY = b'{"rollout_id":"r","messages":[{"role":"user","content":"?"}]}'
START = b"POST /v1/start_rollout HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(START_BODY), START_BODY)


async def test_nonsense_behind_a_request_that_runs_is_not_answered_in_its_stead(wire):
    env = Slow()
    one = wire(env)
    one.comes(START)
    await one.settles()
    one.transport.writes.clear()
    one.comes(RUN_TOOL)
    await env.runs.wait()
    one.comes(b"nonsense\r\n\r\n")
    assert one.transport.closed.is_set()
    assert one.answers == []
    env.go.set()
    await one.settles()


async def test_a_pipelined_request_waits_for_its_turn_however_long_that_takes(wire):
    env = Slow()
    one = wire(env, request_timeout_s=0.05)
    one.comes(START)
    await one.settles()
    one.transport.writes.clear()
    one.comes(RUN_TOOL)
    await env.runs.wait()
    post = b"POST /v1/end_rollout HTTP/1.1\r\nHost: x\r\nContent-Length: 18\r\n\r\n"
    one.comes(post + b'{"rollout')
    assert not one.transport.is_read
    for _ in range(3):
        asked = one.protocol._deadline
        async with asyncio.timeout(5):
            while one.protocol._deadline is asked:
                await asyncio.sleep(0.01)
    env.go.set()
    async with asyncio.timeout(5):
        while not one.transport.is_read:
            await asyncio.sleep(0.01)
    one.comes(b'_id":"r"}')
    await one.settles()
    assert [status for status, _ in one.answers] == [200, 200]


async def test_a_wish_for_another_protocol_is_passed_over_and_ends_the_connection(wire):
    one = wire()
    one.comes(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    await one.settles()
    assert one.answers == [ALIVE]
    assert one.transport.closed.is_set()
    posted = wire()
    posted.comes(RUN_TOOL.replace(b"Host: x", b"Host: x\r\nConnection: Upgrade\r\nUpgrade: h2c"))
    assert posted.errors == [(400, "bad_request")]
    assert "this server speaks HTTP/1.1 alone" in posted.answers[0][1]


async def test_a_connection_that_the_client_wants_closed_is(wire):
    one = wire()
    one.comes(LIVEZ.replace(b"Host: x", b"Host: x\r\nConnection: close"))
    await one.settles()
    assert b"connection: close" in one.transport.writes[0]
    assert one.transport.closed.is_set()


async def test_a_refusal_has_the_requests_id_where_it_was_read(wire):
    one = wire(max_body_bytes=10)
    one.comes(
        b"POST /v1/end_rollout HTTP/1.1\r\nHost: x\r\nX-Request-Id: mine\r\nTransfer-Encoding: chunked\r\n\r\nnonsense"
    )
    await one.settles()
    assert one.errors == [(400, "bad_request")]
    assert b"x-request-id: mine\r\n" in one.transport.writes[0]


async def test_a_slow_reader_is_written_to_no_further(wire):
    one = wire()
    one.protocol.pause_writing()
    one.comes(LIVEZ)
    for _ in range(5):
        await asyncio.sleep(0)
    assert one.transport.writes == []
    one.protocol.resume_writing()
    await one.settles()
    assert one.answers == [ALIVE]


async def test_one_who_reads_no_further_loses_the_connection(wire):
    one = wire(request_timeout_s=0.05)
    one.transport.unread = [200_000, 160_000, 120_000, 110_000]
    one.protocol.pause_writing()
    one.comes(LIVEZ)
    async with asyncio.timeout(10):
        await one.transport.closed.wait()
    await one.settles()
    assert (one.transport.unread, one.transport.writes) == ([], [])
