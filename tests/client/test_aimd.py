"""The client slows down by itself: how many rollouts it holds open, and who is started next."""

from __future__ import annotations

import asyncio
import gc
import threading
import time

import envport
import httpx
import pytest
from envport.aimd import RolloutLimiter, Slot
from envport_protocol import BaseEnv, tool
from envport_protocol.config import ServeConfig

URL = "http://env.test:8000"


def started(rollout_id: str = "r1") -> dict:
    return {"rollout_id": rollout_id, "task_id": "t", "messages": [], "tools": [], "idle_timeout_s": 600.0}


async def turns() -> None:
    """Lets everything run that can run now."""
    for _ in range(10):
        await asyncio.sleep(0)


async def soon(awaitable):
    async with asyncio.timeout(5):
        return await awaitable


async def waiting_for(limiter: RolloutLimiter) -> asyncio.Task[Slot]:
    task = asyncio.create_task(limiter.slot())
    await turns()
    return task


async def test_slots_are_given_first_come_first_served():
    limiter = RolloutLimiter(2, patience_s=5.0)
    first, _ = [await soon(limiter.slot()) for _ in range(2)]
    tasks = [await waiting_for(limiter) for _ in range(3)]
    assert [task.done() for task in tasks] == [False, False, False]
    first.give_back()
    first.give_back()
    await turns()
    assert [task.done() for task in tasks] == [True, False, False]
    tasks[0].result().give_back()
    await turns()
    assert [task.done() for task in tasks] == [True, True, False]
    assert limiter.held == 2
    tasks[2].cancel()


async def test_a_refusal_halves_the_limit_and_others_of_the_same_moment_do_not():
    limiter = RolloutLimiter(100, patience_s=5.0)
    slots = [await soon(limiter.slot()) for _ in range(4)]
    await soon(asyncio.gather(*(slot.take_again(0.0) for slot in slots[:3])))
    assert (limiter.limit, limiter.held) == (50, 4)


async def test_the_limit_is_halved_once_a_second_at_most():
    limiter = RolloutLimiter(100, patience_s=5.0)
    for _ in range(3):
        limiter.refused(sent_at=time.monotonic(), pause_s=0.0)
    assert limiter.limit == 50


async def test_a_refusal_of_a_start_that_was_sent_before_the_last_halving_tells_nothing_new(monkeypatch):
    monkeypatch.setattr("envport.aimd.HALVE_EVERY_S", 0.0)
    limiter = RolloutLimiter(100, patience_s=5.0)
    now = time.monotonic()
    limiter.refused(sent_at=now, pause_s=0.0)
    limiter.refused(sent_at=now, pause_s=0.0)
    assert limiter.limit == 50
    limiter.refused(sent_at=time.monotonic(), pause_s=0.0)
    assert limiter.limit == 25


async def test_the_limit_stays_at_least_one(monkeypatch):
    monkeypatch.setattr("envport.aimd.HALVE_EVERY_S", 0.0)
    limiter = RolloutLimiter(3, patience_s=5.0)
    for _ in range(5):
        limiter.refused(sent_at=time.monotonic(), pause_s=0.0)
    assert limiter.limit == 1


async def test_the_limit_grows_by_one_for_as_many_starts_as_it_is_and_not_over_the_servers():
    limiter = RolloutLimiter(6, patience_s=5.0)
    limiter.refused(sent_at=time.monotonic(), pause_s=0.0)
    seen = []
    for _ in range(20):
        limiter.started()
        seen.append(limiter.limit)
    assert seen == [3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 6, 6]


async def test_the_limit_grows_by_one_with_each_second_that_passes_without_a_refusal(monkeypatch):
    monkeypatch.setattr("envport.aimd.GROW_EVERY_S", 0.02)
    limiter = RolloutLimiter(8, patience_s=5.0)
    slots = [await soon(limiter.slot()) for _ in range(4)]
    limiter.refused(sent_at=time.monotonic(), pause_s=0.01)
    seen = [limiter.limit]
    waiting = [await waiting_for(limiter) for _ in range(4)]
    for task in waiting:
        await soon(task)
        seen.append(limiter.limit)
    assert seen == [4, 5, 6, 7, 8]
    assert limiter.held == len(slots) + 4


