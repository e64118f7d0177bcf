"""A client that sends or reads a byte at a time holds its own connection for a while, and nobody else."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING

import pytest

from .conftest import served
from .wire import request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .conftest import Target

TIMEOUT_S = 0.4
LATE = (408, "request_timeout")
START = b'{"rollout_id":"slow","split":"train","index":0}'
PAGE = b'{"rollout_id":"slow","call_id":"c","tool_name":"page"}'


@pytest.fixture(scope="module")
def hasty_of_module() -> Iterator[Target]:
    yield from served(request_timeout_s=TIMEOUT_S)


@pytest.fixture
def hasty(hasty_of_module: Target) -> Iterator[Target]:
    """A server that does not wait long for requests, and serves a whole rollout after the test."""
    yield hasty_of_module
    hasty_of_module.plays_a_rollout()
    assert hasty_of_module.env.open == set()
    assert hasty_of_module.open_rollouts() == 0


def until(holds: Callable[[], bool]) -> None:
    """Returns once it does; fails after ten seconds."""
    late = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < late
        time.sleep(0.005)


def drip(wire, data: bytes, done: threading.Event) -> None:
    """Sends a byte now and then, until all are sent or the answer is there."""
    for byte in data:
        wire.send(bytes([byte]))
        if done.wait(TIMEOUT_S / 10):
            return


@pytest.mark.parametrize(
    ("at_once", "dripped"),
    [
        (b"", request("POST", "/v1/start_rollout", START)),
        (request("POST", "/v1/start_rollout", START)[:60], b"X-More: " + b"x" * 100),
        (request("POST", "/v1/start_rollout", START)[: -len(START)], START),
        (request("POST", "/v1/start_rollout", Transfer_Encoding="chunked"), b"1\r\n{\r\n" * 30),
        (request("POST", "/v1/batch", START)[: -len(START) + 1], START),
        (request("GET", "/livez")[:-2], b"X: y\r\n" * 50),
    ],
    ids=["from the first byte", "in a header", "in the body", "in chunks", "in a batch", "in a get"],
)
def test_a_request_that_drips_is_408_after_its_time(hasty, at_once, dripped):
    done = threading.Event()
    with hasty.wire() as wire:
        wire.send(at_once)
        began = time.monotonic()
        sender = threading.Thread(target=drip, args=(wire, dripped, done))
        sender.start()
        replies = wire.replies()
        took_s = time.monotonic() - began
        done.set()
        sender.join()
    assert [reply.error for reply in replies] == [LATE]
    assert TIMEOUT_S * 0.8 <= took_s < TIMEOUT_S + 5


def test_a_connection_that_says_nothing_is_closed_without_a_word(hasty):
    with hasty.wire() as wire:
        assert wire.replies() == []


def test_a_connection_may_rest_between_requests_for_longer(hasty):
    with hasty.wire() as wire:
        for _ in range(2):
            wire.send(request("GET", "/livez"))
            assert wire.reply().status == 200
            threading.Event().wait(TIMEOUT_S * 2)
        wire.send(request("GET", "/livez"))
        assert wire.reply().status == 200


def pages(*call_ids: str) -> bytes:
    """A batch of calls with a large answer each."""
    page = {"rollout_id": "slow", "tool_name": "page"}
    calls = [{"id": f"{n}", "verb": "run_tool", "body": {**page, "call_id": id_}} for n, id_ in enumerate(call_ids)]
    return request("POST", "/v1/batch", json.dumps({"calls": calls}).encode())


def test_one_who_does_not_read_his_answers_holds_up_nobody(target):
    assert target.post("start_rollout", START).status == 200
    with target.wire() as wire:
        wire.send(pages(*(f"c{number}" for number in range(32))))
        wire.send(request("GET", "/livez") * 50)
        for _ in range(3):
            target.plays_a_rollout()
        lines = wire.reply().body.splitlines()
        assert sorted(int(json.loads(line)["id"]) for line in lines) == [*range(32)]
        assert [wire.reply().status for _ in range(50)] == [200] * 50
    assert target.post("end_rollout", b'{"rollout_id":"slow"}').status == 200


def test_one_who_never_reads_loses_his_connection(hasty):
    assert hasty.post("start_rollout", START).status == 200
    for asked in (pages(*["c"] * 32), request("POST", "/v1/run_tool", PAGE) * 32):
        with hasty.wire() as wire:
            wire.send(asked)
            until(lambda: hasty.connections == 1)
            until(lambda: hasty.connections == 0)
    assert hasty.post("end_rollout", b'{"rollout_id":"slow"}').status == 200


def test_one_who_leaves_without_reading_leaves_nothing(hasty):
    assert hasty.post("start_rollout", START.replace(b"slow", b"gone")).status == 200
    body = b'{"rollout_id":"gone","call_id":"%d","tool_name":"page"}'
    for number in range(20):
        with hasty.wire() as wire:
            wire.send(request("POST", "/v1/run_tool", body % number))
    assert hasty.post("end_rollout", b'{"rollout_id":"gone"}').status == 200
