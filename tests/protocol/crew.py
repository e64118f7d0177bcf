"""A server of several workers, as users start it, and an environment that tells what ran where."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import httpx
import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ENV = """
import asyncio, os, subprocess, time
from pathlib import Path
from envport_protocol import BaseEnv, EnvTask, reward, tool
from envport_protocol.server.request_ids import request_id, traceparent

class Tally(BaseEnv):
    def __init__(self, folder, deterministic=True, dies=""):
        if dies == "at once":
            os._exit(7)
        self.deterministic = deterministic
        self.folder = Path(folder)
        self.dies = dies
        self.sums = {}

    def note(self, *words):
        with (self.folder / "ledger").open("a") as ledger:
            ledger.write(" ".join(map(str, words)) + "\\n")

    def list_tools(self):
        if self.dies == "asked for its tools":
            raise RuntimeError("no tools today")
        return super().list_tools()

    def tasks(self, split):
        return [EnvTask(prompt="Count to 3.", ground_truth=3)]

    def start_rollout(self, rollout_id):
        self.sums[rollout_id] = 0

    def end_rollout(self, rollout_id):
        del self.sums[rollout_id]

    @tool
    async def add(self, rollout_id: str, by: int) -> int:
        "Adds, and tells the sum."
        self.note(rollout_id, "add", os.getpid())
        self.sums[rollout_id] += by
        return self.sums[rollout_id]

    @tool
    async def where(self) -> int:
        "Tells the process."
        return os.getpid()

    @tool
    async def wait(self, rollout_id: str, gate: str) -> str:
        "Waits for a file."
        self.note(rollout_id, "waits")
        try:
            while not (self.folder / gate).exists():
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            self.note(rollout_id, "cancelled")
            raise
        return gate

    @tool
    async def asked_by(self) -> str:
        "Tells the ids of the request."
        return f"{request_id.get()} {traceparent.get()}"

    @tool
    def descriptors(self) -> str:
        "Tells what a child that shuts nothing would inherit."
        return subprocess.run(["ls", "/proc/self/fd"], close_fds=False, capture_output=True, text=True).stdout

    @tool
    async def fork(self) -> int:
        "Leaves a process that has all that its worker has, and tells which."
        pid = os.fork()
        while not pid:
            time.sleep(600)
        return pid

    @tool
    async def die(self) -> str:
        "Brings its worker down."
        os._exit(9)

    @reward
    def arrived(self, rollout_id, ground_truth):
        return float(self.sums[rollout_id] == ground_truth)
"""
PROJECT = 'name = "tally"\nversion = "1.2.0"\nentry_point = "tally_env:Tally"\n'
SCRIPT = """
import json, sys
from envport_protocol.errors import EnvportError
from envport_protocol.project import load_project
from envport_protocol.server import supervisor, worker_process
from envport_protocol.server.workers import run_workers

order = json.loads(sys.argv[1])
worker_process.HEARTBEAT_S = supervisor.HEARTBEAT_S = order["heartbeat_s"]
config = load_project(order["folder"]).serve_config(**order["config"])
try:
    run_workers(order["folder"], port=order["port"], workers=order["workers"], config=config,
                options=order["options"], shutdown_timeout_s=order["shutdown_timeout_s"])
except EnvportError as error:
    sys.exit(f"{type(error).__name__}: {error}")
except KeyboardInterrupt:
    sys.exit(130)
print("stopped", flush=True)
"""


class Crew:
    """One such server. Its connections are dealt to the workers in turn, so `connections` reach every one."""

    def __init__(
        self,
        folder: Path,
        *,
        workers: int = 3,
        port: int = 0,
        shutdown_timeout_s: float = 5.0,
        heartbeat_s: float = 5.0,
        **settings: Any,
    ) -> None:
        project = folder / "project"
        project.mkdir(exist_ok=True)
        (project / "envport.toml").write_text(PROJECT)
        (project / "tally_env.py").write_text(ENV)
        (folder / "tmp").mkdir(exist_ok=True)
        options = {name: settings.pop(name) for name in ("deterministic", "dies") if name in settings}
        self.folder = folder
        self.workers = workers
        order = {
            "folder": str(project),
            "workers": workers,
            "port": port,
            "options": {"folder": str(folder), **options},
            "config": settings,
            "shutdown_timeout_s": shutdown_timeout_s,
            "heartbeat_s": heartbeat_s,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, json.dumps(order)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONWARNINGS": "error", "TMPDIR": str(folder / "tmp")},
        )
        self.url = ""
        self.connections: list[httpx.Client] = []

    def wait_until_ready(self) -> None:
        """Reads the line that says so, and opens two connections to each worker."""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        line = self.process.stdout.readline()
        found = re.fullmatch(r"envport: serving tally 1\.2\.0 at (http://127\.0\.0\.1:\d+)\n", line)
        assert found is not None, line or self.process.stderr.read()
        self.url = found[1]
        self.connect()

    def connect(self, token: str | None = None) -> None:
        """Opens the connections anew."""
        self.disconnect()
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self.connections = [
            httpx.Client(base_url=self.url, timeout=30, headers=headers, verify=False)  # certificates take long to load
            for _ in range(2 * self.workers)
        ]
        for connection in self.connections:
            connection.get("/livez").raise_for_status()

    def disconnect(self) -> None:
        for connection in self.connections:
            connection.close()

    @property
    def pids(self) -> list[int]:
        """The processes of the workers that run now."""
        return [child.pid for child in psutil.Process(self.process.pid).children()]

    @property
    def ledger(self) -> list[str]:
        """What the environments noted."""
        path = self.folder / "ledger"
        return path.read_text().splitlines() if path.exists() else []

    def post(self, verb: str, connection: int = 0, **body: Any) -> httpx.Response:
        """Asks over one of the connections, by its number modulo how many there are."""
        return self.connections[connection % len(self.connections)].post(f"/v1/{verb}", json=body)

    def start(self, rollout_id: str, connection: int = 0) -> httpx.Response:
        return self.post("start_rollout", connection, rollout_id=rollout_id, split="train", index=0)

    def run(self, rollout_id: str, call_id: str, tool_name: str, connection: int = 0, **arguments: Any) -> Any:
        return self.post(
            "run_tool", connection, rollout_id=rollout_id, call_id=call_id, tool_name=tool_name, arguments=arguments
        )

    def where(self, key: str) -> int:
        """The process of the worker that holds the rollouts of this routing key. Held by a rollout made for it."""
        return self.ask(key, "where")

    def ask(self, key: str, tool_name: str) -> int:
        """What a tool tells a rollout of this routing key, which is held for that alone."""
        self.start(f"{key}.{tool_name}")
        told = int(text_of(self.run(f"{key}.{tool_name}", tool_name, tool_name)))
        self.post("end_rollout", rollout_id=f"{key}.{tool_name}")
        return told

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Status, stdout and stderr of the end."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


@contextlib.contextmanager
def crew(folder: Path, **settings: Any) -> Iterator[Crew]:
    """A ready server. Whatever happens, nothing of it is left."""
    one = Crew(folder, **settings)
    try:
        one.wait_until_ready()
        yield one
    finally:
        one.disconnect()
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(one.process.pid).children(recursive=True):
                child.kill()
        one.process.kill()
        one.process.communicate()


def text_of(response: httpx.Response) -> str:
    """What a tool said."""
    assert response.status_code == 200, response.text
    return response.json()["content"][0]["text"]


def until(is_so: Callable[[], bool], timeout_s: float = 30.0) -> None:
    """Returns when it is so."""
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to be so"
        time.sleep(0.02)
