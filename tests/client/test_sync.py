"""The blocking client: the same methods, in scripts and in notebooks."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import signal
import subprocess
import sys
import threading
from concurrent.futures import CancelledError

import envport
import httpx
import pytest
from envport.loop_thread import LoopThread
from envport.sync import Blocking
from envport_protocol import BaseEnv, tool

URL = "http://env.test:8000"


@pytest.fixture
def http(script):
    script.say(
        "/v1/start_rollout",
        {"rollout_id": "r1", "task_id": "t-0", "messages": [], "tools": [], "idle_timeout_s": 60.0},
    )
    script.say("/v1/run_tool", {"content": [{"type": "text", "text": "hi"}]})
    script.say("/v1/compute_reward", {"reward": 0.25, "rewards": {}})
    script.say("/v1/end_rollout", {"rollout_id": "r1"})
    script.say("/v1/tasks", {"tasks": [], "total": 0, "offset": 0})
    script.say("/v1/list_tools", {"tools": []})
    return httpx.AsyncClient(transport=httpx.MockTransport(script.answer))


def test_a_whole_rollout_without_await(http, script):
    with envport.connect_sync(URL, http=http) as env:
        assert (env.url, env.manifest.name) == (URL, "echo")
        assert (env.tasks("train").total, env.list_tools()) == (0, [])
        with env.start_rollout(split="train", index=0, rollout_id="r1") as rollout:
            assert isinstance(rollout, envport.SyncRollout)
            assert (rollout.rollout_id, rollout.task_id) == ("r1", "t-0")
            assert rollout.run_tool("echo", {"text": "hi"}, call_id="c1").text == "hi"
            assert rollout.compute_reward("hi").reward == 0.25
    assert [request.url.path for request in script.requests] == [
        "/v1/manifest",
        "/v1/tasks",
        "/v1/list_tools",
        "/v1/start_rollout",
        "/v1/run_tool",
        "/v1/compute_reward",
        "/v1/end_rollout",
    ]


async def test_it_works_where_a_loop_already_runs(http):
    with envport.connect_sync(URL, http=http) as env, env.start_rollout(task_id="t-0") as rollout:
        assert rollout.run_tool("echo").text == "hi"


def test_errors_are_those_of_the_async_client(http, script, wire_error):
    script.say("/v1/run_tool", wire_error(500, "env_error", "broken", "env_error"))
    with envport.connect_sync(URL, http=http) as env, env.start_rollout(task_id="t-0") as rollout:
        with pytest.raises(envport.EnvFailedError, match="broken"):
            rollout.run_tool("echo")
        with pytest.raises(envport.InvalidRequestError):
            env.start_rollout()


def test_a_wrong_url_raises_on_connecting_and_leaves_no_thread(script):
    before = threading.active_count()
    script.say("/v1/manifest", httpx.Response(404))
    with pytest.raises(envport.NotAnEnvironmentError):
        envport.connect_sync(URL, http=httpx.AsyncClient(transport=httpx.MockTransport(script.answer)))
    assert threading.active_count() == before


def test_closing_ends_the_thread_and_again_does_nothing(http):
    before = threading.active_count()
    env = envport.connect_sync(URL, http=http)
    assert threading.active_count() == before + 1
    env.close()
    env.close()
    assert threading.active_count() == before
    with pytest.raises(RuntimeError, match="this client is closed: connect again"):
        env.list_tools()


@pytest.mark.parametrize(
    ("blocking", "twin"), [(envport.SyncEnvClient, envport.EnvClient), (envport.SyncRollout, envport.Rollout)]
)
def test_each_verb_of_the_async_client_is_there(blocking, twin):
    lifecycle = {"open", "close"}
    verbs = {
        name
        for name, member in vars(twin).items()
        if inspect.iscoroutinefunction(member) and not name.startswith("_") and name not in lifecycle
    }
    assert {name for name, member in vars(blocking).items() if isinstance(member, Blocking)} == verbs
    for verb in verbs:
        assert vars(blocking)[verb].method is vars(twin)[verb]


def test_a_method_keeps_the_signature_and_the_words_of_its_twin(http):
    with envport.connect_sync(URL, http=http) as env:
        assert inspect.signature(env.tasks) == inspect.signature(envport.connect(URL).tasks)
        assert env.tasks.__doc__ == envport.EnvClient.tasks.__doc__ == envport.SyncEnvClient.tasks.__doc__


def test_ctrl_c_cancels_the_call_that_is_waited_for():
    loop = LoopThread()
    ended = threading.Event()
    main = threading.get_ident()

    async def hangs() -> None:
        signal.pthread_kill(main, signal.SIGINT)
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(KeyboardInterrupt):
        loop.run(hangs())
    assert ended.wait(10)
    loop.stop()


def test_stopping_the_loop_cancels_what_still_runs():
    loop = LoopThread()
    begun, ended = threading.Event(), threading.Event()

    async def hangs() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    def wait() -> None:
        with contextlib.suppress(CancelledError):
            loop.run(hangs())

    waiter = threading.Thread(target=wait)
    waiter.start()
    assert begun.wait(10)
    loop.stop()
    waiter.join(10)
    assert ended.is_set()
    assert not waiter.is_alive()


def test_closing_while_other_threads_call_lets_each_of_them_go(serve_env):
    class Waits(BaseEnv):
        @tool
        async def wait(self) -> str:
            """Never returns by itself."""
            running.release()
            await asyncio.Event().wait()
            return "never"

    running = threading.Semaphore(0)
    env = envport.connect_sync(serve_env(Waits()))
    told: list[type[BaseException]] = []

    def work() -> None:
        try:
            with env.start_rollout(messages=[{"role": "user", "content": ""}]) as rollout:
                rollout.run_tool("wait")
        except (envport.EnvportError, CancelledError) as error:
            told.append(type(error))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert running.acquire(timeout=10)
    env.close()
    for thread in threads:
        thread.join(10)
    assert [thread.is_alive() for thread in threads] == [False] * 8
    assert told == [envport.TransportError] * 8


def test_what_is_called_while_the_loop_ends_is_refused():
    loop = LoopThread()
    told: list[str] = []

    async def hangs() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.to_thread(ending.set)
            await asyncio.to_thread(asked.wait, 10)

    def wait() -> None:
        with contextlib.suppress(CancelledError):
            loop.run(hangs())

    begun, ending, asked = (threading.Event() for _ in range(3))
    waiter = threading.Thread(target=wait)
    waiter.start()
    assert begun.wait(10)
    stopper = threading.Thread(target=loop.stop)
    stopper.start()
    assert ending.wait(10)
    with pytest.raises(RuntimeError, match="this client is closed: connect again") as caught:
        loop.run(asyncio.sleep(0))
    told.append(str(caught.value))
    asked.set()
    stopper.join(10)
    waiter.join(10)
    assert told == ["this client is closed: connect again"]
    assert not stopper.is_alive()
    assert not waiter.is_alive()


def test_a_client_that_is_collected_in_its_own_thread_ends_it(http):
    env = envport.connect_sync(URL, http=http)
    rollout = env.start_rollout(task_id="t-0")
    loop = env.loop
    gc.disable()
    try:
        env.itself = env  # a cycle, as an exception makes that is kept with its traceback
        del env
        loop._loop.call_soon_threadsafe(gc.collect)
        loop._thread.join(10)
    finally:
        gc.enable()
    assert not loop._thread.is_alive()
    with pytest.raises(RuntimeError, match="this client is closed: connect again"):
        rollout.run_tool("echo")


def test_a_call_in_the_clients_own_thread_is_refused_since_it_would_wait_for_itself():
    loop = LoopThread()

    async def calls_itself() -> None:
        loop.run(asyncio.sleep(0))

    with pytest.raises(RuntimeError, match="this client cannot be used in its own thread"):
        loop.run(calls_itself())
    loop.stop()


TYPED = """
import envport
from envport import EnvClient, Rollout, RunToolAnswer, SyncRollout, TaskPage, ComputeRewardAnswer
from typing import assert_type

