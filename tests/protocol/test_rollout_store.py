"""The exactly-once store alone."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref

import pytest
from envport_protocol.errors import (
    CallCancelledError,
    CallTimeoutError,
    EnvFailedError,
    IdConflictError,
    InfraError,
    InvalidRequestError,
    NotReadyError,
    OverloadedError,
    RolloutEndedError,
    RolloutLostError,
    UnknownRolloutError,
    UnknownTaskError,
    WireError,
)
from envport_protocol.hosting.before import Before, Rebuilt
from envport_protocol.hosting.observer import NullObserver
from envport_protocol.hosting.rollout import Job, StoreLimits
from envport_protocol.hosting.rollouts import RolloutStore
from envport_protocol.hosting.stored_call import StoredCall


class State:
    """A rollout's state that knows what happened to it."""

    def __init__(self):
        self.runs = 0


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


async def nothing(_):
    return b"{}"


async def run_call(store, rollout_id, key, fingerprint, work, timeout_s):
    return await store.run(rollout_id, Job(key, fingerprint, work, timeout_s, verb="run_tool", tool="a tool"))


def make_store(limits=None, clock=None):
    limits = limits or StoreLimits()
    freed = []

    async def free(state):
        freed.append(state)

    store = RolloutStore(free, limits, clock) if clock else RolloutStore(free, limits)
    return store, freed


async def started(store, rollout_id="r", state=None):
    state = state or State()
    await store.start(rollout_id, b"f", lambda: state, nothing, 5)
    return state


async def test_concurrent_duplicates_join_and_finished_ones_get_the_stored_answer():
    store, _ = make_store()
    await started(store)
    gate = asyncio.Event()

    async def work(state):
        state.runs += 1
        await gate.wait()
        return b"ran %d" % state.runs

    calls = [asyncio.create_task(run_call(store, "r", "c", b"x", work, 5)) for _ in range(5)]
    await asyncio.sleep(0)
    gate.set()
    assert await asyncio.gather(*calls) == [b"ran 1"] * 5
    assert await run_call(store, "r", "c", b"x", work, 5) == b"ran 1"
    assert (await store.state("r")).runs == 1


async def test_work_goes_on_when_the_one_who_asked_goes_away():
    store, _ = make_store()
    await started(store)
    gate = asyncio.Event()

    async def work(state):
        state.runs += 1
        await gate.wait()
        return b"done"

    asked = asyncio.create_task(run_call(store, "r", "c", b"x", work, 5))
    await asyncio.sleep(0)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    gate.set()
    assert await run_call(store, "r", "c", b"x", work, 5) == b"done"
    assert (await store.state("r")).runs == 1


async def test_a_stored_error_is_answered_again_without_a_second_run():
    store, _ = make_store()
    state = await started(store)

    async def work(state):
        state.runs += 1
        raise EnvFailedError("broken")

    for _ in range(3):
        with pytest.raises(EnvFailedError, match="broken"):
            await run_call(store, "r", "c", b"x", work, 5)
    assert state.runs == 1


async def test_other_arguments_under_a_used_id_conflict():
    store, _ = make_store()
    await started(store)
    await run_call(store, "r", "c", b"x", nothing, 5)
    with pytest.raises(IdConflictError, match="'c' of rollout 'r'"):
        await run_call(store, "r", "c", b"y", nothing, 5)
    with pytest.raises(IdConflictError, match="'r' was started with other arguments"):
        await store.start("r", b"g", State, nothing, 5)


async def test_a_failure_of_the_server_itself_is_infra_error():
    store, _ = make_store()
    await started(store)

    async def work(_):
        raise KeyError("secret")

    with pytest.raises(InfraError, match="KeyError") as caught:
        await run_call(store, "r", "c", b"x", work, 5)
    assert "secret" not in str(caught.value)


async def test_the_deadline_holds_even_when_the_work_does_not_listen():
    store, _ = make_store()
    await started(store)
    release = asyncio.Event()

    async def stubborn(_):
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return b"late"

    for _ in range(2):
        with pytest.raises(CallTimeoutError, match=r"deadline of 0\.02 s"):
            await run_call(store, "r", "c", b"x", stubborn, 0.02)
    release.set()


