"""What stopping waits for, and what following a log shows at its end."""

from __future__ import annotations

import inspect

from envport_protocol.server import app, readiness
from envport_protocol.server.serving import run_server
from envport_registry.runner import docker, process
from envport_registry.runner.docker import whole_lines


def test_stopping_waits_longer_than_a_server_takes_to_end_by_itself():
    for_calls = inspect.signature(run_server).parameters["shutdown_timeout_s"].default
    longest = for_calls + readiness.STOP_TIMEOUT_S + app._CLOSE_TIMEOUT_S
    assert min(docker._STOP_TIMEOUT_S, process._STOP_TIMEOUT_S) > longest
    assert docker._CALL_TIMEOUT_S > docker._STOP_TIMEOUT_S


def test_lines_that_come_in_pieces_are_put_together_and_the_last_needs_no_end():
    assert list(whole_lines([b"on", b"e\ntwo\nth", b"r\xff", b"ee"])) == ["one", "two", "thr\ufffdee"]
    assert list(whole_lines([b"one\n", b"two\n"])) == ["one", "two"]
    assert list(whole_lines([])) == []