async def test_while_the_server_is_left_alone_the_limit_does_not_grow(monkeypatch):
    monkeypatch.setattr("envport.aimd.GROW_EVERY_S", 0.0)
    limiter = RolloutLimiter(8, patience_s=5.0)
    limiter.refused(sent_at=time.monotonic(), pause_s=0.01)
    limiter.refused(sent_at=time.monotonic(), pause_s=3600.0)
    await asyncio.sleep(0.05)
    assert limiter.limit == 4
    limiter.close()


@pytest.mark.parametrize(("group", "least"), [(3, 3), (100, 6)])
async def test_the_limit_stays_at_what_a_group_needs_and_the_server_ever_allows(group, least, monkeypatch):
    monkeypatch.setattr("envport.aimd.HALVE_EVERY_S", 0.0)
    limiter = RolloutLimiter(6, patience_s=5.0)
    limiter.make_room(group)
    for _ in range(5):
        limiter.refused(sent_at=time.monotonic(), pause_s=0.0)
    assert limiter.limit == least


async def test_who_waits_longer_than_any_slot_was_held_is_told_what_to_do():
    limiter = RolloutLimiter(1, patience_s=0.05)
    slot = await soon(limiter.slot())
    with pytest.raises(envport.OverloadedError) as caught:
        await soon(limiter.slot())
    assert str(caught.value) == (
        "no rollout was started: this client holds 1 open, its limit is 1, and none was ended for 0.05 s. End rollouts "
        "as soon as they are scored, start fewer at once, or let retry_for_s of connect be longer than a rollout takes"
    )
    assert caught.value.details == {"held": 1, "limit": 1}
    slot.give_back()
    (await soon(limiter.slot())).give_back()
    assert limiter.held == 0


async def test_the_wait_begins_anew_with_each_slot_that_is_given_back():
    limiter = RolloutLimiter(1, patience_s=0.1)
    slot = await soon(limiter.slot())
    second, third = await waiting_for(limiter), await waiting_for(limiter)
    await asyncio.wait({third}, timeout=0.05)
    slot.give_back()
    moved_at = time.monotonic()
    held = await soon(second)
    with pytest.raises(envport.OverloadedError):
        await soon(third)
    assert time.monotonic() - moved_at >= 0.1
    held.give_back()


async def test_one_who_left_the_line_holds_no_slot():
    limiter = RolloutLimiter(1, patience_s=5.0)
    slot = await soon(limiter.slot())
    leaves, stays = await waiting_for(limiter), await waiting_for(limiter)
    leaves.cancel()
    await turns()
    slot.give_back()
    await turns()
    assert (stays.done(), limiter.held, limiter._line) == (True, 1, [])


async def test_those_who_left_the_line_leave_nothing_in_it():
    limiter = RolloutLimiter(1, patience_s=5.0)
    slot = await soon(limiter.slot())
    waiting = [await waiting_for(limiter) for _ in range(3)]
    for task in waiting:
        task.cancel()
    await turns()
    assert limiter._line == []
    slot.give_back()


async def test_one_who_left_just_as_its_turn_came_gives_it_on():
    limiter = RolloutLimiter(1, patience_s=5.0)
    slot = await soon(limiter.slot())
    leaves, stays = await waiting_for(limiter), await waiting_for(limiter)
    slot.give_back()
    leaves.cancel()
    await turns()
    assert (leaves.cancelled(), stays.done(), limiter.held) == (True, True, 1)


async def test_a_forgotten_slot_is_given_back_from_whichever_thread_forgot_it():
    limiter = RolloutLimiter(1, patience_s=5.0)
    slots = [await soon(limiter.slot())]
    waiting = await waiting_for(limiter)
    forgetting = threading.Thread(target=slots.clear)
    forgetting.start()
    forgetting.join()
    (await soon(waiting)).give_back()
    assert limiter.held == 0


async def test_a_fork_takes_a_slot_at_once():
    limiter = RolloutLimiter(1, patience_s=5.0)
    slot = await soon(limiter.slot())
    fork = slot.another()
    assert limiter.held == 2
    slot.give_back()
    waiting = await waiting_for(limiter)
    assert not waiting.done()
    fork.give_back()
    (await soon(waiting)).give_back()


async def test_a_refused_start_comes_before_later_ones_again():
    limiter = RolloutLimiter(2, patience_s=5.0)
    holds, refused = [await soon(limiter.slot()) for _ in range(2)]
    later = await waiting_for(limiter)
    again = asyncio.create_task(refused.take_again(0.0))
    await turns()
    assert (limiter.limit, again.done(), later.done()) == (1, False, False)
    holds.give_back()
    await turns()
    assert (again.done(), later.done()) == (True, False)
    refused.give_back()
    (await soon(later)).give_back()