async def test_after_the_end_a_retry_of_end_succeeds_and_other_calls_are_gone():
    store, freed = make_store()
    state = await started(store)
    await run_call(store, "r", "c", b"x", nothing, 5)
    await asyncio.gather(store.end("r"), store.end("r"))
    await store.end("r")
    assert freed == [state]
    for again in (run_call(store, "r", "c", b"x", nothing, 5), store.start("r", b"f", State, nothing, 5)):
        with pytest.raises(RolloutEndedError, match="'r' was ended"):
            await again
    with pytest.raises(UnknownRolloutError):
        await store.end("never")


async def test_an_end_that_fails_still_frees_and_answers_the_same_again():
    class Broken(State):
        pass

    async def free(_):
        raise EnvFailedError("cannot let go")

    store: RolloutStore[State] = RolloutStore(free)
    await started(store)
    for _ in range(2):
        with pytest.raises(EnvFailedError, match="cannot let go"):
            await store.end("r")
    assert len(store) == 0


async def test_an_end_that_hangs_is_given_up_at_its_deadline():
    async def free(_):
        await asyncio.Event().wait()

    store: RolloutStore[State] = RolloutStore(free, StoreLimits(end_timeout_s=0.02))
    await started(store)
    with pytest.raises(CallTimeoutError, match="end_rollout"):
        await store.end("r")
    assert len(store) == 0


async def test_end_stops_running_calls_before_it_frees():
    store, freed = make_store()
    state = await started(store)
    stopped = []

    async def work(_):
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(5):
                await asyncio.sleep(0)
            stopped.append(len(freed))
        return b""

    call = asyncio.create_task(run_call(store, "r", "c", b"x", work, 5))
    await asyncio.sleep(0)
    await store.end("r")
    with pytest.raises(RolloutEndedError):
        await call
    assert (stopped, freed) == ([0], [state])


async def test_an_ended_rollout_lets_go_of_state_and_answers():
    store, freed = make_store()
    state = await started(store)
    gone = weakref.ref(state)

    async def work(state):
        raise EnvFailedError("broken") from ValueError(state)

    with pytest.raises(EnvFailedError):
        await run_call(store, "r", "c", b"x", work, 5)
    await store.end("r")
    freed.clear()
    del state
    gc.collect()
    assert gone() is None
    assert len(store) == 0


async def test_a_remembered_error_does_not_hold_what_it_came_from():
    store, freed = make_store()
    state = State()
    gone = weakref.ref(state)

    async def work(state):
        raise EnvFailedError("broken") from ValueError(state)

    with pytest.raises(EnvFailedError):
        await store.start("r", b"f", lambda kept=state: kept, work, 5)
    await store.close()
    freed.clear()
    del state
    gc.collect()
    assert gone() is None
    with pytest.raises(EnvFailedError, match="broken"):
        await store.start("r", b"f", State, work, 5)


async def test_only_idle_rollouts_expire_and_their_ids_stay_spent():
    clock = Clock()
    store, freed = make_store(StoreLimits(idle_timeout_s=10), clock)
    idle = await started(store, "idle")
    await started(store, "used")
    await started(store, "busy")
    gate = asyncio.Event()

    async def slow(_):
        await gate.wait()
        return b"slow"

    busy = asyncio.create_task(run_call(store, "busy", "c", b"x", slow, 50))
    await asyncio.sleep(0)
    clock.now = 6
    await run_call(store, "used", "c", b"x", nothing, 5)
    clock.now = 11
    assert await store.expire_idle() == 1
    assert freed == [idle]
    with pytest.raises(RolloutEndedError, match="idle for too long"):
        await run_call(store, "idle", "c", b"x", nothing, 5)
    await store.end("idle")
    gate.set()
    assert await busy == b"slow"
    assert await store.expire_idle() == 0


async def test_a_full_store_refuses_one_more_until_one_ends():
    store, _ = make_store(StoreLimits(max_rollouts=2))
    await started(store, "a")
    await started(store, "b")
    with pytest.raises(OverloadedError, match="holds 2 rollouts") as caught:
        await started(store, "c")
    assert caught.value.details == {"rollouts": 2, "max_rollouts": 2, "queued": 0, "max_queued": 0}
    await store.end("a")
    await started(store, "c")
    assert len(store) == 2


