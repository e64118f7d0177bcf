"""Back-pressure: a full server says so and when to come again, and those in line come in by turns."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from envport_protocol.messages import Outcome

from envport.check.definition import BrokenError, NotApplicableError, check
from envport.check.expectations import good, refused
from envport.check.rollout import Rollout

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from envport.check.probe import Probe
    from envport.check.wire import Reply

_MOST_TO_FILL = 2000
_AT_A_TIME = 64
_HUNDREDS = 200
_COMES_IN_WITHIN_S = 0.02
_SMALL: dict[str, Any] = {"max_rollouts": 4, "max_queued": 2, "queue_timeout_s": 1.0}
_DETAILS = ("rollouts", "max_rollouts", "queued", "max_queued")


@check(
    promise=4,
    expected="503 overloaded with Retry-After in seconds and the queue's length in its details; once there is room, "
    "the same start works",
    remedy="The server must refuse what it has no room for by 503 overloaded, and leave the id of that start free. "
    "Size it by resources.max_rollouts of envport.toml.",
)
async def full_server_says_when_to_come_again(probe: Probe) -> str:
    """Fills the server and its line, reads the refusals of more starts, and starts again when there is room."""
    async with filled(probe) as (full, rollouts):
        queue = full.limits.get("max_queued", 0)
        bodies = [full.start_body(number) for number in range(queue + 4)]
        replies = await asyncio.gather(*(full.ask_start(body) for body in bodies))
        for reply in replies:
            _check_overload(reply)
        for rollout in rollouts:
            await rollout.end()
        good(await full.ask_start(bodies[0]))
        return (
            f"{len(rollouts)} rollouts held, {len(replies)} more refused by 503, Retry-After {_retry_after(replies[0])}"
        )


@check(
    promise=4,
    expected="200 as soon as a rollout ended",
    remedy="The server must let a start wait in line for a while (ServeConfig.max_queued, queue_timeout_s).",
)
async def start_in_line_comes_in(probe: Probe) -> str:
    """Fills the server, sends one more start, ends a rollout and reads the answer of that start."""
    async with filled(probe) as (full, rollouts):
        if not full.limits.get("max_queued"):
            raise NotApplicableError("the server has no line for starts: its max_queued is 0")
        waiting = asyncio.create_task(full.ask_start(full.start_body()))
        await asyncio.wait([waiting], timeout=0.2)
        if waiting.done():
            raise BrokenError(f"{waiting.result().told}: the start did not wait")
        await make_room(rollouts, waiting)
        reply = await waiting
        good(reply)
        return f"200 after {reply.seconds:.2f} s in line"


@check(
    promise=4,
    expected="200 for all",
    remedy="The server must hold hundreds of rollouts at once: raise resources.max_rollouts of envport.toml, or mend "
    "what makes a start slow.",
)
async def hundreds_of_rollouts_fit(probe: Probe) -> str:
    """Starts two hundred rollouts at once and calls a tool in each."""
    if probe.limits.get("max_rollouts", 0) < _HUNDREDS:
        raise NotApplicableError(f"the server is sized for {probe.limits.get('max_rollouts')} rollouts")
    rollouts = [Rollout(*started, probe.wire) for started in await _ask_many(probe, _HUNDREDS)]
    for rollout in rollouts:
        good(rollout.started)
    (call,) = probe.calls(1)
    replies = await asyncio.gather(*(rollout.run_tool(call) for rollout in rollouts))
    for reply in replies:
        if reply.status in (503, 404, 410):
            raise BrokenError(reply.told)
    return f"{len(rollouts)} rollouts at once"


@asynccontextmanager
async def filled(probe: Probe) -> AsyncGenerator[tuple[Probe, list[Rollout]]]:
    """A server without room, with its rollouts: a small one where it can be started, else the one under check.

    Raises:
        NotApplicableError: that one is too large to be filled.
    """
    room = probe.limits.get("max_rollouts", 0)
    if probe.can_launch:
        async with probe.served(**_SMALL) as small:
            yield small, await _fill(small, small.limits["max_rollouts"])
    elif room > _MOST_TO_FILL:
        raise NotApplicableError(
            f"the server holds {room} rollouts, too many to fill it; give the environment's folder instead of a URL"
        )
    else:
        try:
            yield probe, await _fill(probe, room)
        finally:
            await probe.end_all()


async def make_room(rollouts: list[Rollout], waiting: asyncio.Task[Any] | asyncio.Event) -> None:
    """Ends one rollout after another until what waits has come in: each worker of a server has room of its own."""
    for rollout in rollouts:
        await rollout.end()
        await asyncio.sleep(_COMES_IN_WITHIN_S)
        if waiting.done() if isinstance(waiting, asyncio.Task) else waiting.is_set():
            return


async def _fill(probe: Probe, room: int) -> list[Rollout]:
    """The rollouts of a server that took no more. One of several workers may be full before the others are."""
    held: list[Rollout] = []
    how_many = room
    while how_many:
        replies = await _ask_many(probe, how_many)
        held += [Rollout(body, reply, probe.wire) for body, reply in replies if reply.status == 200]
        for _, reply in replies:
            if reply.status != 200:
                _check_overload(reply)
        is_full = len(held) >= room or all(reply.status != 200 for _, reply in replies)
        how_many = 0 if is_full else _AT_A_TIME
    return held


async def _ask_many(probe: Probe, how_many: int) -> list[tuple[dict[str, Any], Reply]]:
    slots = asyncio.Semaphore(_AT_A_TIME)

    async def ask(number: int) -> tuple[dict[str, Any], Reply]:
        async with slots:
            body = probe.start_body(number)
            return body, await probe.ask_start(body)

    return await asyncio.gather(*(ask(number) for number in range(how_many)))


def _check_overload(reply: Reply) -> None:
    error = refused(reply, 503, "overloaded", Outcome.OVERLOADED)
    if _retry_after(reply) is None:
        raise BrokenError(f"{reply.told} with Retry-After {reply.headers.get('retry-after')!r}")
    missing = [name for name in _DETAILS if not isinstance(error["details"].get(name), int)]
    if missing:
        raise BrokenError(f"{reply.told}: its details have no {missing[0]}")


def _retry_after(reply: Reply) -> int | None:
    told = reply.headers.get("retry-after", "")
    return int(told) if told.isdecimal() else None
