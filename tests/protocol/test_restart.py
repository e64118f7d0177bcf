"""A server that is killed in the middle of its rollouts, and started again: each goes on as if nothing had happened, or
says that it is lost."""

from __future__ import annotations

import asyncio
import hashlib
import re
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
import httpx
import orjson
import pytest
from envport_protocol.hosting.journal import Journal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

ROLLOUTS = 200
CALLS = 8

SERVER = '''
import hashlib
import sys
import time
from pathlib import Path

from envport_protocol import BaseEnv, EnvTask, RewardResult, tool
from envport_protocol.config import ServeConfig
from envport_protocol.server.serving import run_server

folder, port, deterministic, salt, version = sys.argv[1:]


class Chain(BaseEnv):
    """Each answer depends on all calls before it, so one too many or too few changes all that follow."""

    def __init__(self):
        self.deterministic = deterministic == "True"
        self.heads = {}

    def tasks(self, split):
        return [EnvTask(messages=[{"role": "user", "content": f"Task {n}"}], ground_truth=str(n)) for n in range(200)]

    def start_rollout(self, rollout_id, task, seed):
        self.heads[rollout_id] = f"{task.ground_truth}/{seed}"

    @tool
    async def link(self, rollout_id: str, text: str) -> str:
        """Adds a link."""
        with (Path(folder) / "executed").open("a") as log:
            log.write(f"{rollout_id} {text}\\n")
        head = self.heads[rollout_id] + text + salt
        self.heads[rollout_id] = hashlib.sha256(head.encode()).hexdigest()
        return self.heads[rollout_id]

    def compute_reward(self, rollout_id, completion):
        head = self.heads[rollout_id]
        return {"same": RewardResult(float(completion == head), reason=f"the head is {head}")}

    def end_rollout(self, rollout_id):
        del self.heads[rollout_id]


config = ServeConfig(name="chain", version=version, journal=Path(folder) / "journal")
run_server(Chain(), port=int(port), config=config)
'''


@dataclass
class Server:
    """A server process that can be killed and started again, on the same port and with the same journal."""

    folder: Path
    deterministic: bool = True
    port: int = 0
    process: subprocess.Popen[str] = field(init=False)

    def start(self, salt: str = "", version: str = "1") -> None:
        args = [str(self.folder), str(self.port), str(self.deterministic), salt, version]
        self.process = subprocess.Popen([sys.executable, "-c", SERVER, *args], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        ready = self.process.stdout.readline()
        assert ready.startswith("envport: serving chain "), ready
        self.port = int(ready.rpartition(":")[2])

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        self.process.send_signal(number)
        self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def executed(self) -> list[str]:
        return (self.folder / "executed").read_text().splitlines()

    def post(self, verb: str, **body: Any) -> httpx.Response:
        return httpx.post(f"{self.url}/v1/{verb}", json=body, timeout=20)

    def link(self, rollout_id: str, number: int, text: str | None = None) -> httpx.Response:
        arguments = {"text": text or f"link {number}"}
        return self.post("run_tool", rollout_id=rollout_id, call_id=f"c{number}", tool_name="link", arguments=arguments)


@contextmanager
def serving(folder: Path, *, deterministic: bool = True) -> Iterator[Server]:
    server = Server(folder, deterministic)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def chain(rollout: int, salt: str = "") -> list[str]:
    """What an undisturbed rollout is answered."""
    heads = [f"{rollout}/{rollout * 7}"]
    for number in range(CALLS):
        heads.append(hashlib.sha256(f"{heads[-1]}link {number}{salt}".encode()).hexdigest())
    return heads[1:]


class Answer(NamedTuple):
    status: int
    body: dict[str, Any]


class Client:
    """Sends each request until it is answered, as a client with retries does."""

    def __init__(self, server: Server, http: aiohttp.ClientSession) -> None:
        self._server = server
        self._http = http
        self.answered = 0
        self.enough = asyncio.Event()
        self.stop_at = 0

    async def post(self, verb: str, **body: Any) -> Answer:
        while True:
            try:
                async with self._http.post(f"{self._server.url}/v1/{verb}", json=body) as response:
                    answer = Answer(response.status, await response.json())
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)
                continue
            self.answered += 1
            if self.answered == self.stop_at:
                self.enough.set()
            return answer

    async def start(self, rollout: int) -> dict[str, Any]:
        response = await self.post(
            "start_rollout", rollout_id=f"r{rollout}", split="train", index=rollout, seed=rollout * 7
        )
        assert response.status == 200, response
        return response.body

    async def link(self, rollout: int, number: int) -> Answer:
        arguments = {"text": f"link {number}"}
        return await self.post(
            "run_tool", rollout_id=f"r{rollout}", call_id=f"c{number}", tool_name="link", arguments=arguments
        )

    async def play(self, rollout: int) -> tuple[list[str], float]:
        heads = []
        for number in range(CALLS):
            response = await self.link(rollout, number)
            assert response.status == 200, response
            heads.append(response.body["content"][0]["text"])
        scored = await self.post("compute_reward", rollout_id=f"r{rollout}", completion=heads[-1])
        assert scored.status == 200, scored
        ended = await self.post("end_rollout", rollout_id=f"r{rollout}")
        assert ended.status == 200, ended
        return heads, scored.body["reward"]