async def test_a_failed_start_is_kept_and_frees_its_place():
    store, _ = make_store(StoreLimits(max_rollouts=1))
    state = State()

    async def work(state):
        state.runs += 1
        raise EnvFailedError("no start")

    for _ in range(2):
        with pytest.raises(EnvFailedError, match="no start"):
            await store.start("r", b"f", lambda: state, work, 5)
    with pytest.raises(IdConflictError):
        await store.start("r", b"g", lambda: state, work, 5)
    with pytest.raises(RolloutEndedError, match="could not be started"):
        await run_call(store, "r", "c", b"x", nothing, 5)
    await store.end("r")
    assert state.runs == 1
    await started(store, "other")


async def test_a_start_that_the_client_got_wrong_leaves_the_id_unspent():
    store, _ = make_store()

    async def work(_):
        raise UnknownTaskError("no such task")

    with pytest.raises(UnknownTaskError):
        await store.start("r", b"f", State, work, 5)
    assert await store.start("r", b"g", State, nothing, 5) == b"{}"


async def test_a_call_waits_for_a_start_under_way():
    store, _ = make_store()
    gate = asyncio.Event()

    async def slow(state):
        await gate.wait()
        state.runs = 7
        return b"started"

    async def work(state):
        return b"%d" % state.runs

    start = asyncio.create_task(store.start("r", b"f", State, slow, 5))
    await asyncio.sleep(0)
    call = asyncio.create_task(run_call(store, "r", "c", b"x", work, 5))
    await asyncio.sleep(0)
    gate.set()
    assert await asyncio.gather(start, call) == [b"started", b"7"]


async def test_calls_and_tombstones_are_bounded():
    store, _ = make_store(StoreLimits(max_calls=2, max_tombstones=2))
    await started(store)
    await run_call(store, "r", "1", b"x", nothing, 5)
    await run_call(store, "r", "2", b"x", nothing, 5)
    with pytest.raises(InvalidRequestError, match="made 2 calls"):
        await run_call(store, "r", "3", b"x", nothing, 5)
    for name in ("r", "s", "t"):
        if name != "r":
            await started(store, name)
        await store.end(name)
    with pytest.raises(UnknownRolloutError):
        await run_call(store, "r", "1", b"x", nothing, 5)
    with pytest.raises(RolloutEndedError):
        await run_call(store, "s", "1", b"x", nothing, 5)


async def test_work_that_cancels_itself_is_the_environments_failure():
    store, _ = make_store()
    await started(store)

    async def work(_):
        raise asyncio.CancelledError

    with pytest.raises(EnvFailedError, match="cancelled by the environment"):
        await run_call(store, "r", "c", b"x", work, 5)


async def test_close_ends_everything():
    store, freed = make_store()
    states = [await started(store, "a"), await started(store, "b")]
    await store.close()
    assert freed == states
    assert len(store) == 0


async def test_a_start_that_failed_or_came_too_late_is_freed():
    store, freed = make_store(StoreLimits(max_rollouts=1))
    states = [State(), State(), State()]

    async def hang(_):
        await asyncio.Event().wait()
        return b""

    async def broken(_):
        raise EnvFailedError("half begun")

    async def wrong(_):
        raise UnknownTaskError("no such task")

    for rollout_id, state, work, timeout_s in zip("abc", states, (hang, broken, wrong), (0.01, 5, 5), strict=True):
        with pytest.raises(WireError):
            await store.start(rollout_id, b"f", lambda kept=state: kept, work, timeout_s)
    await store.close()
    assert sorted(freed, key=states.index) == states


async def test_a_start_that_came_too_late_is_freed_after_its_work_has_ended():
    order = []

    async def free(_):
        order.append("freed")

    async def slow_to_stop(_):
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(5):
                await asyncio.sleep(0)
            order.append("stopped")
        return b""

    store: RolloutStore[State] = RolloutStore(free)
    with pytest.raises(CallTimeoutError):
        await store.start("r", b"f", State, slow_to_stop, 0.01)
    await store.end("r")
    assert order == ["stopped", "freed"]


