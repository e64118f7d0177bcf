"""`envport serve`, as a person runs it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import envport
import pytest

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


def failed(*args: str) -> str:
    done = subprocess.run(command(*args), capture_output=True, text=True, timeout=60)
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
        assert server.stderr.read() == "interrupted\n"


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
