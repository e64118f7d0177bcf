"""Restart: a killed server's rollouts go on where they can be rebuilt, and are lost honestly where not."""

from __future__ import annotations

import asyncio
import tempfile
import time
from typing import TYPE_CHECKING, NamedTuple

from envport_protocol.messages import Outcome

from envport.check.definition import BrokenError, NotApplicableError, check
from envport.check.expectations import error_body, good, refused, same

if TYPE_CHECKING:
    from envport.check.probe import Probe
    from envport.check.rollout import Call, Rollout
    from envport.check.wire import Reply

_ROLLOUTS = 6
_CALLS = 4
_READY_WITHIN_S = 120.0


@check(
    promise=6,
    expected="the same messages, answers and rewards in both",
    remedy="The environment says deterministic = True, and is not: draw randomness from the task and the seed alone.",
)
async def same_seed_gives_the_same_rollout(probe: Probe) -> str:
    """Runs two rollouts of one task and seed, with the same calls and completion."""
    probe.needs("deterministic")
    calls = probe.calls(_CALLS)
    runs: list[list[object]] = []
    for _ in range(2):
        rollout = await probe.start()
        begun = good(rollout.started)
        answers = [(await rollout.run_tool(call)).answer for call in calls]
        runs.append([begun["messages"], begun["tools"], *answers, (await rollout.score("An answer.")).answer])
    for first, second in zip(*runs, strict=True):
        if first != second:
            raise BrokenError(f"first {first!r:.300}; then {second!r:.300}")
    return f"a start, {_CALLS} calls and a reward, twice the same"


@check(
    promise=6,
    expected="a deterministic environment's rollouts answer repeats as before and go on as if nothing had happened; "
    "any other's are 410 lost",
    remedy="The server must journal what it answered before it answers. Where a replay came out otherwise, the "
    "environment says deterministic and is not.",
)
async def rollouts_outlive_a_kill(probe: Probe) -> str:
    """Kills a server with a journal in the middle of rollouts, starts it again and goes on with them."""
    with tempfile.TemporaryDirectory(prefix="envport-check-") as folder:
        async with probe.mortal(journal=folder) as (other, server):
            undisturbed = await _play(other, 0, _CALLS + 1)
            played = [await _play(other, number, _CALLS) for number in range(_ROLLOUTS)]
            await server.kill()
            await server.start_again()
            await _ready(other)
            if not other.can("deterministic"):
                for part in played:
                    _lost(await part.rollout.run_tool(part.calls[0]))
                return f"{_ROLLOUTS} rollouts, all lost and told so"
            for part in played:
                await _goes_on(part)
            same_answer = await played[0].rollout.run_tool(undisturbed.calls[-1], "after")
            if same_answer.answer != undisturbed.answers[-1].answer:
                raise BrokenError(f"{same_answer.told}; undisturbed: {undisturbed.answers[-1].told}")
            return f"{_ROLLOUTS} rollouts, all go on with the same answers"


@check(
    promise=6,
    expected="404 unknown_rollout or 410, with outcome lost and not trainable; and a new rollout works",
    remedy="The server must not answer for a rollout that it does not know, and never begin it anew by itself.",
)
async def without_a_journal_rollouts_are_lost(probe: Probe) -> str:
    """Kills a server without a journal, starts it again and asks for a rollout of before."""
    async with probe.mortal() as (other, server):
        part = await _play(other, 0, 1)
        await server.kill()
        await server.start_again()
        await _ready(other)
        for reply in (await part.rollout.run_tool(part.calls[0]), await part.rollout.score("An answer.")):
            _lost(reply)
        await other.start()
        return "lost, and a new rollout works"


class Played(NamedTuple):
    """A rollout with the calls that were made in it, and their answers."""

    rollout: Rollout
    calls: list[Call]
    answers: list[Reply]


async def _play(probe: Probe, number: int, how_many: int) -> Played:
    rollout = await probe.start(number)
    calls = probe.calls(how_many)
    return Played(rollout, calls, [await rollout.run_tool(call, f"before-{n}") for n, call in enumerate(calls)])


async def _goes_on(part: Played) -> None:
    for number, (call, answer) in enumerate(zip(part.calls, part.answers, strict=True)):
        same(answer, await part.rollout.run_tool(call, f"before-{number}"))
    same(part.rollout.started, await part.rollout.wire.post("start_rollout", part.rollout.request))
    good(await part.rollout.list_tools())


async def _ready(probe: Probe) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    while True:
        try:
            if (await probe.wire.get("/readyz")).status == 200:
                return
        except BrokenError:
            if time.monotonic() > deadline:
                raise
        if time.monotonic() > deadline:
            raise NotApplicableError(f"the server was not ready {_READY_WITHIN_S:g} s after its restart")
        await asyncio.sleep(0.05)


def _lost(reply: Reply) -> None:
    if reply.status == 404:
        refused(reply, 404, "unknown_rollout", Outcome.LOST)
    elif reply.status != 410 or error_body(reply)["outcome"] != Outcome.LOST:
        raise BrokenError(f"{reply.told}; expected 404 or 410, lost")