async def test_an_error_of_another_constructor_is_stored_like_any():
    class Upstream(EnvFailedError):
        def __init__(self, host, port):
            super().__init__(f"no {host}:{port}", details={"port": port})

    store, _ = make_store()
    state = await started(store)

    async def work(state):
        state.runs += 1
        raise Upstream("db", 5432)

    for _ in range(2):
        async with asyncio.timeout(2):
            with pytest.raises(Upstream, match="no db:5432") as caught:
                await run_call(store, "r", "c", b"x", work, 60)
        assert caught.value.details == {"port": 5432}
    assert state.runs == 1


async def test_a_late_call_that_does_not_stop_does_not_keep_its_rollout_from_expiring():
    clock = Clock()
    store, freed = make_store(StoreLimits(idle_timeout_s=10), clock)
    state = await started(store)
    release = asyncio.Event()

    async def stubborn(_):
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                release.set() if clock.now else None
        return b"late"

    with pytest.raises(CallTimeoutError):
        await run_call(store, "r", "c", b"x", stubborn, 0.01)
    clock.now = 11
    assert await store.expire_idle() == 1
    assert freed == [state]


async def test_the_state_waits_for_a_start_under_way_and_counts_as_use():
    clock = Clock()
    store, _ = make_store(StoreLimits(idle_timeout_s=10), clock)
    gate = asyncio.Event()

    async def slow(state):
        await gate.wait()
        state.runs = 7
        return b""

    start = asyncio.create_task(store.start("r", b"f", State, slow, 5))
    await asyncio.sleep(0)
    asked = asyncio.create_task(store.state("r"))
    await asyncio.sleep(0)
    gate.set()
    await start
    assert (await asked).runs == 7
    clock.now = 6
    await store.state("r")
    clock.now = 11
    assert await store.expire_idle() == 0


async def test_a_rollout_that_is_just_expiring_says_so():
    gate = asyncio.Event()

    async def free(_):
        await gate.wait()

    clock = Clock()
    store: RolloutStore[State] = RolloutStore(free, StoreLimits(idle_timeout_s=10), clock)
    await started(store)
    clock.now = 11
    expiring = asyncio.create_task(store.expire_idle())
    await asyncio.sleep(0.01)
    with pytest.raises(RolloutEndedError, match="idle for too long"):
        await run_call(store, "r", "c", b"x", nothing, 5)
    gate.set()
    assert await expiring == 1


async def hang(_):
    await asyncio.Event().wait()
    return b""


async def test_a_cancelled_call_is_stopped_and_stays_cancelled():
    store, _ = make_store()
    await started(store)
    stopped = []

    async def work(_):
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append(1)
        return b""

    asked = asyncio.create_task(run_call(store, "r", "c", b"x", work, 5))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [await store.cancel("r", "c") for _ in range(2)] == [True, True]
    for again in (asked, run_call(store, "r", "c", b"x", work, 5)):
        with pytest.raises(CallCancelledError, match="'c' of rollout 'r' was cancelled"):
            await again
    assert (stopped, store.running) == ([1], 0)


async def test_a_call_that_was_cancelled_before_it_came_never_runs():
    store, _ = make_store()
    state = await started(store)

    async def work(state):
        state.runs += 1
        return b""

    assert await store.cancel("r", "c")
    with pytest.raises(CallCancelledError):
        await run_call(store, "r", "c", b"any", work, 5)
    assert state.runs == 0


async def test_a_finished_call_is_not_cancelled():
    store, _ = make_store()
    await started(store)
    await run_call(store, "r", "c", b"x", nothing, 5)
    assert not await store.cancel("r", "c")
    assert await run_call(store, "r", "c", b"x", nothing, 5) == b"{}"


async def test_a_call_that_nobody_waits_for_is_cancelled_after_the_grace():
    store, _ = make_store(StoreLimits(orphan_grace_s=0.02))
    await started(store)
    asked = asyncio.create_task(run_call(store, "r", "c", b"x", hang, 5))
    await asyncio.sleep(0)
    asked.cancel()
    while store.running:
        await asyncio.sleep(0.005)
    with pytest.raises(CallCancelledError, match="no client has waited"):
        await run_call(store, "r", "c", b"x", hang, 5)