async def test_while_the_server_is_left_alone_one_start_is_sent_for_each_slot_given_back():
    limiter = RolloutLimiter(8, patience_s=5.0)
    slots = [await soon(limiter.slot()) for _ in range(3)]
    refused = asyncio.create_task(slots[0].take_again(3600.0))
    later = [await waiting_for(limiter) for _ in range(2)]
    assert limiter.limit == 4
    assert [refused.done(), *(task.done() for task in later)] == [False, False, False]
    slots[1].give_back()
    await turns()
    assert [refused.done(), *(task.done() for task in later)] == [True, False, False]
    slots[2].give_back()
    await turns()
    assert [task.done() for task in later] == [True, False]
    later[1].cancel()


async def test_when_the_server_was_left_alone_long_enough_as_many_as_may_are_sent():
    limiter = RolloutLimiter(8, patience_s=5.0)
    slot = await soon(limiter.slot())
    refused = asyncio.create_task(slot.take_again(0.05))
    later = [await waiting_for(limiter) for _ in range(3)]
    assert not refused.done()
    await soon(asyncio.gather(refused, *later))
    assert limiter.held == 4


async def test_a_client_that_is_closed_sends_those_who_wait_away():
    limiter = RolloutLimiter(1, patience_s=5.0)
    slot = await soon(limiter.slot())
    waiting = await waiting_for(limiter)
    limiter.close()
    with pytest.raises(RuntimeError, match="this client was closed while a rollout waited to be started"):
        await soon(waiting)
    slot.give_back()
    assert limiter.held == 0


@pytest.fixture
def http(script, scripted_http):
    script.can(max_rollouts=1)
    script.say("/v1/start_rollout", started("r1"), started("r2"))
    script.say("/v1/end_rollout", {"rollout_id": "r1"})
    return scripted_http


async def test_a_rollout_that_ends_lets_the_next_one_start(http, script):
    async with envport.connect(URL, http=http) as env:
        first = await env.start_rollout(task_id="t")
        second = asyncio.create_task(env.start_rollout(task_id="t"))
        await turns()
        assert script.count("/v1/start_rollout") == 1
        await first.end()
        await first.end()
        assert (await soon(second)).rollout_id == "r2"
        assert env._connected.limiter.held == 1


LOST = {
    "unknown": (404, "unknown_rollout", "lost", envport.UnknownRolloutError),
    "ended": (410, "rollout_ended", "lost", envport.RolloutEndedError),
    "lost": (410, "rollout_lost", "lost", envport.RolloutLostError),
}


@pytest.mark.parametrize("kind", LOST)
async def test_a_rollout_that_the_server_lost_makes_room(kind, http, script, wire_error):
    status, code, outcome, error_type = LOST[kind]
    script.say("/v1/run_tool", wire_error(status, code, "gone", outcome))
    async with envport.connect(URL, http=http) as env:
        first = await env.start_rollout(task_id="t")
        with pytest.raises(error_type):
            await first.run_tool("echo")
        assert (await soon(env.start_rollout(task_id="t"))).rollout_id == "r2"


ENDS = {
    "fails in the environment": ((500, "env_error", "env_error"), envport.EnvFailedError),
    "took too long": ((504, "timeout", "timeout"), envport.CallTimeoutError),
    "was not heard": (httpx.ConnectError("down"), envport.TransportError),
}


@pytest.mark.parametrize("kind", ENDS)
async def test_a_rollout_whose_end_fails_makes_room(kind, http, script, wire_error):
    answer, error_type = ENDS[kind]
    script.say("/v1/end_rollout", wire_error(*answer[:2], "no", answer[2]) if isinstance(answer, tuple) else answer)
    async with envport.connect(URL, http=http, retry_for_s=0.05) as env:
        first = await env.start_rollout(task_id="t")
        with pytest.raises(error_type):
            await first.end()
        assert (await soon(env.start_rollout(task_id="t"))).rollout_id == "r2"
        assert first.rollout_id == "r1"


