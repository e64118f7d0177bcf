"""The commands run, ps, logs and stop, as a person types them."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from envport.cli import app
from envport.cli.boundary import exit_code_of
from envport_registry import EnvRef, pack
from envport_registry.errors import UnknownEnvError

TINY_ENV = Path(__file__).parent / "tiny_env"


class Answer(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def envport(shared_home, monkeypatch, capsys):
    monkeypatch.setenv("ENVPORT_HOME", str(shared_home))
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")

    def call(*words: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["envport", *words])
        return Answer(exit_code_of(app), *capsys.readouterr())

    return call


def test_a_folder_runs_by_the_command_and_is_listed_read_and_stopped(envport):
    started = envport("run", str(TINY_ENV), "--name", "typed", "--option", "greeting=good day")
    assert started.returncode == 0, started.stderr
    url = started.stdout.strip()
    assert url.startswith("http://127.0.0.1:")
    *_, note, told = started.stderr.splitlines()
    assert note == (
        "no Docker engine reachable at unix:///nowhere/docker.sock (no such file or directory): running as a process, "
        "not isolated"
    )
    assert told == "typed runs as a process; end it by: envport stop typed"

    (listed,) = json.loads(envport("ps", "--json").stdout)
    assert (listed["run_id"], listed["ref"], listed["digest"], listed["url"], listed["status"]) == (
        "typed",
        str(TINY_ENV),
        pack(TINY_ENV).digest,
        url,
        "ready",
    )
    header, row = envport("ps").stdout.splitlines()
    assert header.split() == ["RUN", "REF", "RUNTIME", "URL", "STATUS", "AGE"]
    assert row.split()[:5] == ["typed", str(TINY_ENV), "process", url, "ready"]

    said = envport("logs", "typ", "--lines", "9").stdout.splitlines()
    assert f"envport: serving tiny 0.1.0 at {url}" in said
    assert envport("logs", "typ", "--lines", "1").stdout.splitlines() == said[-1:]

    taken = envport("run", str(TINY_ENV), "--name", "typed", "--runtime", "process")
    assert (taken.returncode, taken.stdout) == (1, "")
    assert taken.stderr.splitlines()[-1] == (
        "error: a run named 'typed' exists: stop it by `envport stop typed`, or choose another --name"
    )

    stopped = envport("stop", str(TINY_ENV))
    assert (stopped.returncode, stopped.stdout) == (0, "stopped typed\n")
    assert envport("ps").stdout == "nothing runs; start by: envport run\n"


def test_json_tells_the_run_and_all_are_stopped_at_once(envport):
    runs = [
        json.loads(envport("run", str(TINY_ENV), "--runtime", "process", "--json", "--name", name).stdout)
        for name in ("one", "two")
    ]
    assert [(run["run_id"], run["runtime"], run["note"]) for run in runs] == [
        ("one", "process", ""),
        ("two", "process", ""),
    ]
    assert json.loads(envport("stop", "--all", "--json").stdout) == {"stopped": ["one", "two"]}
    assert envport("stop", "--all").stdout == "nothing runs\n"


def test_tokens_of_the_variables_are_asked_for_by_the_run(envport, monkeypatch):
    monkeypatch.setenv("ENVPORT_TRAINER_TOKEN", "t" * 32)
    url = envport("run", str(TINY_ENV), "--runtime", "process", "--name", "guarded").stdout.strip()
    answers = [
        httpx.get(f"{url}/v1/tasks?split=train", headers=headers, timeout=30, trust_env=False).status_code
        for headers in ({}, {"Authorization": f"Bearer {'t' * 32}"})
    ]
    monkeypatch.setenv("ENVPORT_TRAINER_TOKEN", "short")
    refused = envport("run", str(TINY_ENV), "--runtime", "process", "--name", "another")
    assert envport("stop", "--all").stdout == "stopped guarded\n"
    assert answers == [401, 200]
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "ENVPORT_TRAINER_TOKEN has 5 characters, expected 16 to 512" in refused.stderr


def test_a_failing_environment_shows_its_log_and_one_line_of_error(envport):
    failed = envport("run", str(TINY_ENV), "--runtime", "process", "--option", "fail=true")
    assert (failed.returncode, failed.stdout) == (1, "")
    lines = failed.stderr.splitlines()
    assert any(line.startswith("  | ") and "this environment was told to fail" in line for line in lines)
    assert [line for line in lines if line.startswith("error: ")] == lines[-1:]
    assert json.loads(envport("ps", "--json").stdout) == []


@pytest.mark.parametrize("words", [("logs", "nope"), ("stop", "nope")], ids=["logs", "stop"])
def test_an_unknown_run_is_one_line_with_what_runs(envport, words):
    answer = envport(*words)
    assert (answer.returncode, answer.stdout, answer.stderr) == (
        1,
        "",
        "error: no run 'nope'; running here: nothing; expected an id, the beginning of one, or a reference\n",
    )


def test_a_port_in_use_is_one_line(envport):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        answer = envport("run", str(TINY_ENV), "--runtime", "process", "--port", str(port))
    assert (answer.returncode, answer.stdout, answer.stderr) == (
        1,
        "",
        f"error: port {port} on 127.0.0.1 is in use: choose another by --port, or leave --port out for a free one\n",
    )


def test_docker_without_an_engine_is_one_line(envport):
    answer = envport("run", str(TINY_ENV), "--runtime", "docker")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr == (
        "error: no Docker engine reachable at unix:///nowhere/docker.sock (no such file or directory): start Docker, "
        "let this user into its group, or run without it by --runtime process\n"
    )


def test_a_folder_without_an_environment_is_one_line(envport, tmp_path):
    answer = envport("run", str(tmp_path), "--runtime", "process")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert len(answer.stderr.splitlines()) == 1
    assert "envport.toml" in answer.stderr


def test_a_folder_does_not_stand_in_for_the_reference_that_is_spelled_like_it(envport, tmp_path, monkeypatch):
    (tmp_path / "tests").mkdir()
    shutil.copytree(TINY_ENV, tmp_path / "tests" / "tiny")
    shutil.copytree(TINY_ENV, tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    asked: list[str] = []

    def pull(ref: EnvRef, *_: object) -> Path:
        asked.append(str(ref))
        raise UnknownEnvError("asked")

    started: list[str] = []

    def run(source: Path, **_: object) -> None:
        started.append(str(source))
        raise UnknownEnvError("started")

    monkeypatch.setattr("envport_registry.pull", pull)
    monkeypatch.setattr("envport_registry.runner.run", run)
    assert envport("run", "tests/tiny").stderr.splitlines()[0] == (
        "tests/tiny is taken from the hub; for the folder of that name write ./tests/tiny"
    )
    for folder in ("./tests/tiny", str(tmp_path / "tests/tiny"), "tiny", "tests/tiny/"):
        envport("run", folder)
    assert (asked, started) == (["tests/tiny"], ["tests/tiny", str(tmp_path / "tests/tiny"), "tiny", "tests/tiny"])
    assert "'Tests' is not a namespace" in envport("run", "Tests/tiny").stderr


def test_stop_wants_runs_or_all(envport):
    assert envport("stop").returncode == 2
    assert envport("stop", "one", "--all").returncode == 2