async def test_a_call_that_is_joined_within_the_grace_runs_on():
    store, _ = make_store(StoreLimits(orphan_grace_s=0.02))
    await started(store)
    gate = asyncio.Event()

    async def work(_):
        await gate.wait()
        return b"done"

    asked = asyncio.create_task(run_call(store, "r", "c", b"x", work, 5))
    await asyncio.sleep(0)
    asked.cancel()
    await asyncio.sleep(0)
    joined = asyncio.create_task(run_call(store, "r", "c", b"x", work, 5))
    await asyncio.sleep(0.06)
    gate.set()
    assert await joined == b"done"


async def test_more_running_calls_than_may_are_refused_with_their_ids_unspent():
    store, _ = make_store(StoreLimits(max_running_calls=1))
    await started(store)
    asked = asyncio.create_task(run_call(store, "r", "a", b"x", hang, 5))
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError, match="this worker runs 1 calls"):
        await run_call(store, "r", "b", b"x", nothing, 5)
    await store.cancel("r", "a")
    with pytest.raises(CallCancelledError):
        await asked
    assert await run_call(store, "r", "b", b"x", nothing, 5) == b"{}"


async def test_starts_wait_in_line_and_are_let_in_in_their_order():
    store, _ = make_store(StoreLimits(max_rollouts=1, max_queued=3, queue_timeout_s=5))
    await started(store, "first")
    order = []

    async def come(name):
        await started(store, name)
        order.append(name)

    waiting = [asyncio.create_task(come(name)) for name in "abc"]
    await asyncio.sleep(0)
    assert store.queued == 3
    with pytest.raises(OverloadedError, match="3 wait already") as caught:
        await started(store, "d")
    assert caught.value.details == {"rollouts": 1, "max_rollouts": 1, "queued": 3, "max_queued": 3}
    for name in ("first", "a", "b"):
        await store.end(name)
        while len(order) < store.queued * -1 + 3:
            await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    assert (order, store.queued, len(store)) == (["a", "b", "c"], 0, 1)


async def test_a_start_that_waited_too_long_is_overloaded_and_leaves_the_line():
    store, _ = make_store(StoreLimits(max_rollouts=1, max_queued=3, queue_timeout_s=0.01))
    await started(store, "first")
    with pytest.raises(OverloadedError, match="brought no room"):
        await started(store, "late")
    assert store.queued == 0


class Other:
    """Another store that takes from the same places."""

    def __init__(self, count):
        self.count = count
        self.told = []

    def held(self):
        return self.count

    def tell(self, held):
        self.told.append(held)


async def test_places_are_shared_with_others_and_those_in_line_see_what_these_free():
    async def free(_):
        pass

    other = Other(2)
    limits = StoreLimits(max_rollouts=3, max_queued=2, queue_timeout_s=5)
    store: RolloutStore[State] = RolloutStore(free, limits, elsewhere=other)
    await started(store, "a")
    waiting = asyncio.create_task(started(store, "b"))
    await asyncio.sleep(0)
    assert (store.queued, other.told) == (1, [1])
    other.count = 1
    async with asyncio.timeout(2):
        await waiting
    assert (store.queued, other.told[-1], max(other.told)) == (0, 2, 2)
    other.count = 0
    await started(store, "c")
    other.count = 3
    for name in "abc":
        await store.end(name)
    assert other.told[-1] == 0


async def test_a_place_is_told_to_others_from_the_moment_that_somebody_is_called_to_it():
    async def free(_):
        pass

    other = Other(0)
    store: RolloutStore[State] = RolloutStore(free, StoreLimits(max_rollouts=1, max_queued=1), elsewhere=other)
    await started(store, "a")
    waiting = asyncio.create_task(started(store, "b"))
    await asyncio.sleep(0)
    ending = asyncio.create_task(store.end("a"))
    while store.queued:
        await asyncio.sleep(0)
    assert (len(store), other.told) == (0, [1, 0, 1])
    await asyncio.gather(waiting, ending)
    assert other.told == [1, 0, 1, 1]