async def test_an_end_that_was_broken_off_makes_room(http, script):
    async with envport.connect(URL, http=http) as env:
        first = await env.start_rollout(task_id="t")
        script.hangs = True
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(first.end(), 0.01)
        script.hangs = False
        assert (await soon(env.start_rollout(task_id="t"))).rollout_id == "r2"
        assert first.rollout_id == "r1"


async def test_a_rollout_that_is_gone_when_it_is_scored_among_others_makes_room(http, script, wire_error):
    script.can(max_rollouts=2)
    script.say("/v1/start_rollout", started("g.0"), started("g.1"), started("r2"))
    script.say("/v1/compute_reward", wire_error(410, "rollout_ended", "idle for too long", "lost"))
    async with envport.connect(URL, http=http) as env:
        group = await env.start_group(2, task_id="t", group_id="g")
        with pytest.raises(envport.RolloutEndedError):
            await env.compute_group_reward([(rollout, "x") for rollout in group])
        assert env._connected.limiter.held == 0


@pytest.mark.parametrize("how", ["cancelled", "given up"])
async def test_a_start_whose_answer_nobody_heard_is_ended_and_then_makes_room(how, http, script):
    async with envport.connect(URL, http=http, retry_for_s=0.05) as env:
        if how == "cancelled":
            script.hangs = True
            starting = asyncio.create_task(env.start_rollout(task_id="t", rollout_id="unheard"))
            while script.count("/v1/start_rollout") == 0:
                await asyncio.sleep(0)
            script.hangs = False
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
        else:
            script.say("/v1/start_rollout", httpx.ReadError("dropped"))
            with pytest.raises(envport.TransportError):
                await env.start_rollout(task_id="t", rollout_id="unheard")
            script.say("/v1/start_rollout", started("r2"))
        assert (await soon(env.start_rollout(task_id="t"))).task_id == "t"
    assert script.bodies("/v1/end_rollout") == [{"rollout_id": "unheard"}]
    assert [request.url.path for request in script.requests][-2:] == ["/v1/end_rollout", "/v1/start_rollout"]


async def test_a_client_that_is_closed_first_ends_what_nobody_heard_of(script):
    script.say("/v1/end_rollout", {"rollout_id": "unheard"})
    ended: list[dict] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/start_rollout":
            starting.cancel()
            await asyncio.Event().wait()
        told = await script.answer(request)
        await turns()
        ended.extend(script.bodies("/v1/end_rollout"))
        return told

    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http,
        envport.connect(URL, http=http) as env,
    ):
        starting = asyncio.create_task(env.start_rollout(task_id="t", rollout_id="unheard"))
        with pytest.raises(asyncio.CancelledError):
            await starting
    assert ended == [{"rollout_id": "unheard"}]


async def test_a_forgotten_rollout_makes_room(http, script):
    async with envport.connect(URL, http=http) as env:
        await env.start_rollout(task_id="t")
        gc.collect()
        assert (await soon(env.start_rollout(task_id="t"))).rollout_id == "r2"


async def test_a_start_that_failed_makes_room(http, script, wire_error):
    script.say("/v1/start_rollout", wire_error(404, "unknown_task", "no such task"), started("r2"))
    async with envport.connect(URL, http=http) as env:
        with pytest.raises(envport.UnknownTaskError):
            await env.start_rollout(task_id="t")
        assert (await soon(env.start_rollout(task_id="t"))).rollout_id == "r2"


async def test_a_client_that_forgets_to_end_its_rollouts_is_told(http, script):
    async with envport.connect(URL, http=http, retry_for_s=0.05) as env:
        forgotten = await env.start_rollout(task_id="t")
        with pytest.raises(envport.OverloadedError, match="this client holds 1 open, its limit is 1"):
            await env.start_rollout(task_id="t")
        assert forgotten.rollout_id == "r1"
    assert script.count("/v1/start_rollout") == 1


async def test_a_fork_of_the_last_rollout_that_may_be_open_is_made(http, script):
    script.can("fork", max_rollouts=1)
    script.say("/v1/fork_rollout", started("r1.f"))
    async with envport.connect(URL, http=http) as env:
        first = await env.start_rollout(task_id="t")
        fork = await soon(first.fork())
        assert env._connected.limiter.held == 2
        await fork.end()
        await first.end()
        assert env._connected.limiter.held == 0


FORKS = {
    "unsupported": (501, "unsupported", "infra_error", envport.UnsupportedError),
    "cannot be rebuilt": (410, "rollout_lost", "lost", envport.RolloutLostError),
}


