"""Servers that do not run each call exactly once."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from ..tampering import Breaker, failure, simply

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..tampering import Answer, Ask, Broken, Request


def second_time(verb: str, change: Callable[[Answer], Answer]) -> Callable[[], Broken]:
    """The second and later answers to one body of a verb are changed."""

    def make() -> Broken:
        seen: Counter[str] = Counter()

        async def broken(ask: Ask, request: Request) -> Answer:
            answer = await ask(request)
            if request.verb != verb or answer.status != 200:
                return answer
            key = str(sorted((name, value) for name, value in request.json.items() if name != "timeout_s"))
            seen[key] += 1
            return change(answer) if seen[key] > 1 else answer

        return broken

    return make


def instead_of_a_conflict(verb: str, *named_by: str) -> Callable[[], Broken]:
    """A used id with other arguments gets the first answer."""

    def make() -> Broken:
        first: dict[str, Answer] = {}

        async def broken(ask: Ask, request: Request) -> Answer:
            answer = await ask(request)
            if request.verb != verb:
                return answer
            key = str([request.json.get(name) for name in named_by])
            if answer.status == 200:
                first[key] = answer
            return first[key] if answer.status == 409 and key in first else answer

        return broken

    return make


def runs_again() -> Broken:
    """A repeat of a tool call runs the tool again."""
    seen: Counter[str] = Counter()

    async def broken(ask: Ask, request: Request) -> Answer:
        if request.verb == "run_tool" and "call_id" in request.json:
            call_id = f"{request.json['rollout_id']} {request.json['call_id']}"
            seen[call_id] += 1
            if seen[call_id] > 1:
                return await ask(request.but(call_id=f"{request.json['call_id']}-{seen[call_id]}"))
        return await ask(request)

    return broken


def runs_again_unheard() -> Broken:
    """A repeat of a tool call gets the stored answer, and runs the tool again beside it."""
    seen: Counter[str] = Counter()

    async def broken(ask: Ask, request: Request) -> Answer:
        answer = await ask(request)
        if request.verb == "run_tool" and answer.status == 200:
            seen[str(request.json)] += 1
            if seen[str(request.json)] == 2:
                await ask(request.but(call_id=f"{request.json['call_id']}-unheard"))
        return answer

    return broken


def refuses_twins() -> Broken:
    """A duplicate of a call in flight is refused."""
    running: set[bytes] = set()

    async def broken(ask: Ask, request: Request) -> Answer:
        if request.verb != "run_tool" or "accept" not in request.headers:
            return await ask(request)
        if request.body in running:
            return failure(409, "id_conflict")
        running.add(request.body)
        try:
            await asyncio.sleep(0.002)
            return await ask(request)
        finally:
            running.discard(request.body)

    return broken


def forgets_at_the_end() -> Broken:
    """After its end an id can be started anew."""
    ended: Counter[str] = Counter()

    async def broken(ask: Ask, request: Request) -> Answer:
        rollout_id = str(request.json.get("rollout_id"))
        if request.verb == "start_rollout" and ended[rollout_id]:
            return await ask(request.but(rollout_id=f"{rollout_id}-{ended[rollout_id]}-again"))
        answer = await ask(request)
        if request.verb == "end_rollout" and answer.status == 200:
            ended[rollout_id] += 1
        return answer

    return broken


def forgets_who_left() -> Broken:
    """What was run for a client that went away is not kept, so its repeat runs again."""

    async def broken(ask: Ask, request: Request) -> Answer:
        if request.verb != "run_tool" or "call_id" not in request.json or "accept" in request.headers:
            return await ask(request)
        answer = await ask(request.but(call_id=f"{request.json['call_id']}-first"))
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                await request.receive()
        return answer

    return broken


def spends_refused_ids() -> Broken:
    refused: set[str] = set()

    async def broken(ask: Ask, request: Request) -> Answer:
        if request.verb != "start_rollout":
            return await ask(request)
        rollout_id = str(request.json.get("rollout_id"))
        if rollout_id in refused:
            return failure(409, "id_conflict")
        answer = await ask(request)
        if answer.status == 404:
            refused.add(rollout_id)
        return answer

    return broken


async def changes_lines(ask: Ask, request: Request) -> Answer:
    answer = await ask(request)
    return answer.replacing(b'"id":"n7"', b'"id":"n0"')


async def forks_whatever_comes(ask: Ask, request: Request) -> Answer:
    answer = await ask(request)
    return replace(answer, status=200) if request.verb == "fork_rollout" and answer.status == 409 else answer


REPEATING = {
    "start_repeats": Breaker(
        second_time("start_rollout", lambda answer: answer.but(task_id="another")),
        also=frozenset({"start_with_other_arguments_conflicts", "duplicates_in_flight_join"}),
    ),
    "tool_call_repeats": Breaker(
        runs_again,
        also=frozenset(
            {
                "tool_call_with_other_arguments_conflicts",
                "duplicates_in_flight_join",
                "repeats_run_nothing",
                "cut_off_call_is_found_again",
                "cancelled_call_never_runs",
                "cancel_leaves_a_finished_call_alone",
                "cancel_and_call_agree",
                "deadline_of_a_millisecond_is_kept",
                "fork_is_like_its_original",
            }
        ),
    ),
    "reward_repeats": Breaker(
        second_time("compute_reward", lambda answer: answer.but(metrics={"again": 1.0})),
        also=frozenset({"reward_of_another_completion_conflicts", "duplicates_in_flight_join"}),
    ),
    "end_repeats": Breaker(
        second_time("end_rollout", lambda _: failure(410, "rollout_ended", "lost")),
        also=frozenset({"spent_ids_stay_spent", "metrics_count_what_was_asked"}),
    ),
    "fork_repeats": Breaker(second_time("fork_rollout", lambda _: failure(409, "id_conflict"))),
    "group_reward_repeats": Breaker(
        second_time("compute_group_reward", lambda answer: answer.but(again=True)),
        also=frozenset({"group_reward_with_other_arguments_conflicts"}),
    ),
    "cancel_repeats": Breaker(second_time("cancel", lambda answer: answer.but(cancelled=False))),
    "start_with_other_arguments_conflicts": Breaker(instead_of_a_conflict("start_rollout", "rollout_id")),
    "tool_call_with_other_arguments_conflicts": Breaker(instead_of_a_conflict("run_tool", "rollout_id", "call_id")),
    "reward_of_another_completion_conflicts": Breaker(instead_of_a_conflict("compute_reward", "rollout_id")),
    "fork_from_elsewhere_conflicts": Breaker(simply(forks_whatever_comes)),
    "group_reward_with_other_arguments_conflicts": Breaker(instead_of_a_conflict("compute_group_reward", "group_id")),
    "duplicates_in_flight_join": Breaker(refuses_twins),
    "repeats_run_nothing": Breaker(runs_again_unheard, also=frozenset({"cut_off_call_is_found_again"})),
    "spent_ids_stay_spent": Breaker(forgets_at_the_end),
    "cut_off_call_is_found_again": Breaker(forgets_who_left),
    "refused_start_leaves_its_id_free": Breaker(spends_refused_ids),
    "batch_gives_the_answers_of_single_calls": Breaker(simply(changes_lines), paths=("/v1/batch",)),
}
