"""Servers and environments that leak, lose or mix up rollouts."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from envport_protocol import tool

from ..environments import Tally, TallyEnv
from ..tampering import Breaker, failure, simply, told
from .answering import on_answer
from .waiting import limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..tampering import Answer, Ask, Broken, Request


def holds_on(is_held: Callable[[Request, Answer], bool]) -> Callable[[], Broken]:
    """By its metrics, a rollout is held for ever after such an answer."""

    def make() -> Broken:
        held = 0

        async def broken(ask: Ask, request: Request) -> Answer:
            nonlocal held
            answer = await ask(request)
            held += is_held(request, answer)
            if request.path == "/metrics":
                more = f'\nenvport_rollouts_open{{leaked=""}} {held}.0\nenvport_rollouts_open '
                return answer.replacing(b"\nenvport_rollouts_open ", more.encode())
            return answer

        return broken

    return make


class SharingEnv(TallyEnv):
    """All rollouts count together."""

    together = 0

    @tool
    def add(self, number: int) -> str:
        """Adds to the tally.

        Args:
            number: how much.
        """
        self.together += number % 1000 + 1
        return f"the tally is {self.together}"


class SharingForksEnv(TallyEnv):
    """A fork has the same state object as its original."""

    def get_state(self, rollout_id):
        return self.tallies[rollout_id]


class ChanceEnv(TallyEnv):
    """Says deterministic, and rolls dice that no seed knows."""

    def start_rollout(self, rollout_id, task, seed):
        self.tallies[rollout_id] = Tally(chance=random.Random())


async def forks_another_task(ask: Ask, request: Request) -> Answer:
    answer = await ask(request)
    if request.verb == "fork_rollout" and answer.status == 200:
        return answer.but(messages=[{"role": "user", "content": "Another question."}])
    return answer


async def begins_anew(ask: Ask, request: Request) -> Answer:
    """A rollout that it does not know is answered all the same."""
    answer = await ask(request)
    if request.verb == "run_tool" and answer.status == 404:
        return told(200, {"content": [], "outcome": "ok", "trainable": True, "rewards": {}, "done": False})
    return answer


async def parts_groups(ask: Ask, request: Request) -> Answer:
    """One of two groups is looked for where it is not."""
    if request.verb == "compute_group_reward" and request.json["group_id"][-1:] in "02468":
        return failure(404, "unknown_rollout", "lost")
    return await ask(request)


def knows_its_own_connections() -> Broken:
    """A rollout is found only by the connection that started it."""
    started_by: dict[str, tuple[str, int]] = {}

    async def broken(ask: Ask, request: Request) -> Answer:
        rollout_id = str(request.json.get("rollout_id"))
        if request.verb == "start_rollout":
            started_by.setdefault(rollout_id, request.client)
        if started_by.get(rollout_id, request.client) != request.client:
            return failure(404, "unknown_rollout", "lost")
        return await ask(request)

    return broken


KEEPING = {
    "ended_rollouts_are_freed": Breaker(
        holds_on(lambda request, answer: request.verb == "end_rollout" and answer.status == 200),
        paths=("/v1/", "/metrics"),
    ),
    "refused_starts_hold_nothing": Breaker(
        holds_on(lambda request, answer: request.verb == "start_rollout" and answer.status == 422),
        paths=("/v1/", "/metrics"),
    ),
    "start_tells_the_idle_limit": Breaker(
        on_answer("start_rollout", lambda answer: answer.but(idle_timeout_s=1.0)),
        also=frozenset({"batch_gives_the_answers_of_single_calls"}),
    ),
    "idle_rollouts_expire": Breaker(
        limits(idle_timeout_s=0.5), launches={"idle_timeout_s": 600.0}, also=frozenset({"start_tells_the_idle_limit"})
    ),
    "rollouts_do_not_see_each_other": Breaker(
        env=SharingEnv,
        also=frozenset({"same_seed_gives_the_same_rollout", "fork_goes_its_own_way", "mcp_calls_a_tool"}),
    ),
    "fork_goes_its_own_way": Breaker(env=SharingForksEnv),
    "fork_is_like_its_original": Breaker(simply(forks_another_task)),
    "same_seed_gives_the_same_rollout": Breaker(env=ChanceEnv, also=frozenset({"rollouts_do_not_see_each_other"})),
    "rollouts_outlive_a_kill": Breaker(launches={"journal": None}),
    "without_a_journal_rollouts_are_lost": Breaker(
        simply(begins_anew), launches={}, also=frozenset({"unknown_rollout_is_lost"})
    ),
    "groups_and_forks_stay_together": Breaker(simply(parts_groups), is_told_alone=True),
    "every_connection_finds_every_rollout": Breaker(knows_its_own_connections, is_told_alone=True),
}
