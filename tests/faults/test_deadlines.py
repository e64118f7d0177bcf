"""Whatever an environment's code does, each call ends at its deadline, and the server and the rollout go on."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import orjson
import pytest

from .conftest import served
from .stubborn_env import StubbornEnv
from .wire import Reply, request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Target

DEADLINE_S = 0.3
LATE = (504, "timeout")
MARGIN_S = 1.7
"""A bound for a busy machine, no measurement: what hangs here hangs for ever, or for longer than this."""


@pytest.fixture
def stubborn() -> Iterator[Target]:
    """A server of the stubborn environment."""
    env = StubbornEnv()
    yield from served(env, call_timeout_s=DEADLINE_S, orphan_grace_s=0.1, max_threads=4)
    env.gate.set()


def ask(target: Target, verb: str, rollout_id: str, **fields) -> Reply:
    """The answer, which came."""
    reply = target.post(verb, orjson.dumps({"rollout_id": rollout_id, **fields}))
    assert reply is not None
    return reply


def start(target: Target, rollout_id: str) -> Reply:
    return ask(target, "start_rollout", rollout_id, messages=[{"role": "user", "content": "Wait."}])


def run(target: Target, rollout_id: str, tool_name: str, call_id: str = "c", **arguments) -> Reply:
    return ask(target, "run_tool", rollout_id, call_id=call_id, tool_name=tool_name, arguments=arguments)


def until(condition, what: str) -> None:
    """Returns once the condition holds."""
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


def assert_late(reply: Reply, since: float) -> None:
    assert reply.error == LATE
    assert (reply.json["error"]["outcome"], reply.json["error"]["trainable"]) == ("timeout", False)
    assert DEADLINE_S * 0.9 <= time.monotonic() - since < DEADLINE_S + MARGIN_S


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("hang", {}), ("deaf", {"seconds": 2.2}), ("burn", {"seconds": 2.2}), ("block", {"seconds": 2.2})],
)
def test_a_tool_that_does_not_end_is_a_timeout_and_its_rollout_goes_on(stubborn, name, arguments):
    start(stubborn, "r")
    began = time.monotonic()
    assert_late(run(stubborn, "r", name, **arguments), began)
    assert run(stubborn, "r", name, **arguments).error == LATE
    assert run(stubborn, "r", "quick", "c2", text="still here").json["content"][0]["text"] == "still here"
    assert ask(stubborn, "compute_reward", "r", completion="x").json["reward"] == 1.0
    assert ask(stubborn, "end_rollout", "r").status == 200
    assert stubborn.env.ended == ["r"]
    assert stubborn.open_rollouts() == 0


def test_a_client_may_ask_for_a_shorter_deadline_and_not_for_a_longer_one(stubborn):
    start(stubborn, "r")
    short, long = (
        ask(stubborn, "run_tool", "r", call_id=f"c{s}", tool_name="hang", timeout_s=s).json["error"]["message"]
        for s in (0.05, 100)
    )
    assert "its deadline of 0.05 s" in short
    assert f"its deadline of {DEADLINE_S:g} s" in long


def test_a_reward_that_does_not_end_is_a_timeout_each_time_it_is_asked_for(stubborn):
    start(stubborn, "reward-r")
    began = time.monotonic()
    assert_late(ask(stubborn, "compute_reward", "reward-r", completion="x"), began)
    assert ask(stubborn, "compute_reward", "reward-r", completion="x").error == LATE
    assert stubborn.env.entered == ["reward-r"]
    assert ask(stubborn, "end_rollout", "reward-r").status == 200


def test_a_start_that_does_not_end_is_a_timeout_and_leaves_nothing(stubborn):
    began = time.monotonic()
    assert_late(start(stubborn, "start-r"), began)
    assert start(stubborn, "start-r").error == LATE
    assert (stubborn.env.entered, stubborn.env.stopped) == (["start-r"], ["start-r"])
    assert stubborn.open_rollouts() == 0


def test_an_end_that_does_not_end_is_a_timeout_and_frees_the_rollout(stubborn):
    start(stubborn, "end-r")
    began = time.monotonic()
    assert_late(ask(stubborn, "end_rollout", "end-r"), began)
    assert ask(stubborn, "end_rollout", "end-r").error == LATE
    assert stubborn.env.entered == ["end-r"]
    assert stubborn.open_rollouts() == 0
    assert run(stubborn, "end-r", "quick", text="x").error == (410, "rollout_ended")


def test_threads_that_were_blocked_are_replaced_up_to_a_bound_and_come_back(stubborn):
    start(stubborn, "r")

    def soon(tool_name: str, call_id: str, **arguments) -> Reply:
        body = {"call_id": call_id, "tool_name": tool_name, "arguments": arguments, "timeout_s": 0.05}
        return ask(stubborn, "run_tool", "r", **body)

    for number in range(4):
        assert soon("wait", f"a{number}").error == LATE
    assert run(stubborn, "r", "quick_in_thread", "b", text="x").json["content"][0]["text"] == "x"
    for number in range(16):  # the last four find no thread, and time out in line
        assert soon("wait", f"c{number}").error == LATE
    assert stubborn.counts.threads_busy == 16
    assert soon("quick_in_thread", "d", text="x").error == LATE
    stubborn.env.gate.set()
    until(lambda: stubborn.counts.threads_busy == 0, "the threads are still busy")
    assert run(stubborn, "r", "quick_in_thread", "e", text="x").json["content"][0]["text"] == "x"
    assert stubborn.counts.running == 0
    assert stubborn.env.entered == ["r"] * 16


@pytest.fixture
def patient() -> Iterator[Target]:
    """The stubborn environment, with deadlines that are far away."""
    env = StubbornEnv()
    yield from served(env, call_timeout_s=60, orphan_grace_s=0.1, max_threads=4)
    env.gate.set()


@pytest.mark.parametrize(("name", "arguments"), [("hang", {}), ("deaf", {"seconds": 2}), ("wait", {})])
def test_a_cancelled_call_ends_at_once_whether_or_not_it_listens(patient, name, arguments):
    start(patient, "r")
    answers: list[Reply] = []
    asking = threading.Thread(target=lambda: answers.append(run(patient, "r", name, **arguments)))
    asking.start()
    until(lambda: patient.counts.running == 1, "the call did not begin")
    assert ask(patient, "cancel", "r", call_id="c").json["cancelled"] is True
    asking.join(MARGIN_S)
    assert [answer.error for answer in answers] == [(409, "cancelled")]
    assert run(patient, "r", name, **arguments).error == (409, "cancelled")
    assert run(patient, "r", "quick", "c2", text="x").status == 200
    patient.env.gate.set()
    assert ask(patient, "end_rollout", "r").status == 200
    assert patient.counts.running == 0


def leaves(target: Target, verb: str, body: dict[str, object]) -> None:
    """Sends a request, and goes away once the environment waits in it."""
    before = len(target.env.entered)
    with target.wire() as wire:
        wire.send(request("POST", f"/v1/{verb}", orjson.dumps(body)))
        until(lambda: len(target.env.entered) > before, "the call did not begin")


HANG = {"rollout_id": "r", "call_id": "c", "tool_name": "hang"}


@pytest.mark.parametrize(
    ("verb", "body"), [("run_tool", HANG), ("batch", {"calls": [{"id": "a", "verb": "run_tool", "body": HANG}]})]
)
def test_a_call_whose_client_went_away_is_cancelled_after_its_grace(patient, verb, body):
    start(patient, "r")
    leaves(patient, verb, body)
    until(lambda: patient.env.stopped == ["r"], "the call was not cancelled")
    assert run(patient, "r", "hang").error == (409, "cancelled")
    assert patient.env.entered == ["r"]


def test_a_start_whose_client_went_away_leaves_nothing(patient):
    messages = [{"role": "user", "content": "Wait."}]
    leaves(patient, "start_rollout", {"rollout_id": "start-r", "messages": messages})
    until(lambda: patient.open_rollouts() == 0, "the rollout is still held")
    assert patient.env.stopped == ["start-r"]


@pytest.fixture
def graceful() -> Iterator[Target]:
    """The stubborn environment, with a grace that is as far away."""
    env = StubbornEnv()
    yield from served(env, orphan_grace_s=30.0)
    env.gate.set()


def test_a_retry_within_the_grace_joins_the_call_that_its_client_left(graceful):
    start(graceful, "r")
    leaves(graceful, "run_tool", HANG | {"tool_name": "wait"})
    until(lambda: waiters(graceful, "r") == 0, "the server did not see that the client left")
    threading.Timer(0.1, graceful.env.gate.set).start()
    assert run(graceful, "r", "wait").json["content"][0]["text"] == "the gate is open"
    assert graceful.env.entered == ["r"]


def waiters(target: Target, rollout_id: str) -> int:
    """How many requests wait for the call `c` of a rollout."""
    call = target.host._store._live[rollout_id].calls["run_tool c"]
    return len(call.run.waiters)


@pytest.fixture
def process() -> Iterator[str]:
    """URL of the stubborn environment in a process of its own, with 64 threads and a deadline of 1 s."""
    script = Path(__file__).with_name("stubborn_env.py")
    config = '{"call_timeout_s": 1.0, "max_threads": 64}'
    command = [sys.executable, script, config]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        assert child.stdout is not None
        yield child.stdout.readline().split()[-1]
        child.terminate()


async def test_livez_answers_while_64_tools_burn(process):
    longest_s = 0.0
    async with httpx.AsyncClient(base_url=process, timeout=60) as http:

        async def post(verb: str, number: int, **fields) -> httpx.Response:
            return await http.post(f"/v1/{verb}", json={"rollout_id": f"r{number}", **fields})

        messages = [{"role": "user", "content": "Burn."}]
        await asyncio.gather(*(post("start_rollout", number, messages=messages) for number in range(64)))
        burn = {"call_id": "c", "tool_name": "burn", "arguments": {"seconds": 2.5}}
        burning = [asyncio.create_task(post("run_tool", number, **burn)) for number in range(64)]
        until_s = time.monotonic() + 2.0
        while time.monotonic() < until_s:
            began = time.monotonic()
            assert (await http.get("/livez")).status_code == 200
            longest_s = max(longest_s, time.monotonic() - began)
            await asyncio.sleep(0.02)
        answers = await asyncio.gather(*burning)
        assert [answer.json()["error"]["outcome"] for answer in answers] == ["timeout"] * 64
        ended = await asyncio.gather(*(post("end_rollout", number) for number in range(64)))
        assert [end.status_code for end in ended] == [200] * 64
    assert longest_s < 5.0
