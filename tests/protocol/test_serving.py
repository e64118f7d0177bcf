"""`run_server` in a process of its own, as users start it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys

import httpx
import pytest
from envport_protocol import BaseEnv
from envport_protocol.errors import ServeError
from envport_protocol.server.serving import bound_socket, run_server

SCRIPT = """
import sys, time
from envport_protocol.errors import EnvportError
from envport_protocol import BaseEnv
from envport_protocol.server.serving import run_server

class Slow(BaseEnv):
    def list_tools(self):
        return [{"name": "block", "parameters": {}}]
    def run_tool(self, rollout_id, tool_name):
        print("blocking", flush=True)
        time.sleep(60)

class Broken(BaseEnv):
    def list_tools(self):
        return "search"

try:
    run_server(globals()[sys.argv[1]](), port=int(sys.argv[2]), digest="sha256:ab", shutdown_timeout_s=1)
except EnvportError as error:
    sys.exit(f"error: {error}")
except KeyboardInterrupt:
    sys.exit(130)
print("stopped", flush=True)
"""


@contextlib.contextmanager
def served(name, port=0):
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, name, str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONWARNINGS": "error"},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ready_url(process):
    line = process.stdout.readline()
    match = re.fullmatch(r"envport: serving Slow 0\.0\.0 at (http://127\.0\.0\.1:\d+)\n", line)
    assert match is not None, line
    return match.group(1)


@pytest.mark.parametrize(("number", "status", "rest"), [(signal.SIGTERM, 0, "stopped\n"), (signal.SIGINT, 130, "")])
def test_it_says_where_it_listens_and_stops_when_told(number, status, rest):
    with served("Slow") as process:
        url = ready_url(process)
        assert httpx.get(f"{url}/v1/manifest").json()["digest"] == "sha256:ab"
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (status, rest, "")


def test_a_blocking_tool_does_not_keep_it_from_stopping():
    with served("Slow") as process:
        url = ready_url(process)
        messages = [{"role": "user", "content": "?"}]
        httpx.post(f"{url}/v1/start_rollout", json={"rollout_id": "r", "messages": messages})
        with contextlib.suppress(httpx.ReadTimeout):
            httpx.post(
                f"{url}/v1/run_tool", json={"rollout_id": "r", "call_id": "c", "tool_name": "block"}, timeout=0.3
            )
        assert process.stdout.readline() == "blocking\n"
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "stopped\n")


def test_a_port_in_use_is_one_clear_message():
    with bound_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with served("Slow", port) as process:
            out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (1, "")
    assert err == (
        f"error: port {port} on 127.0.0.1 is in use; stop what listens there, "
        "or choose another port (0 takes a free one)\n"
    )


def test_an_environment_that_cannot_start_ends_the_server_with_its_reason():
    with served("Broken") as process:
        _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert err == "error: the environment could not start: Broken.list_tools gave str; expected a list of tools\n"


@pytest.mark.parametrize(("host", "port"), [("no.such.host.invalid", 0), ("192.0.2.1", 0), ("127.0.0.1", 70000)])
def test_an_address_that_is_none_is_one_clear_message(host, port):
    with pytest.raises(ServeError, match=f"{re.escape(host)}:{port}"):
        run_server(BaseEnv(), host, port)


def test_ipv6_is_served_too():
    try:
        with bound_socket("::1", 0) as listener:
            from envport_protocol.server.serving import url_of

            assert url_of(listener, "::1") == f"http://[::1]:{listener.getsockname()[1]}"
            assert listener.family == socket.AF_INET6
    except ServeError:
        pytest.skip("this machine has no IPv6")