@pytest.mark.parametrize("kind", FORKS)
async def test_a_fork_that_failed_holds_no_slot_and_its_rollout_keeps_its_own(kind, http, script, wire_error):
    status, code, outcome, error_type = FORKS[kind]
    script.can("fork", max_rollouts=1)
    script.say("/v1/fork_rollout", wire_error(status, code, "cannot fork", outcome))
    async with envport.connect(URL, http=http) as env:
        first = await env.start_rollout(task_id="t")
        with pytest.raises(error_type):
            await first.fork()
        assert env._connected.limiter.held == 1


async def test_a_refused_start_is_sent_again_when_a_rollout_has_ended(http, script, wire_error):
    script.can(max_rollouts=4)
    full = wire_error(503, "overloaded", "full", "overloaded", Retry_After="20")
    script.say("/v1/start_rollout", started("r1"), full, started("r2"))
    async with envport.connect(URL, http=http, retry_for_s=30.0) as env:
        first = await env.start_rollout(task_id="t")
        second = asyncio.create_task(env.start_rollout(task_id="t"))
        while script.count("/v1/start_rollout") < 2:
            await asyncio.sleep(0)
        await turns()
        assert env._connected.limiter.limit == 2
        await first.end()
        assert (await soon(second)).rollout_id == "r2"
        ids = [body["rollout_id"] for body in script.bodies("/v1/start_rollout")]
        assert ids[1] == ids[2] != ids[0]


class BusyEnv(BaseEnv):
    """Counts how many rollouts are open."""

    def __init__(self) -> None:
        self.open = self.most_open = self.ended = 0

    def start_rollout(self, rollout_id):
        self.open += 1
        self.most_open = max(self.most_open, self.open)

    @tool
    async def work(self) -> str:
        """Takes a moment."""
        await asyncio.sleep(0.005)
        return "done"

    def end_rollout(self, rollout_id):
        self.open -= 1
        self.ended += 1


async def play(env: envport.EnvClient, rollouts: int) -> None:
    """Starts all of them at once, each with one call, and ends each."""

    async def one() -> None:
        async with await env.start_rollout(messages=[{"role": "user", "content": ""}]) as rollout:
            assert (await rollout.run_tool("work")).text == "done"

    await asyncio.gather(*(one() for _ in range(rollouts)))


async def test_two_clients_with_many_times_what_fits_share_a_server_and_all_their_rollouts_end(serve_env):
    env = BusyEnv()
    url = serve_env(env, ServeConfig(max_rollouts=40, max_queued=4, queue_timeout_s=0.5))
    async with envport.connect(url) as one, envport.connect(url) as other:
        await asyncio.gather(play(one, 200), play(other, 200))
        limits = [client._connected.limiter.limit for client in (one, other)]
        assert [client._connected.limiter.held for client in (one, other)] == [0, 0]
    assert (env.ended, env.open) == (400, 0)
    assert env.most_open <= 40
    assert sum(limits) < 80


async def test_one_client_alone_is_never_refused(serve_env):
    env = BusyEnv()
    refusals: list[httpx.Response] = []

    async def count(response: httpx.Response) -> None:
        if response.status_code == 503:
            refusals.append(response)

    url = serve_env(env, ServeConfig(max_rollouts=20, max_queued=0))
    async with (
        httpx.AsyncClient(event_hooks={"response": [count]}, timeout=60) as http,
        envport.connect(url, http=http, batch=False) as client,
    ):
        await play(client, 100)
        assert client._connected.limiter.limit == 20
    assert (env.ended, refusals) == (100, [])
    assert env.most_open <= 20


async def test_a_group_is_started_when_a_server_that_was_full_has_room_again(serve_env):
    url = serve_env(BusyEnv(), ServeConfig(max_rollouts=8, max_queued=0))
    async with envport.connect(url) as other, envport.connect(url, retry_for_s=10.0) as client:
        held = await other.start_group(8, messages=[{"role": "user", "content": ""}])
        group = asyncio.create_task(client.start_group(8, messages=[{"role": "user", "content": ""}]))
        while client._connected.limiter._halved_at < 0:
            await asyncio.sleep(0.01)
        assert client._connected.limiter.limit == 8
        await asyncio.gather(*(rollout.end() for rollout in held))
        assert len(await asyncio.wait_for(group, 10)) == 8
