"""`envport check` as a person runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from envport.check import CHECKS

from .breakers.waiting import limits
from .conftest import AGENT, TRAINER
from .environments import LeastEnv, TallyEnv
from .tampering import Breaker

FOLDER = Path(__file__).parents[1] / "registry/runner/tiny_env"


def envport(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "envport", "check", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=dict(os.environ, **variables),
    )


def test_a_good_server_exits_with_0_and_a_table(serve):
    done = envport(serve(LeastEnv, {}).url, "--only", "start_repeats", "--only", "idle_rollouts_expire")
    assert (done.returncode, done.stderr) == (0, "checking\n")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("LeastEnv 0.0.0 at http://127.0.0.1:")
    assert lines[2].startswith("1  ok   start_repeats ")
    assert lines[-1].endswith(": 1 passed, 0 failed, 1 not applicable")


def test_a_broken_server_exits_with_1_and_says_what_was_seen_expected_and_to_do(serve):
    breaker = Breaker(limits(call_timeout_s=0))
    done = envport(serve(TallyEnv, {}, breaker.wrap).url, "--only", "calls_have_a_deadline", "--json")
    assert done.returncode == 1
    (finding,) = json.loads(done.stdout)["findings"]
    assert finding["status"] == "failed"
    assert finding["seen"] == "limits.call_timeout_s is 0"
    assert finding["expected"] == "limits.call_timeout_s is a finite number of seconds above 0"
    assert "ServeConfig.call_timeout_s" in finding["remedy"]


def test_tokens_come_from_the_environment(serve):
    url = serve(TallyEnv, {"tokens": {"trainer": TRAINER, "agent": AGENT}}).url
    refused = envport(url, "--only", "agent_reaches_tools_only")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "ENVPORT_ENV_TOKEN" in refused.stderr
    tokens = {"ENVPORT_ENV_TOKEN": TRAINER, "ENVPORT_AGENT_TOKEN": AGENT}
    done = envport(url, "--only", "agent_reaches_tools_only", **tokens)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_the_list_names_every_check():
    done = envport("--list", "--json")
    assert [one["name"] for one in json.loads(done.stdout)] == [one.name for one in CHECKS]
    assert envport("--list").stdout.count("\n") == len(CHECKS) + 1


def test_a_wrong_command_line_is_told():
    assert envport().returncode == 2
    unknown = envport("http://127.0.0.1:9", "--only", "no_such")
    assert unknown.returncode == 1
    assert unknown.stderr == "error: there is no check 'no_such'; `envport check --list` has them all\n"


def test_a_folder_is_served_for_the_checks():
    names = ("start_repeats", "start_in_line_comes_in", "agent_reaches_tools_only", "log_lines_name_their_request")
    done = envport(str(FOLDER), "--json", *(word for name in names for word in ("--only", name)))
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["counts"] == {"passed": 4, "failed": 0, "not_applicable": 0}
    assert (report["target"], report["environment"]) == (str(FOLDER), "tiny")


def test_a_folder_whose_server_does_not_start_is_told(tmp_path):
    (tmp_path / "envport.toml").write_text('name = "late"\nversion = "1"\nentry_point = "late:Late"\n')
    (tmp_path / "late.py").write_text(
        "import sys\nfrom envport_protocol import BaseEnv\n\n\nclass Late(BaseEnv):\n"
        "    def __init__(self):\n        if 'envport.check.folder_server' in sys.orig_argv:\n"
        "            raise RuntimeError('not today')\n"
    )
    done = envport(str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: the environment's server did not start: " in done.stderr
    assert "not today" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_check_leaves_no_process_behind(number):
    command = [sys.executable, "-m", "envport", "check", str(FOLDER)]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    while running.stderr.readline() != "checking\n":
        assert running.poll() is None
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    assert children
    running.send_signal(number)
    output, errors = running.communicate(timeout=60)
    assert (running.returncode, output, errors) == (130, "", "interrupted\n")
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)
