"""Which worker holds a rollout, what workers say to each other, and how the capacity is shared out."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
from envport_protocol import tool
from envport_protocol.config import ServeConfig
from envport_protocol.errors import InvalidRequestError, NotReadyError, ServeError
from envport_protocol.messages import (
    ComputeGroupRewardRequest,
    EndRolloutRequest,
    ForkRolloutRequest,
    GroupMember,
)
from envport_protocol.server.answering import Answering
from envport_protocol.server.app import create_app
from envport_protocol.server.assignment import Assignment, places_of, shares
from envport_protocol.server.forwarding import Forwarding
from envport_protocol.server.link import Content, Kind, Link
from envport_protocol.server.routing import check_together, owner, routing_key

from .counting import Counting


def test_the_part_before_the_first_dot_names_the_worker():
    assert [routing_key(one) for one in ("group.0", "group.1.2", "alone", ".x")] == ["group", "group", "alone", ""]
    assert owner("group.0", 7) == owner("group.31", 7) == owner("group", 7)
    assert (owner("a", 3), owner("b", 3), owner("123456789", 1000)) == (
        0xE8B7BE43 % 3,
        0x71BEEFF9 % 3,
        0xCBF43926 % 1000,
    )


@pytest.mark.parametrize("workers", [2, 3, 4, 8])
def test_rollouts_spread_evenly(workers):
    held = Counter(owner(f"step-7-{number}", workers) for number in range(1000))
    assert sum(held.values()) == 1000
    assert all(0.85 * 1000 / workers < held[number] < 1.15 * 1000 / workers for number in range(workers))


def fork(old: str, new: str) -> ForkRolloutRequest:
    return ForkRolloutRequest(rollout_id=old, new_rollout_id=new)


def group(*rollout_ids: str) -> ComputeGroupRewardRequest:
    members = [GroupMember(rollout_id=rollout_id, completion="x") for rollout_id in rollout_ids]
    return ComputeGroupRewardRequest(group_id="g", members=members)


def test_rollouts_of_one_key_may_be_asked_about_together():
    for message in (
        fork("a", "a.1"),
        fork("g.0", "g.9"),
        group("g.0", "g.1"),
        group("g"),
        EndRolloutRequest(rollout_id="r"),
    ):
        check_together(message)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (fork("a.1", "b.1"), "'a.1' and 'b.1' differ before their first '.', .*; name the new rollout a.SOMETHING"),
        (group("g.0", "g.1", "h.0"), "'g.0' and 'h.0' differ .*; start the rollouts of a group as GROUP.0, GROUP.1"),
    ],
)
def test_rollouts_of_two_keys_may_not(message, told):
    with pytest.raises(InvalidRequestError, match=told):
        check_together(message)


@pytest.mark.parametrize("headers", [[], [(b"retry-after", b"1"), (b"x-odd", b"a:b: c")]])
@pytest.mark.parametrize("body", [b"", b"{}", b"\n\n:", bytes(range(256)) * 1000])
def test_what_workers_say_arrives_as_it_was_said(headers, body):
    content = Content(b"/v1/run_tool", headers, body)
    assert Content.from_bytes(content.to_bytes()) == content


class Heard(Link):
    """Keeps the frames that come."""

    def __init__(self):
        super().__init__()
        self.frames = []
        self.ends = 0

    def frame_received(self, kind, number, content):
        self.frames.append((kind, number, content))

    def lost(self):
        self.ends += 1


class Wire(asyncio.Transport):
    """Keeps the bytes that are sent."""

    def __init__(self):
        super().__init__()
        self.sent = b""

    def write(self, data):
        self.sent += bytes(data)


@pytest.mark.parametrize("step", [1, 7, 100, 10_000_000])
async def test_frames_come_out_of_a_stream_however_it_is_cut(step):
    wire, sending, hearing = Wire(), Heard(), Heard()
    sending.connection_made(wire)
    frames = [(Kind.REQUEST, 0, b"a" * 3000), (Kind.CANCEL, 2**32 - 1, b""), (Kind.ANSWER, 7, b"200\n\n{}")]
    for frame in frames:
        await sending.send(*frame)
    for begin in range(0, len(wire.sent), step):
        hearing.data_received(wire.sent[begin : begin + step])
    assert hearing.frames == frames


async def test_nothing_is_sent_to_one_who_does_not_keep_up():
    wire, link = Wire(), Heard()
    link.connection_made(wire)
    link.pause_writing()
    sending = asyncio.create_task(link.send(Kind.ANSWER, 1, b"x"))
    await asyncio.sleep(0)
    assert wire.sent == b""
    link.resume_writing()
    await sending
    assert wire.sent.endswith(b"x")


async def test_a_stream_that_ends_keeps_nobody_waiting():
    link = Heard()
    link.connection_made(Wire())
    link.pause_writing()
    sending = asyncio.create_task(link.send(Kind.ANSWER, 1, b"x"))
    await asyncio.sleep(0)
    link.connection_lost(None)
    await sending
    assert (link.is_lost, link.ends) == (True, 1)


def of_worker(number: int, workers: int, prefix: str = "r") -> str:
    """The id of a rollout that this worker holds."""
    return next(one for one in (f"{prefix}{n}" for n in range(1000)) if owner(one, workers) == number)


@asynccontextmanager
async def answering_worker(place, env=None, **settings):
    """The app of worker 1 of two, asked by a Forwarding of worker 0, which is given; with the tasks that answer."""
    app = create_app(env or Counting(), config=ServeConfig(**settings))
    await app.desk.host.prepare()
    app.desk.readiness.begin()
    tasks: set[asyncio.Task[None]] = set()
    places = [place / "0.sock", place / "1.sock"]
    answering = Answering(app.desk, app.endpoints, tasks.add)
    forwarding = Forwarding(0, places, app.desk.host.config)
    async with answering.listening(places[1]):
        yield app, forwarding, tasks
        forwarding.close()
    await app.desk.readiness.stop()
    await app.desk.host.close()


@pytest.fixture
def place():
    with places_of(1) as (only,):
        yield only.parent


OTHERS = of_worker(1, 2)
START = orjson.dumps({"rollout_id": OTHERS, "split": "train", "index": 0})


def adding(call_id: str, **arguments) -> bytes:
    return orjson.dumps({"rollout_id": OTHERS, "call_id": call_id, "tool_name": "add", "arguments": arguments})


async def test_a_request_is_answered_by_the_worker_of_its_rollout(place):
    async with answering_worker(place) as (app, forwarding, _):
        assert await forwarding.forward(of_worker(0, 2), "/v1/start_rollout", b"{}", []) is None
        started = await forwarding.forward(OTHERS, "/v1/start_rollout", START, [])
        assert started.status == 200
        assert orjson.loads(started.body)["token"] == app.desk.host.key.token(OTHERS)
        answer = await forwarding.forward(OTHERS, "/v1/run_tool", adding("c", by=2), [])
        assert orjson.loads(answer.body)["content"][0]["text"] == "2"


async def test_errors_come_back_with_their_status_and_headers(place):
    async with answering_worker(place, tokens={"trainer": "t" * 16}) as (_, forwarding, _):
        refused = await forwarding.forward(OTHERS, "/v1/start_rollout", START, [])
        assert (refused.status, refused.headers) == (401, ((b"www-authenticate", b"Bearer"),))
        theirs = [(b"authorization", b"Bearer " + b"t" * 16)]
        assert (await forwarding.forward(OTHERS, "/v1/start_rollout", START, theirs)).status == 200
        unknown = await forwarding.forward(OTHERS, "/v1/no_such_verb", b"{}", theirs)
        assert (unknown.status, orjson.loads(unknown.body)["error"]["code"]) == (404, "not_found")


class Gated(Counting):
    """Has a tool that waits for `gate`."""

    def __init__(self):
        super().__init__()
        self.begun, self.gate = asyncio.Event(), asyncio.Event()

    @tool
    async def wait(self) -> str:
        """Waits."""
        self.begun.set()
        await self.gate.wait()
        return "open"


async def test_who_stops_waiting_is_waited_for_no_more(place):
    env = Gated()
    waiting = orjson.dumps({"rollout_id": OTHERS, "call_id": "slow", "tool_name": "wait"})
    async with answering_worker(place, env) as (_, forwarding, tasks):
        await forwarding.forward(OTHERS, "/v1/start_rollout", START, [])
        asking = asyncio.create_task(forwarding.forward(OTHERS, "/v1/run_tool", waiting, []))
        await env.begun.wait()
        (answering,) = [task for task in tasks if not task.done()]
        asking.cancel()
        await asyncio.wait([answering])
        assert answering.cancelled()
        env.gate.set()
        again = await forwarding.forward(OTHERS, "/v1/run_tool", waiting, [])
        assert orjson.loads(again.body)["content"][0]["text"] == "open"


async def test_a_worker_that_stops_takes_nothing_on(place):
    env = Gated()
    waiting = orjson.dumps({"rollout_id": OTHERS, "call_id": "slow", "tool_name": "wait"})
    async with answering_worker(place, env) as (app, forwarding, _):
        await forwarding.forward(OTHERS, "/v1/start_rollout", START, [])
        asking = asyncio.create_task(forwarding.forward(OTHERS, "/v1/run_tool", waiting, []))
        await env.begun.wait()
        app.desk.is_stopping = True
        refused = await forwarding.forward(OTHERS, "/v1/run_tool", adding("c", by=1), [])
        assert (refused.status, orjson.loads(refused.body)["error"]["code"]) == (503, "not_ready")
        env.gate.set()
        assert (await asking).status == 200, "what runs is finished"


async def test_a_worker_that_is_not_there_is_not_ready(place):
    forwarding = Forwarding(0, [place / "0.sock", place / "1.sock"], ServeConfig())
    with pytest.raises(NotReadyError, match=r"worker 1 of this server, .*, is being started; try again"):
        await forwarding.forward(OTHERS, "/v1/start_rollout", START, [])
    (answer,) = (await forwarding.ask_others("/readyz", [], 1.0)).values()
    assert (answer.status, answer.headers) == (503, ((b"retry-after", b"1"),))


async def test_a_worker_that_goes_away_before_it_answers_is_not_ready(place):
    hearing: list[Heard] = []

    def hear():
        hearing.append(Heard())
        return hearing[-1]

    server = await asyncio.get_running_loop().create_unix_server(hear, str(place / "1.sock"))
    forwarding = Forwarding(0, [place / "0.sock", place / "1.sock"], ServeConfig())
    asking = [asyncio.create_task(forwarding.forward(OTHERS, "/v1/run_tool", b"{}", [])) for _ in range(3)]
    while not (hearing and len(hearing[0].frames) == 3):
        await asyncio.sleep(0.001)
    assert len(hearing) == 1
    hearing[0].close()
    for one in asking:
        with pytest.raises(NotReadyError, match="worker 1 of this server went away before it answered"):
            await one
    server.close()
    with pytest.raises(NotReadyError, match="is being started"):
        await forwarding.forward(OTHERS, "/v1/run_tool", b"{}", [])


TOO_LATE = "worker 1 of this server did not answer within 0.01 s; send the same request again"


async def test_a_worker_that_says_nothing_is_not_waited_for(place):
    server = await asyncio.get_running_loop().create_unix_server(Heard, str(place / "1.sock"))
    forwarding = Forwarding(0, [place / "0.sock", place / "1.sock"], ServeConfig())
    (answer,) = (await forwarding.ask_others("/readyz", [], 0.01)).values()
    assert orjson.loads(answer.body)["error"]["message"] == TOO_LATE
    forwarding.close()
    server.close()


@pytest.mark.parametrize("takes_it", [True, False])
@pytest.mark.parametrize(
    ("body", "after"),
    [
        (b"{}", 71.5),
        (b'{"timeout_s": 7}', 18.5),
        (b'{"timeout_s": 900}', 71.5),
        (b'{"timeout_s": "x"}', 71.5),
        (b'"timeout_s"', 71.5),
    ],
)
async def test_a_forwarded_call_has_a_deadline(place, monkeypatch, body, after, takes_it):
    waits = []

    def at_once(timeout_s):
        waits.append(timeout_s)
        return within(0.01)

    within = asyncio.timeout
    monkeypatch.setattr(asyncio, "timeout", at_once)
    server = await asyncio.get_running_loop().create_unix_server(Heard, str(place / "1.sock"))
    forwarding = Forwarding(
        0, [place / "0.sock", place / "1.sock"], ServeConfig(call_timeout_s=60, queue_timeout_s=1.5)
    )
    if not takes_it:
        with contextlib.suppress(NotReadyError):
            await forwarding.ask(1, "/readyz", b"", [], 1)
        forwarding._links[1].pause_writing()
    with pytest.raises(NotReadyError, match=f"did not answer within {after} s; send the same request again"):
        await forwarding.forward(OTHERS, "/v1/run_tool", body, [])
    assert waits[-1] == after
    forwarding.close()
    server.close()


def test_the_workers_together_hold_what_was_asked_for():
    whole = ServeConfig(
        max_rollouts=100, max_queued=1, max_running_calls=7, max_threads=8, max_tombstones=10, journal=Path("/j")
    )
    parts = shares(whole, 3)
    assert [part.max_rollouts for part in parts] == [100] * 3, "they are counted together"
    assert [part.max_running_calls for part in parts] == [3, 2, 2]
    assert [part.max_tombstones for part in parts] == [4, 3, 3]
    assert [part.max_queued for part in parts] == [1, 1, 1]
    assert [part.max_threads for part in parts] == [8, 8, 8], "each has an interpreter of its own"
    assert [part.max_body_bytes for part in parts] == [whole.max_body_bytes] * 3
    assert [part.journal for part in shares(whole.model_copy(update={"journal": None}), 2)] == [None, None]
    assert shares(ServeConfig(max_queued=0), 2)[1].max_queued == 0


def test_one_key_makes_the_tokens_of_all_workers(tmp_path):
    first, second = shares(ServeConfig(), 2)
    assert first.rollout_secret == second.rollout_secret
    assert first.rollout_secret != shares(ServeConfig(), 2)[0].rollout_secret
    kept = ServeConfig(journal=tmp_path)
    assert shares(kept, 2)[0].rollout_secret == shares(kept, 3)[2].rollout_secret
    assert [one.journal for one in shares(kept, 2)] == [tmp_path / "worker-0", tmp_path / "worker-1"]
    given = ServeConfig(rollout_secret="k" * 32)
    assert shares(given, 2)[1].rollout_secret == given.rollout_secret


def test_more_workers_than_rollouts_are_refused():
    with pytest.raises(ServeError, match="4 workers cannot hold 3 rollouts together"):
        shares(ServeConfig(max_rollouts=3), 4)


def test_an_assignment_goes_through_a_pipe_whole(tmp_path):
    config = ServeConfig(tokens={"trainer": "s" * 16})
    assignment = Assignment(
        number=1,
        places=(tmp_path / "0", tmp_path / "1"),
        counts=tmp_path / "held",
        env=tmp_path,
        options={"data": "x" * 100_000},
        config=config,
        limits=config.limits,
        shutdown_timeout_s=1.0,
        log_format=None,
        log_level="info",
    )
    pipe = io.BytesIO()
    assignment.write_to(pipe)
    whole = pipe.getvalue()
    read = Assignment.read_from(io.BytesIO(whole + b"more"))
    assert read == assignment
    assert read.config.tokens.trainer.get_secret_value() == "s" * 16
    assert "s" * 16 not in repr(assignment)
    with pytest.raises(EOFError):
        Assignment.read_from(io.BytesIO(whole[:-1]))


def test_the_place_of_the_sockets_is_private_and_goes_away():
    with places_of(2) as places:
        folder = places[0].parent
        assert [place.name for place in places] == ["worker-0.sock", "worker-1.sock"]
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()