def blocking() -> None:
    with envport.connect_sync("http://h") as env:
        rollout = env.start_rollout(split="train", index=0)
        assert_type(rollout, SyncRollout)
        assert_type(rollout.run_tool("echo", {"text": "hi"}), RunToolAnswer)
        assert_type(rollout.compute_reward("hi"), ComputeRewardAnswer)
        assert_type(rollout.task_id, str | None)
        assert_type(rollout.run_tools([("echo", {"text": "hi"})]), list[RunToolAnswer])
        assert_type(rollout.fork(), SyncRollout)
        assert_type(env.attach("r1"), SyncRollout)
        assert_type(rollout.cancel("c1"), bool)
        assert_type(rollout.token, str)
        group = env.start_group(8, split="train", index=0)
        assert_type(group, list[SyncRollout])
        assert_type(env.compute_group_reward([(one, "hi") for one in group]), list[ComputeRewardAnswer])
        assert_type(env.tasks("train", limit=3), TaskPage)
        with rollout as entered:
            assert_type(entered, SyncRollout)
        rollout.run_tool(wrong="echo")

async def waiting() -> None:
    async with envport.connect("http://h") as env:
        assert_type(env, EnvClient)
        rollout = await env.start_rollout(task_id="t")
        assert_type(rollout, Rollout)
        assert_type(await rollout.run_tool("echo"), RunToolAnswer)
        assert_type(await rollout.fork(), Rollout)
        group = await env.start_group(8, task_id="t")
        assert_type(await env.compute_group_reward([(one, "hi") for one in group]), list[ComputeRewardAnswer])
"""


def test_type_checkers_know_the_blocking_methods(tmp_path):
    (tmp_path / "typed.py").write_text(TYPED)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(tmp_path / "typed.py")],
        capture_output=True,
        text=True,
        timeout=250,
    )
    errors = [line.partition("error: ")[2] for line in done.stdout.splitlines() if ": error: " in line]
    assert errors == ['Unexpected keyword argument "wrong"  [call-arg]'], done.stdout + done.stderr
