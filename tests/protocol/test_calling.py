"""Calling an author's methods."""

from __future__ import annotations

import asyncio
import functools
import threading

import pytest
from envport_protocol.calling import NamedCall, env_boundary, invoke, thread_pool
from envport_protocol.errors import (
    EnvDefinitionError,
    EnvFailedError,
    NoThreadError,
    ToolError,
    UnknownRolloutError,
    UnknownTaskError,
)
from envport_protocol.hosting.threads import ThreadPool

KNOWN = {"a", "b", "c"}
ALL = {"a": 1, "b": 2, "c": 3}


async def test_a_method_gets_what_its_signature_asks_for_by_name():
    assert await NamedCall(lambda a: a, KNOWN)(ALL) == 1
    assert await NamedCall(lambda c, a: (c, a), KNOWN)(ALL) == (3, 1)
    assert await NamedCall(lambda b, **rest: (b, rest), KNOWN)(ALL) == (2, {"a": 1, "c": 3})
    assert await NamedCall(lambda a, x=7: (a, x), KNOWN)(ALL) == (1, 7)
    assert await NamedCall(lambda *, b: b, KNOWN)(ALL) == 2
    assert await NamedCall(lambda: "none", KNOWN)(ALL) == "none"

    def positional(a, /, b):
        return a, b

    assert await NamedCall(positional, KNOWN)(ALL) == (1, 2)


def test_asking_for_what_is_not_there_is_refused_beforehand():
    def score(a, answer):
        return 0

    with pytest.raises(EnvDefinitionError, match=r"score asks for 'answer', .* it can give: a, b, c"):
        NamedCall(score, KNOWN)


async def test_sync_methods_run_in_the_pool_and_async_ones_on_the_loop():
    def where():
        return threading.current_thread().name

    async def where_async():
        return threading.current_thread().name

    @functools.wraps(where_async)
    def wrapped():
        return where_async()

    pool = ThreadPool(1)
    thread_pool.set(pool)
    assert await invoke(where, {}) == "envport-1"
    assert await invoke(where_async, {}) == threading.main_thread().name
    assert await invoke(wrapped, {}) == threading.main_thread().name
    pool.shutdown()


async def test_what_an_author_may_not_raise_becomes_the_environments_failure():
    def raising(error):
        def method(a):
            raise error

        return method

    for error in (ValueError("the answer is 42"), UnknownRolloutError("42"), UnknownTaskError("42"), SystemExit(42)):
        with pytest.raises(EnvFailedError, match=f"method raised {type(error).__name__};") as caught:
            await NamedCall(raising(error), KNOWN)(ALL)
        assert "42" not in str(caught.value)
    for error in (ToolError("no"), EnvDefinitionError("no"), EnvFailedError("no")):
        with pytest.raises(type(error), match=r"^no$"):
            await NamedCall(raising(error), KNOWN)(ALL)
    with pytest.raises(UnknownTaskError, match=r"^no$"):
        await NamedCall(raising(UnknownTaskError("no")), KNOWN, (UnknownTaskError,))(ALL)


def test_the_pool_runs_at_most_so_many_at_a_time_and_reuses_its_threads():
    pool = ThreadPool(2)
    gate = threading.Event()
    running = []

    def work(n):
        running.append(n)
        gate.wait(10)
        return threading.current_thread().name

    futures = [pool.submit(work, n) for n in range(6)]
    while len(running) < 2:
        pass
    assert sorted(running) == [0, 1]
    assert futures[5].cancel()
    gate.set()
    assert {future.result(10) for future in futures[:5]} == {"envport-1", "envport-2"}
    assert sorted(running) == [0, 1, 2, 3, 4]
    pool.shutdown()
    with pytest.raises(NoThreadError, match="the server stops"):
        pool.submit(work, 9)


def test_work_that_found_no_thread_does_not_run_later(monkeypatch):
    pool = ThreadPool(2)
    ran = []
    with monkeypatch.context() as patched:

        def no_thread(_):
            raise RuntimeError("can't start new thread")

        patched.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(NoThreadError, match="new thread"):
            pool.submit(ran.append, "refused")
    pool.submit(ran.append, "taken").result(timeout=5)
    pool.shutdown()
    assert ran == ["taken"]


async def test_a_thread_whose_caller_gave_up_is_replaced_up_to_a_bound():
    pool = ThreadPool(1)
    others = set(threading.enumerate())
    gate = threading.Event()
    loop = asyncio.get_running_loop()
    for hanging in range(1, 5):
        began = threading.Event()

        def hang(began=began):
            began.set()
            gate.wait(10)

        call = loop.run_in_executor(pool, hang)
        while not began.is_set():
            await asyncio.sleep(0.001)
        assert not pool.is_exhausted
        call.cancel()
        await asyncio.sleep(0)
        assert pool.hanging == hanging
    assert pool.is_exhausted
    waiting = loop.run_in_executor(pool, lambda: "after all")
    gate.set()
    assert await waiting == "after all"
    while pool.hanging or pool.busy:
        await asyncio.sleep(0.001)
    assert not pool.is_exhausted
    assert await loop.run_in_executor(pool, lambda: 1) == 1
    while len(set(threading.enumerate()) - others) > 1:
        await asyncio.sleep(0.001)
    pool.shutdown()


def test_a_panic_of_a_compiled_library_is_the_environments_failure():
    class Panic(BaseException):
        pass

    with pytest.raises(EnvFailedError, match="a tool raised Panic"), env_boundary("a tool"):
        raise Panic
    for ours in (KeyboardInterrupt, asyncio.CancelledError, GeneratorExit):
        with pytest.raises(ours), env_boundary("a tool"):
            raise ours
    with pytest.raises(NoThreadError), env_boundary("a tool"):
        raise NoThreadError("none")
