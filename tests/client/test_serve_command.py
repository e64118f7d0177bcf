"""`envport serve`, as a person runs it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import envport
import httpx
import pytest
from envport_protocol.errors import RolloutLostError

if TYPE_CHECKING:
    from collections.abc import Iterator

ENV = """
from envport_protocol import BaseEnv, tool

class GreetEnv(BaseEnv):
    def __init__(self, greeting="hello", times=1):
        self.text = greeting * times

    @tool
    def greet(self) -> str:
        "Greets."
        return self.text
"""
SLOW_ENV = """
import time

def GreetEnv():
    try:
        print("loading", flush=True)
        time.sleep(60)
    finally:
        print("cleaned up", flush=True)
"""
PROJECT = """
name = "greet"
version = "0.3.0"
entry_point = "greet_env_for_serve:GreetEnv"
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "envport.toml").write_text(PROJECT)
    (tmp_path / "greet_env_for_serve.py").write_text(ENV)
    return tmp_path


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "envport", "serve", *args]


def failed(*args: str, **variables: str) -> str:
    done = subprocess.run(command(*args), capture_output=True, text=True, timeout=60, env=os.environ | variables)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_a_folder_is_served_with_its_options_until_ctrl_c(folder):
    digest = "sha256:" + "0" * 64
    args = (str(folder), "--port", "0", "--option", "greeting=hi", "--option", "times=2", "--digest", digest)
    with subprocess.Popen(command(*args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        line = server.stdout.readline()
        start, _, url = line.strip().rpartition(" ")
        try:
            assert start == "envport: serving greet 0.3.0 at"
            with envport.connect_sync(url) as env:
                assert (env.manifest.name, env.manifest.version, env.manifest.digest) == ("greet", "0.3.0", digest)
                with env.start_rollout(messages=[{"role": "user", "content": "Greet."}]) as rollout:
                    assert rollout.run_tool("greet").text == "hihi"
        finally:
            server.send_signal(signal.SIGINT)
            assert server.wait(30) == 130
        *records, last = server.stderr.read().splitlines()
        assert last == "interrupted"
        assert [json.loads(record)["message"].split()[0] for record in records][:2] == ["starting", "ready"]


def test_a_port_in_use_is_one_clear_line(folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        told = failed(str(folder), "--port", str(port))
    assert told.startswith(f"error: port {port} on 127.0.0.1 is in use; ")


def test_a_folder_that_is_no_environment_is_one_clear_line(tmp_path):
    told = failed(str(tmp_path), "--port", "0")
    assert told.startswith("error: ")
    assert "envport.toml" in told


def test_an_option_that_the_environment_does_not_take_is_one_clear_line(folder):
    told = failed(str(folder), "--port", "0", "--option", "volume=11")
    assert told.startswith("error: ")
    assert "volume" in told


def test_serving_writes_nothing_into_the_folder(folder):
    before = sorted(path.name for path in folder.rglob("*"))
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with subprocess.Popen(command(str(folder), "--port", "0"), stdout=subprocess.PIPE, text=True, env=plain) as server:
        assert server.stdout is not None
        try:
            assert server.stdout.readline().startswith("envport: serving greet 0.3.0 at ")
        finally:
            server.terminate()
            assert server.wait(30) == 0
    assert sorted(path.name for path in folder.rglob("*")) == before


def test_a_command_that_is_terminated_cleans_up_like_after_ctrl_c(folder):
    (folder / "greet_env_for_serve.py").write_text(SLOW_ENV)
    with subprocess.Popen(
        command(str(folder), "--port", "0"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        try:
            assert server.stdout.readline() == "loading\n"
        finally:
            server.terminate()
            rest, told = server.communicate(timeout=30)
    assert (server.returncode, rest, told) == (130, "cleaned up\n", "interrupted\n")


COUNT_ENV = """
import ctypes, os
from envport_protocol import BaseEnv, tool

PR_GET_DUMPABLE = 3

class GreetEnv(BaseEnv):
    def __init__(self, deterministic=True, start=0):
        self.first = start
        self.deterministic = deterministic
        self.counts = {}

    def start_rollout(self, rollout_id):
        self.counts[rollout_id] = self.first

    @tool
    async def count(self, rollout_id: str) -> str:
        "Counts."
        self.counts[rollout_id] += 1
        return str(self.counts[rollout_id])

    @tool
    async def is_hidden(self) -> str:
        "Whether no other process of this user may look into this one."
        return str(ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0)

    @tool
    async def variables(self) -> str:
        "What a program would inherit."
        return " ".join(os.environ)
"""


@contextmanager
def served(*args: str, kill: bool = False, **variables: str) -> Iterator[str]:
    """The URL of `envport serve` with these arguments and variables."""
    with subprocess.Popen(
        command(*args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | variables
    ) as server:
        assert server.stdout is not None
        ready = server.stdout.readline()
        try:
            yield ready.strip().rpartition(" ")[2]
        finally:
            server.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            server.communicate(timeout=30)


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


MESSAGES: list[dict[str, Any]] = [{"role": "user", "content": "Count."}]


def test_the_same_command_after_a_crash_finds_its_rollouts(folder, tmp_path):
    (folder / "greet_env_for_serve.py").write_text(COUNT_ENV)
    port = free_port()
    home = {"ENVPORT_HOME": str(tmp_path / "home")}
    with served(str(folder), "--port", port, kill=True, **home) as url, envport.connect_sync(url) as env:
        rollout = env.start_rollout(messages=MESSAGES)
        assert rollout.run_tool("count").text == "1"
        with served(str(folder), "--port", "0", **home) as other:  # takes no journal from it, and makes none
            assert other != url
    assert [path.name for path in (tmp_path / "home/journals").iterdir()] == [f"greet-127.0.0.1-{port}"]
    with served(str(folder), "--port", port, **home):
        call = {"rollout_id": rollout.rollout_id, "call_id": "next", "tool_name": "count", "arguments": {}}
        answer = httpx.post(f"{url}/v1/run_tool", json=call, timeout=20)
        assert answer.json()["content"] == [{"type": "text", "text": "2"}]


def test_a_rollout_that_was_begun_under_other_options_is_lost(folder):
    (folder / "greet_env_for_serve.py").write_text(COUNT_ENV)
    args = [str(folder), "--port", free_port(), "--journal", str(folder / "journal")]
    with served(*args, kill=True) as url:
        assert status(url, "start_rollout", rollout_id="r1", messages=MESSAGES) == 200
    call = {"rollout_id": "r1", "call_id": "c1", "tool_name": "count", "arguments": {}}
    with served(*args, "--option", "start=5") as url:
        assert status(url, "run_tool", **call) == 410


@pytest.mark.parametrize("how", ["not deterministic", "no journal"])
def test_a_rollout_that_did_not_outlive_its_server_is_lost_to_its_client(folder, tmp_path, how):
    (folder / "greet_env_for_serve.py").write_text(COUNT_ENV)
    args = [str(folder), "--port", free_port()]
    args += ["--no-journal"] if how == "no journal" else ["--option", "deterministic=false"]
    args += [] if how == "no journal" else ["--journal", str(tmp_path / "journal")]
    with ExitStack() as first:
        url = first.enter_context(served(*args, kill=True, ENVPORT_HOME=str(tmp_path / "home")))
        with envport.connect_sync(url) as env:
            rollout = env.start_rollout(messages=MESSAGES)
            assert rollout.run_tool("count").text == "1"
            first.close()
            with served(*args):
                lost = envport.UnknownRolloutError if how == "no journal" else RolloutLostError
                with pytest.raises(lost) as caught:
                    rollout.run_tool("count")
                assert (caught.value.outcome, caught.value.to_body().error.trainable) == ("lost", False)
    assert not (tmp_path / "home").exists()
    assert (tmp_path / "journal").exists() == (how != "no journal")


TRAINER, AGENT, ADMIN = "t" * 32, "a" * 32, "m" * 32


def status(url: str, verb: str, token: str | None = None, **body: Any) -> int:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    if not body:
        return httpx.get(f"{url}/v1/{verb}", headers=headers, timeout=20).status_code
    return httpx.post(f"{url}/v1/{verb}", json=body, headers=headers, timeout=20).status_code


def test_tokens_come_by_variables_and_no_tool_inherits_them(folder):
    (folder / "greet_env_for_serve.py").write_text(COUNT_ENV)
    variables = {"ENVPORT_TRAINER_TOKEN": TRAINER, "ENVPORT_AGENT_TOKEN": AGENT, "ENVPORT_ADMIN_TOKEN": ADMIN}
    with served(str(folder), "--port", "0", "--host", "0.0.0.0", **variables) as url:
        url = url.replace("0.0.0.0", "127.0.0.1")
        start = {"rollout_id": "r1", "messages": MESSAGES}
        assert [status(url, "start_rollout", token, **start) for token in (None, AGENT, TRAINER)] == [401, 403, 200]
        assert [status(url, "rollouts", token) for token in (TRAINER, ADMIN)] == [403, 200]
        call = {"rollout_id": "r1", "call_id": "c1", "tool_name": "variables", "arguments": {}}
        seen = httpx.post(f"{url}/v1/run_tool", json=call, headers={"Authorization": f"Bearer {AGENT}"}, timeout=20)
        names = seen.json()["content"][0]["text"].split()
    assert "PATH" in names
    assert [name for name in names if name.endswith("_TOKEN")] == []


@pytest.mark.skipif(sys.platform != "linux", reason="on Linux only")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_only_a_server_with_tokens_is_hidden_from_its_tools_programs(folder, workers):
    (folder / "greet_env_for_serve.py").write_text(COUNT_ENV)
    for variables in ({"ENVPORT_TRAINER_TOKEN": TRAINER}, {}):
        with (
            served(str(folder), "--port", "0", "--workers", workers, **variables) as url,
            envport.connect_sync(url, token=TRAINER) as env,
            env.start_rollout(messages=MESSAGES) as rollout,
        ):
            assert rollout.run_tool("is_hidden").text == str(bool(variables))


def test_other_machines_are_not_served_without_tokens_unless_that_is_said(folder):
    told = failed(str(folder), "--port", "0", "--host", "0.0.0.0")
    assert told.startswith("error: other machines can reach 0.0.0.0, and no token is set: ")
    assert "ENVPORT_TRAINER_TOKEN" in told
    assert "--no-auth" in told
    with served(str(folder), "--port", "0", "--host", "0.0.0.0", "--no-auth") as url:
        assert status(url.replace("0.0.0.0", "127.0.0.1"), "start_rollout", rollout_id="r1", messages=MESSAGES) == 200


def wrong_usage(*args: str, **variables: str) -> str:
    done = subprocess.run(command(*args), capture_output=True, text=True, timeout=60, env=os.environ | variables)
    assert (done.returncode, done.stdout) == (2, "")
    return " ".join(done.stderr.replace("│", "").split())


@pytest.mark.parametrize(
    ("args", "variables", "told"),
    [
        ([], {"ENVPORT_AGENT_TOKEN": "hunter2"}, "ENVPORT_AGENT_TOKEN has 7 characters, expected 16 to 512"),
        ([], {"ENVPORT_ADMIN_TOKEN": "hunter2 " * 4}, "characters that no Authorization header can carry"),
        (
            [],
            {"ENVPORT_AGENT_TOKEN": "hunter2" * 4, "ENVPORT_TRAINER_TOKEN": "hunter2" * 4},
            "ENVPORT_TRAINER_TOKEN and ENVPORT_AGENT_TOKEN must differ",
        ),
        (["--no-auth"], {"ENVPORT_AGENT_TOKEN": "hunter2" * 4}, "unset them, or leave out --no-auth"),
        (["--no-journal", "--journal", "j"], {}, "expected --journal or --no-journal, not both"),
        (["--workers", "0"], {}, "greater than or equal to 1"),
        (["--call-timeout", "0"], {}, "greater than or equal to 0.1"),
    ],
)
def test_wrong_settings_are_told_without_showing_a_token(folder, args, variables, told):
    seen = wrong_usage(str(folder), "--port", "0", *args, **variables)
    assert told in seen
    assert "hunter2" not in seen


def test_a_journal_that_cannot_be_written_is_one_clear_line(folder, tmp_path):
    (tmp_path / "file").write_text("")
    told = failed(str(folder), "--port", "0", "--journal", str(tmp_path / "file"))
    assert told.startswith(f"error: the journal {tmp_path / 'file'} cannot be used: ")
    assert told.endswith("choose another, or serve without a journal\n")


def test_the_limits_are_told_in_the_manifest(folder):
    args = ["--max-rollouts", "7", "--call-timeout", "2.5", "--idle-timeout", "90"]
    with served(str(folder), "--port", "0", *args) as url:
        limits = httpx.get(f"{url}/v1/manifest", timeout=20).json()["limits"]
    assert (limits["max_rollouts"], limits["call_timeout_s"], limits["idle_timeout_s"]) == (7, 2.5, 90.0)


@pytest.mark.parametrize(("log_format", "first"), [("text", "[0-9][0-9]:[0-9][0-9]:"), ("json", r'\{"ts": ')])
def test_the_log_is_text_or_json(folder, log_format, first):
    with subprocess.Popen(
        command(str(folder), "--port", "0", "--log-format", log_format),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        server.stdout.readline()
        server.terminate()
        _, told = server.communicate(timeout=30)
    assert told
    assert all(re.match(first, line) for line in told.splitlines())


def test_several_workers_serve_at_one_address(folder):
    with served(str(folder), "--port", "0", "--workers", "2") as url, envport.connect_sync(url) as env:
        for _ in range(8):
            with env.start_rollout(messages=MESSAGES) as rollout:
                assert rollout.run_tool("greet").text == "hello"


def test_the_workers_of_a_crashed_command_leave_their_rollouts_to_the_next_one(folder, tmp_path):
    (folder / "greet_env_for_serve.py").write_text(COUNT_ENV)
    args = [str(folder), "--port", free_port(), "--workers", "2", "--journal", str(tmp_path / "journal")]
    ids = [f"g{group}.{member}" for group in range(6) for member in range(2)]

    def counted(url: str, rollout_id: str, call_id: str) -> str:
        call = {"rollout_id": rollout_id, "call_id": call_id, "tool_name": "count", "arguments": {}}
        answer = httpx.post(f"{url}/v1/run_tool", json=call, timeout=20)
        assert answer.status_code == 200, answer.text
        return answer.json()["content"][0]["text"]

    with served(*args, kill=True) as url:
        for rollout_id in ids:
            assert status(url, "start_rollout", rollout_id=rollout_id, messages=MESSAGES) == 200
        assert [counted(url, rollout_id, "c1") for rollout_id in ids] == ["1"] * len(ids)
    with served(*args) as url:
        assert [counted(url, rollout_id, "c1") for rollout_id in ids] == ["1"] * len(ids)
        assert [counted(url, rollout_id, "c2") for rollout_id in ids] == ["2"] * len(ids)
