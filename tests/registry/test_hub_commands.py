"""`envport hub serve`, `publish`, `search`, `info`, `pull`, as a person runs them."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from typing import NamedTuple

import pytest
from envport.cli import app
from envport.cli.boundary import exit_code_of
from envport.cli.hub import _own_token
from envport_registry.bundle import pack


def command(*args: object) -> list[str]:
    return [sys.executable, "-m", "envport", *map(str, args)]


class Done(NamedTuple):
    """A command that has ended."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def envport(hub, monkeypatch, capfd):
    """Runs the command in this process against the hub, on the hub's own machine; `home=` for another one."""

    def run(*args: object, home=hub.home, **variables: str) -> Done:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["envport", *map(str, args)])
            for name, value in {"ENVPORT_HUB": hub.url, "ENVPORT_HOME": str(home), **variables}.items():
                patch.setenv(name, value)
            return Done(exit_code_of(app), *capfd.readouterr())

    return run


def output(done: Done | subprocess.CompletedProcess[str]) -> str:
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def failure(done: Done | subprocess.CompletedProcess[str]) -> str:
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_publish_search_info_and_pull(envport, make_env, hub, tmp_path):
    folder = make_env()
    digest = pack(folder).digest
    assert output(envport("search")) == f"nothing is published on {hub.url}; start by: envport publish PATH\n"
    assert output(envport("publish", folder)) == f"published me/toy@0.1.0\n{digest}\n"
    again = output(envport("publish", folder))
    assert again == f"me/toy@0.1.0 is already published with this content\n{digest}\n"
    assert output(envport("search", "ten")).splitlines() == [
        "ENVIRONMENT  VERSION  LICENCE  SUMMARY",
        "me/toy       0.1.0    MIT      Counts to ten",
    ]
    assert output(envport("search", "eleven")) == f"nothing on {hub.url} matches\n"

    lines = output(envport("info", "me/toy")).splitlines()
    assert lines[:4] == ["me/toy@0.1.0", "Counts to ten", "licence    MIT", f"digest     {digest}"]
    assert lines[-1].split()[::2] == ["0.1.0", digest]

    mine = tmp_path / "mine"
    cached = hub.home / "envs" / digest.replace(":", "-")
    assert output(envport("pull", "me/toy")) == f"pulled me/toy@0.1.0\n{digest}\n{cached}\n"
    assert output(envport("pull", "me/toy@0.1.0", "--out", mine)) == f"pulled me/toy@0.1.0\n{digest}\n{mine}\n"
    assert pack(mine).digest == pack(cached).digest == digest
    assert "exists and is not an empty folder" in failure(envport("pull", "me/toy", "--out", mine))


def test_each_command_has_json(envport, make_env, hub):
    folder = make_env()
    digest, size = pack(folder).digest, len(pack(folder).tar)
    published = json.loads(output(envport("publish", folder, "--namespace", "you", "--json")))
    assert published == {"ref": "you/toy@0.1.0", "digest": digest, "created": True, "size_bytes": size}
    (found,) = json.loads(output(envport("search", "--json")))["envs"]
    assert found["published_at"].endswith("Z")
    info = json.loads(output(envport("info", "you/toy", "--json")))
    assert info == {**found, "default": "0.1.0", "versions": [found]}
    assert (found["namespace"], found["digest"], found["size_bytes"]) == ("you", digest, size)
    pulled = json.loads(output(envport("pull", f"you/toy@{digest}", "--json")))
    folder = str(hub.home / "envs" / digest.replace(":", "-"))
    assert pulled == {"ref": "you/toy@0.1.0", "digest": digest, "folder": folder}


def test_another_machine_needs_the_token_by_hand(envport, make_env, hub, home):
    folder = make_env()
    refused = "publishing needs the hub's token, the request had none: give it by --token or ENVPORT_TOKEN"
    assert refused in failure(envport("publish", folder, home=home))
    assert "the token of the request is not this hub's" in failure(envport("publish", folder, ENVPORT_TOKEN="x" * 30))
    assert output(envport("publish", folder, home=home, ENVPORT_TOKEN=hub.token)).startswith("published me/toy@0.1.0")


def test_this_machines_token_goes_to_this_machine_only(hub):
    assert _own_token(hub.url, hub.home) == hub.token
    assert _own_token("http://hub.example:8800", hub.home) is None
    assert _own_token(hub.url, hub.home / "elsewhere") is None


def test_errors_are_one_line(envport, make_env, hub, tmp_path):
    folder = make_env()
    output(envport("publish", folder))
    assert "me/toy has no version 9 on this hub: it has 0.1.0" in failure(envport("pull", "me/toy@9"))
    assert "no environment me/other on this hub" in failure(envport("info", "me/other"))
    assert "'toy' does not name an environment: expected NAMESPACE/NAME" in failure(envport("pull", "toy"))
    (folder / "new.txt").write_text("x")
    assert "is already published with other content" in failure(envport("publish", folder))
    assert "has no envport.toml" in failure(envport("publish", tmp_path / "nowhere"))
    down = failure(envport("search", "--hub", "http://127.0.0.1:1"))
    assert "the hub at http://127.0.0.1:1 does not answer" in down
    assert "start one with `envport hub serve`, or name another with --hub URL or ENVPORT_HUB" in down
    hub.blobs[0].write_bytes(b"tampered")
    assert "does not match its digest: seen sha256:" in failure(envport("pull", "me/toy"))
    assert not (hub.home / "envs").exists()


def test_a_hub_serves_until_it_is_told_to_stop(make_env, tmp_path, home):
    env = {name: value for name, value in os.environ.items() if not name.startswith("ENVPORT_")}
    args = ("hub", "serve", "--port", 0, "--home", home, "--data", tmp_path / "data")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": env}
    with subprocess.Popen(command(*args), **pipes) as hub:
        try:
            start, _, url = hub.stdout.readline().strip().rpartition(" ")
            assert start == "envport hub: serving at"
            token = home / "hub" / "token"
            assert stat.S_IMODE(token.stat().st_mode) == 0o600
            publish = command("publish", make_env(), "--hub", url, "--home", home)
            done = subprocess.run(publish, capture_output=True, text=True, timeout=60, env=env, check=False)
            assert output(done).startswith("published me/toy@0.1.0")

            port = url.rpartition(":")[2]
            second = command("hub", "serve", "--port", port, "--home", home)
            done = subprocess.run(second, capture_output=True, text=True, timeout=60, env=env, check=False)
            assert f"port {port} on 127.0.0.1 is in use; stop what listens there, or choose another" in failure(done)
        finally:
            hub.send_signal(signal.SIGTERM)
            out, err = hub.communicate(timeout=30)
    assert (hub.returncode, out) == (0, "")
    assert err == f"the token for publishing is in {token}, made just now\n"
    assert token.read_text().strip() not in out + err


def test_a_data_folder_that_is_not_a_hubs_is_refused(tmp_path, home):
    (tmp_path / "hub.sqlite3").write_text("no database " * 100)
    done = subprocess.run(
        command("hub", "serve", "--port", 0, "--home", home, "--data", tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "cannot be opened as the hub's database" in failure(done)


@pytest.mark.parametrize("args", [("hub", "serve"), ("publish",), ("search",), ("info",), ("pull",)])
def test_help_has_an_example(args, envport):
    assert f"Example: envport {' '.join(args)} " in output(envport(*args, "--help"))
