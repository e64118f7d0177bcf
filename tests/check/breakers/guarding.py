"""Servers that let tokens reach further than they should, or tell what they must not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from envport_protocol import EnvTask

from ..environments import SIZE, TallyEnv
from ..tampering import Breaker, failure, simply
from .answering import on_answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..tampering import Answer, Ask, Broken, Request

TRAINER = "trainer-token-of-the-tests"
ADMIN = "admin-token-of-the-tests"


def as_if_by(
    token: str | None, *verbs: str, only_for: Callable[[Request], bool] = lambda _: True
) -> Callable[[], Broken]:
    """These verbs are answered as if such a token had come."""

    async def broken(ask: Ask, request: Request) -> Answer:
        return await ask(request.by(token) if request.verb in verbs and only_for(request) else request)

    return simply(broken)


def is_by(scope: str) -> Callable[[Request], bool]:
    return lambda request: scope in request.headers.get("authorization", "")


async def locks_its_metrics(ask: Ask, request: Request) -> Answer:
    return failure(401, "unauthorized") if "authorization" not in request.headers else await ask(request)


async def repeats_tokens(ask: Ask, request: Request) -> Answer:
    answer = await ask(request)
    token = request.headers.get("authorization", "")
    return answer.replacing(b'"message":"', f'"message":"{token}: '.encode()) if answer.status >= 400 else answer


async def repeats_requests(ask: Ask, request: Request) -> Answer:
    answer = await ask(request)
    if answer.status == 409:
        error = answer.json["error"]
        return answer.but(error={**error, "details": {"request": request.json}})
    return answer


def _truth(task: dict) -> str:
    return json.dumps({"sum": 2 * task["index"] + 1, "split": task["split"]})


def tells_truths(answer: Answer) -> Answer:
    return answer.but(tasks=[{**task, "metadata": {"hint": _truth(task)}} for task in answer.json["tasks"]])


class OpenMetadataEnv(TallyEnv):
    """Short truths, each in the metadata too."""

    def tasks(self, split):
        return [
            EnvTask(
                f"{split}-{n}", prompt=f"How many is {n} and one?", ground_truth=n + 1, metadata={"in": {"sum": n + 1}}
            )
            for n in range(SIZE)
        ]

    async def compute_reward(self, completion, ground_truth):
        return await super().compute_reward(completion, {"sum": ground_truth})

    def compute_group_reward(self, completions, ground_truths):
        return super().compute_group_reward(completions, [{"sum": truth} for truth in ground_truths])

    async def oracle(self, task):
        return str(task.ground_truth)


async def takes_other_truths(ask: Ask, request: Request) -> Answer:
    return await ask(request.without("ground_truth") if "ground_truth" in request.json else request)


GUARDING = {
    "server_beyond_loopback_asks_for_tokens": Breaker(),
    "nothing_is_done_without_a_token": Breaker(
        as_if_by(TRAINER, "cancel", only_for=lambda request: "authorization" not in request.headers), has_tokens=True
    ),
    "open_paths_need_no_token": Breaker(simply(locks_its_metrics), paths=("/metrics",), has_tokens=True),
    "agent_reaches_tools_only": Breaker(as_if_by(TRAINER, "compute_reward", only_for=is_by("agent")), has_tokens=True),
    "rollout_token_is_held_to_its_rollout": Breaker(as_if_by(None, "list_tools")),
    "trainer_does_not_see_all_rollouts": Breaker(
        as_if_by(ADMIN, "rollouts", only_for=is_by("trainer")), has_tokens=True
    ),
    "batch_is_no_way_around": Breaker(as_if_by(None, "batch")),
    "tokens_are_told_nowhere": Breaker(simply(repeats_tokens), has_tokens=True),
    "brought_truth_is_told_nowhere": Breaker(simply(repeats_requests)),
    "truths_of_tasks_are_told_nowhere": Breaker(
        on_answer("tasks", tells_truths), also=frozenset({"metadata_holds_no_truth"})
    ),
    "metadata_holds_no_truth": Breaker(env=OpenMetadataEnv),
    "own_task_takes_no_other_truth": Breaker(simply(takes_other_truths), also=frozenset({"nan_is_refused"})),
}