async def test_a_start_that_fails_gives_its_place_back_to_others():
    async def free(_):
        pass

    async def fail(_):
        raise RuntimeError("no")

    other = Other(0)
    store: RolloutStore[State] = RolloutStore(free, StoreLimits(max_rollouts=1), elsewhere=other)
    with pytest.raises(InfraError):
        await store.start("a", b"f", State, fail, 5)
    assert other.told == [1, 0]


async def test_one_that_gives_up_its_turn_leaves_it_to_the_next():
    store, _ = make_store(StoreLimits(max_rollouts=1, max_queued=3))
    await started(store, "first")
    gone, stays = (asyncio.create_task(started(store, name)) for name in ("gone", "stays"))
    await asyncio.sleep(0)
    ending = asyncio.create_task(store.end("first"))
    while not gone.done() and store.queued == 2:
        await asyncio.sleep(0)
    gone.cancel()
    await ending
    await stays
    assert [one.rollout_id for one in store.held()] == ["stays"]


async def test_the_same_start_twice_in_line_takes_one_place():
    store, _ = make_store(StoreLimits(max_rollouts=1, max_queued=3))
    await started(store, "first")
    twice = [asyncio.create_task(store.start("r", b"f", State, nothing, 5)) for _ in range(2)]
    after = asyncio.create_task(store.start("s", b"f", State, nothing, 5))
    await asyncio.sleep(0)
    await store.end("first")
    await twice[0]
    await store.end("r")
    await after
    assert [one.rollout_id for one in store.held()] == ["s"]
    with pytest.raises(RolloutEndedError):
        await twice[1]


async def test_a_call_is_answered_though_who_is_told_of_it_raises():
    class Broken(NullObserver):
        def executed(self, *_):
            raise ValueError("observer")

    async def free(_):
        pass

    store: RolloutStore[State] = RolloutStore(free, observer=Broken())
    with pytest.raises(InfraError, match="failed in the server with ValueError"):
        await store.start("r", b"f", State, nothing, 5)


def tool_job(key, work, request=b""):
    return Job(key, b"x", work, 5, request, "run_tool", "a tool")


async def test_a_rollout_full_of_calls_can_still_be_scored():
    for limits in (StoreLimits(max_calls=2), StoreLimits(max_bytes=2_000)):
        store, _ = make_store(limits)
        await started(store)

        async def long(_):
            return b"x" * 1_000

        for key in "ab":
            await store.run("r", tool_job(key, long))
        with pytest.raises(InvalidRequestError, match="It can still be scored"):
            await store.run("r", tool_job("c", long))
        with pytest.raises(InvalidRequestError):
            await store.cancel("r", "d")
        assert await store.run("r", Job("compute_reward", b"x", nothing, 5)) == b"{}"


async def test_work_that_does_not_stop_is_bounded_too():
    store, _ = make_store(StoreLimits(max_running_calls=2))
    await started(store)
    gate = asyncio.Event()

    async def deaf(_):
        while not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:
                continue
        return b""

    for key in "abcd":
        with pytest.raises(CallTimeoutError):
            await run_call(store, "r", key, b"x", deaf, 0.01)
    assert store.running == 0
    with pytest.raises(OverloadedError, match="4 with those that do not stop"):
        await run_call(store, "r", "e", b"x", nothing, 5)
    gate.set()
    while True:
        try:
            assert await run_call(store, "r", "e", b"x", nothing, 5) == b"{}"
        except OverloadedError:
            await asyncio.sleep(0)
        else:
            break


async def test_a_call_in_the_same_moment_as_the_expiry_comes_before_or_after_it():
    clock = Clock()
    store, freed = make_store(StoreLimits(idle_timeout_s=10), clock)
    state = await started(store)
    clock.now = 11
    expiry = asyncio.create_task(store.expire_idle())
    call = asyncio.create_task(run_call(store, "r", "c", b"x", nothing, 5))
    assert await expiry == 1
    with pytest.raises(RolloutEndedError):
        await call
    await started(store, "s")
    clock.now = 22
    call = asyncio.create_task(run_call(store, "s", "c", b"x", nothing, 5))
    expiry = asyncio.create_task(store.expire_idle())
    assert (await call, await expiry) == (b"{}", 0)
    assert freed == [state]


