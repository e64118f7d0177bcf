"""`run_server` in a process of its own, as users start it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx
import pytest
from envport_protocol import BaseEnv
from envport_protocol.config import ServeConfig, Tokens
from envport_protocol.errors import ServeError
from envport_protocol.project import load_project
from envport_protocol.server import serving, workers
from envport_protocol.server.app import create_app
from envport_protocol.server.exposure import refuse_open
from envport_protocol.server.serving import EnvServer, bound_socket, run_server, url_of

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


def test_who_still_waits_when_it_stops_is_told_so():
    with served("Slow") as process:
        url = ready_url(process)
        messages = [{"role": "user", "content": "?"}]
        httpx.post(f"{url}/v1/start_rollout", json={"rollout_id": "r", "messages": messages})
        call = {"rollout_id": "r", "call_id": "c", "tool_name": "block"}
        with ThreadPoolExecutor() as threads:
            waiting = threads.submit(httpx.post, f"{url}/v1/run_tool", json=call, timeout=20)
            assert process.stdout.readline() == "blocking\n"
            process.send_signal(signal.SIGTERM)
            answer = waiting.result()
        out, err = process.communicate(timeout=20)
    assert (answer.status_code, answer.json()["error"]["code"], answer.headers["retry-after"]) == (
        503,
        "not_ready",
        "1",
    )
    assert (process.returncode, out) == (0, "stopped\n")
    assert "Traceback" not in err


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


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
def test_other_machines_are_not_served_without_tokens(address):
    try:
        with bound_socket(address, 0):
            pass
    except ServeError:
        pytest.skip("this machine has no IPv6")
    with pytest.raises(ServeError) as refused:
        run_server(BaseEnv(), address, 0)
    assert str(refused.value) == (
        f"other machines can reach {address}, and no token is set: everybody there could run tools and read rewards. "
        "Set ENVPORT_TRAINER_TOKEN (for agents ENVPORT_AGENT_TOKEN, for you ENVPORT_ADMIN_TOKEN) to 16 characters or "
        "more, such as `openssl rand -hex 32` makes; or listen on 127.0.0.1; or, where nobody else can reach it, say "
        "--no-auth"
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.8.9.10"])
def test_this_machine_is_served_without_tokens(host):
    with bound_socket(host, 0) as listener:
        refuse_open(listener, ServeConfig(), allow_open=False)


def test_others_are_served_with_tokens_or_where_it_is_allowed():
    tokens = Tokens.model_validate({"trainer": "t" * 16})
    with bound_socket("0.0.0.0", 0) as listener:
        refuse_open(listener, ServeConfig(tokens=tokens), allow_open=False)
        refuse_open(listener, ServeConfig(), allow_open=True)


async def test_one_server_answers_at_several_sockets(tmp_path):
    with bound_socket("127.0.0.1", 0) as first, socket.socket(socket.AF_UNIX) as second:
        second.bind(str(tmp_path / "worker"))
        server = EnvServer(create_app(BaseEnv()), shutdown_timeout_s=1)
        serving = asyncio.create_task(server.serve([first, second]))
        url = url_of(first, "127.0.0.1")
        async with asyncio.timeout(20):
            while not server.started:
                await asyncio.sleep(0.01)
            by_path = httpx.AsyncHTTPTransport(uds=str(tmp_path / "worker"))
            async with httpx.AsyncClient() as at_port, httpx.AsyncClient(transport=by_path) as at_path:
                answers = [await http.get(f"{url}/livez") for http in (at_port, at_path)]
        server.should_exit = True
        await serving
    assert [answer.json() for answer in answers] == [{"status": "alive"}] * 2


def test_an_answer_says_nothing_of_the_server_and_who_asks_is_no_ones_claim(serve_env):
    answer = httpx.get(f"{serve_env(BaseEnv())}/livez", headers={"X-Forwarded-For": "1.2.3.4"})
    assert sorted(answer.headers) == ["content-length", "content-type", "date", "x-request-id"]


def test_ipv6_is_served_too():
    try:
        with bound_socket("::1", 0) as listener:
            assert url_of(listener, "::1") == f"http://[::1]:{listener.getsockname()[1]}"
            assert listener.family == socket.AF_INET6
    except ServeError:
        pytest.skip("this machine has no IPv6")


def options_digest(
    monkeypatch, folder, *, options=None, how_many=1, weights="", in_project="", **changes
) -> str | None:
    """What names the options and the weights in the journal of a server of this folder."""
    seen = []

    def see(*_, config, **__):
        seen.append(config.options_digest)
        raise ServeError("seen")

    monkeypatch.setattr(serving, "create_app", see)
    monkeypatch.setattr(serving, "load_env", lambda *_: BaseEnv())
    monkeypatch.setattr(workers, "Assignment", see)
    project = f'name = "x"\nversion = "1.0"\nentry_point = "x:X"\n[rewards]\n{weights}\n[options]\n{in_project}\n'
    (folder / "envport.toml").write_text(project)
    config = load_project(folder).serve_config(**{"journal": folder / "journal"} | changes)
    run = run_server if how_many == 1 else partial(workers.run_workers, workers=how_many)
    with pytest.raises(ServeError, match="seen"):
        run(folder, port=0, config=config, options=options)
    return seen[0]


def test_a_journal_is_one_of_options_and_weights_however_the_server_is_started(monkeypatch, tmp_path):
    of = partial(options_digest, monkeypatch, tmp_path)
    one = of(options={"data": "a", "n": 1})
    assert one is not None
    assert one == of(options={"n": 1, "data": "a"}) == of(options={"n": 1, "data": "a"}, how_many=2)
    assert one == of(options={"n": 1}, in_project='data = "a"') == of(in_project='data = "a"\nn = 1', how_many=2)
    others = [
        of(options={"data": "a", "n": 2}),
        of(options={"data": "a", "n": 1}, weights="right = 2.0"),
        of(options={"data": "a", "n": 1}, weights="right = 3.0", how_many=2),
        of(),
    ]
    assert len({one, *others}) == 5
    assert of(options={"n": object()}, journal=None) is None


def test_an_environment_that_the_caller_made_is_of_the_weights_and_what_the_caller_says(monkeypatch, tmp_path):
    def of(**settings) -> str:
        with pytest.raises(ServeError, match="seen") as seen:
            run_server(BaseEnv(), port=0, config=ServeConfig(journal=tmp_path / "journal", **settings))
        return str(seen.value)

    def see(*_, config):
        raise ServeError(f"seen {config.options_digest}")

    monkeypatch.setattr(serving, "create_app", see)
    assert of() == of()
    assert len({of(), of(options_digest="a"), of(reward_weights={"right": 2.0})}) == 3