@asynccontextmanager
async def many_requests(server: Server) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=ROLLOUTS)) as http:
        yield Client(server, http)


async def test_every_deterministic_rollout_goes_on_with_the_same_answers_after_each_kill(tmp_path):
    with serving(tmp_path) as server:
        async with many_requests(server) as client:
            began = await asyncio.gather(*(client.start(rollout) for rollout in range(ROLLOUTS)))
            playing = [asyncio.create_task(client.play(rollout)) for rollout in range(ROLLOUTS)]
            for _ in range(3):  # in the middle of the calls each time: 2,000 answers are to come
                client.enough.clear()
                client.stop_at = client.answered + 500
                await client.enough.wait()
                server.stop()
                server.start()
            got = await asyncio.gather(*playing)
            again = await asyncio.gather(*(client.post("end_rollout", rollout_id=f"r{n}") for n in range(ROLLOUTS)))
    assert got == [(chain(rollout), 1.0) for rollout in range(ROLLOUTS)]
    assert {one.status for one in again} == {200}
    assert len({one["token"] for one in began}) == ROLLOUTS


def played(server: Server, rollout: int, calls: int) -> dict[str, Any]:
    """Starts a rollout and makes so many calls; the start's answer."""
    started = server.post("start_rollout", rollout_id=f"r{rollout}", split="train", index=rollout, seed=rollout * 7)
    assert started.status_code == 200, started.text
    for number, head in enumerate(chain(rollout)[:calls]):
        assert server.link(f"r{rollout}", number).json()["content"][0]["text"] == head
    return started.json()


def lost(status: int, body: dict[str, Any]) -> str:
    """The message of an answer that says `rollout_lost` with all that belongs to it."""
    error = body["error"]
    assert (status, error["code"], error["outcome"], error["trainable"]) == (410, "rollout_lost", "lost", False)
    return error["message"]


def test_what_was_answered_before_a_kill_is_answered_again_after_it_without_being_run(tmp_path):
    with serving(tmp_path) as server:
        began = played(server, 3, calls=4)
        first = server.link("r3", 0).content
        scored = server.post("compute_reward", rollout_id="r3", completion="no").content
        reason = f"the head is {chain(3)[3]}"
        assert orjson.loads(scored)["rewards"] == {"same": {"score": 0.0, "weight": 1.0, "reason": reason}}
        server.stop()
        server.start()
        assert server.link("r3", 0).content == first
        assert server.executed() == [f"r3 link {n}" for n in range(4)] * 2  # once before, once in the rebuilding
        assert server.post("compute_reward", rollout_id="r3", completion="no").content == scored
        conflict = server.link("r3", 1, "another link")
        assert (conflict.status_code, conflict.json()["error"]["code"]) == (409, "id_conflict")
        again = server.post("start_rollout", rollout_id="r3", split="train", index=3, seed=21)
        assert again.json() == began
        assert server.link("r3", 4).json()["content"][0]["text"] == chain(3)[4]
        assert len(server.executed()) == 9
        tools = httpx.post(
            f"{server.url}/v1/list_tools",
            json={"rollout_id": "r3"},
            headers={"Authorization": f"Bearer {began['token']}"},
        )
        assert tools.status_code == 200, tools.text