async def test_all_rollouts_of_a_shared_call_are_in_use_while_it_runs():
    clock = Clock()
    store, _ = make_store(StoreLimits(idle_timeout_s=10), clock)
    for rollout_id in "ab":
        await started(store, rollout_id)
    gate = asyncio.Event()

    async def work(_):
        await gate.wait()
        return b"scored"

    call = asyncio.create_task(store.run("a", Job("group", b"x", work, 5), ["b"]))
    await asyncio.sleep(0)
    clock.now = 100
    assert await store.expire_idle() == 0
    gate.set()
    assert await call == b"scored"
    assert [one.running for one in store.held()] == [0, 0]


async def test_a_closing_store_begins_nothing_more():
    store, _ = make_store(StoreLimits(max_rollouts=1, max_queued=5))
    await started(store, "a")
    waiting = asyncio.create_task(store.start("b", b"f", State, nothing, 5))
    await asyncio.sleep(0)
    await store.close()
    for start in (waiting, store.start("c", b"f", State, nothing, 5)):
        with pytest.raises(NotReadyError, match="the server stops"):
            await start
    assert len(store) == 0


class Remembering(Before):
    """One rollout of before, that takes long, or fails, to be rebuilt."""

    def __init__(self, rebuild):
        self.left = {"old"}
        self._rebuild = rebuild

    def holds(self, rollout_id):
        return rollout_id in self.left

    async def rebuild(self, rollout_id):
        return await self._rebuild(rollout_id)

    def ended(self, rollout_id):
        self.left.discard(rollout_id)


def remembering(rebuild, **limits):
    async def free(_):
        pass

    before = Remembering(rebuild)
    return RolloutStore(free, StoreLimits(**limits), before=before), before


async def test_a_rebuild_that_does_not_end_is_waited_for_in_turns_and_then_lost():
    async def hang(_):
        await asyncio.Event().wait()

    store, before = remembering(hang, end_timeout_s=0.02)
    with pytest.raises(NotReadyError, match="is being rebuilt"):
        await run_call(store, "old", "c", b"x", nothing, 5)
    while before.left:
        with contextlib.suppress(NotReadyError, RolloutLostError):
            await run_call(store, "old", "c", b"x", nothing, 5)
    with pytest.raises(RolloutLostError, match=r"within 0\.1 s"):
        await run_call(store, "old", "c", b"x", nothing, 5)
    assert len(store) == 0


async def test_whatever_a_rebuild_raises_the_rollout_is_lost_for_good():
    async def broken(_):
        raise LookupError("a file is cut off")

    store, _ = remembering(broken)
    for _ in range(2):
        with pytest.raises(RolloutLostError, match="LookupError"):
            await run_call(store, "old", "c", b"x", nothing, 5)


async def test_a_rebuilt_rollout_takes_a_place_like_any():
    async def rebuilt(_):
        return Rebuilt(State(), StoredCall(b"f", outcome=b"{}"), {})

    store, _ = remembering(rebuilt, max_rollouts=1, max_queued=1)
    await started(store, "new")
    call = asyncio.create_task(run_call(store, "old", "c", b"x", nothing, 5))
    while not store.queued:
        await asyncio.sleep(0)
    with pytest.raises(OverloadedError):
        await started(store, "third")
    await store.end("new")
    assert await call == b"{}"
    assert [one.rollout_id for one in store.held()] == ["old"]


async def test_a_call_that_the_servers_end_broke_off_is_not_journaled():
    journaled = []

    class Journal(Before):
        def called(self, rollout_id, key, request, outcome):
            journaled.append(key)

    async def free(_):
        pass

    store: RolloutStore[State] = RolloutStore(free, before=Journal())
    await started(store)
    asked = asyncio.create_task(run_call(store, "r", "c", b"x", hang, 5))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for task in store._tasks:  # as the event loop does when it is left
        task.cancel()
    with pytest.raises(InfraError, match="the server stopped"):
        await asked
    assert journaled == []