def test_ids_that_were_ended_before_a_kill_stay_spent(tmp_path):
    with serving(tmp_path) as server:
        played(server, 1, calls=1)
        ended = server.post("end_rollout", rollout_id="r1")
        server.stop()
        server.start()
        assert server.post("end_rollout", rollout_id="r1").content == ended.content
        started = server.post("start_rollout", rollout_id="r1", split="train", index=1, seed=7)
        assert (started.status_code, started.json()["error"]["code"]) == (410, "rollout_ended")
        assert server.executed() == ["r1 link 0"]


def test_a_server_that_was_told_to_stop_leaves_its_rollouts_to_the_next_one(tmp_path):
    with serving(tmp_path) as server:
        played(server, 5, calls=2)
        server.stop(signal.SIGTERM)
        server.start()
        assert server.link("r5", 2).json()["content"][0]["text"] == chain(5)[2]


async def test_every_rollout_of_another_environment_says_that_it_is_lost(tmp_path):
    with serving(tmp_path, deterministic=False) as server:
        async with many_requests(server) as client:
            await asyncio.gather(*(client.start(rollout) for rollout in range(ROLLOUTS)))
            await asyncio.gather(*(client.link(rollout, 0) for rollout in range(ROLLOUTS)))
            server.stop()
            server.start()
            answers = await asyncio.gather(*(client.link(rollout, 1) for rollout in range(ROLLOUTS)))
            again = await asyncio.gather(*(client.link(rollout, 0) for rollout in range(ROLLOUTS)))
            scored = await client.post("compute_reward", rollout_id="r0", completion="?")
            restarted = await client.post("start_rollout", rollout_id="r0", split="train", index=0)
            fresh = await client.post("start_rollout", rollout_id="fresh", split="train", index=0)
    for answer in (*answers, *again, scored, restarted):
        assert "is not deterministic, so it cannot be rebuilt; start a new one" in lost(*answer)
    assert fresh.status == 200
    assert len(server.executed()) == ROLLOUTS


@pytest.mark.parametrize("changed", [{"salt": "!"}, {"version": "2"}])
def test_a_server_that_would_answer_otherwise_says_lost_and_gives_no_wrong_answer(tmp_path, changed):
    with serving(tmp_path) as server:
        played(server, 2, calls=3)
        server.stop()
        server.start(**changed)
        for number in (2, 3):
            answer = server.link("r2", number)
            assert "start a new" in lost(answer.status_code, answer.json())
        assert server.post("start_rollout", rollout_id="new", split="train", index=2).status_code == 200


def test_a_record_that_this_version_cannot_read_is_a_lost_rollout(tmp_path):
    with serving(tmp_path) as server:
        server.stop()
        (written,) = (tmp_path / "journal").glob("*.log")
        told = re.search(rb'"identity":(\{.*?\})', written.read_bytes())
        assert told is not None
        identity = {name: value for name, value in orjson.loads(told[1]).items() if name != "boot"}
        journal = Journal.open(tmp_path / "journal", identity, idle_timeout_s=600)
        journal.started("old", b'{"another": "form"}', b"{}", keep_calls=True)
        journal.close()
        server.start()
        answer = server.link("old", 0)
        assert "was journaled by another version of envport; start a new one" in lost(answer.status_code, answer.json())
