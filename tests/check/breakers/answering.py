"""Servers and environments that do not say whose fault it was, or score as they should not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envport_protocol import tool

from ..environments import TallyEnv
from ..tampering import Breaker, failure, simply

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..tampering import Answer, Ask, Broken, Request


def on_answer(verb: str, change: Callable[[Answer], Answer], status: int = 200) -> Callable[[], Broken]:
    """Each answer of this status to a verb is changed."""

    async def broken(ask: Ask, request: Request) -> Answer:
        answer = await ask(request)
        return change(answer) if request.verb == verb and answer.status == status else answer

    return simply(broken)


def without_trainable(answer: Answer) -> Answer:
    return answer.saying({name: value for name, value in answer.json.items() if name != "trainable"})


def unless_told(text: str, instead: Answer) -> Callable[[Answer], Answer]:
    def change(answer: Answer) -> Answer:
        return instead if text in answer.body.decode() else answer

    return change


def with_score(score: float) -> Callable[[Answer], Answer]:
    """The component `right` has this score, and the reward fits it."""

    def change(answer: Answer) -> Answer:
        rewards = answer.json["rewards"]
        rewards["right"]["score"] = score
        return answer.but(rewards=rewards, reward=sum(part["weight"] * part["score"] for part in rewards.values()))

    return change


def with_reason(reason: object) -> Callable[[Answer], Answer]:
    """The component `right` says so why."""

    def change(answer: Answer) -> Answer:
        rewards = answer.json["rewards"]
        rewards["right"]["reason"] = reason
        return answer.but(rewards=rewards)

    return change


class FragileEnv(TallyEnv):
    """A tool that raises on what its schema allows."""

    @tool
    def split(self, parts: int) -> int:
        """Splits the tally."""
        return 100 // (parts - parts)


class LongHatingEnv(TallyEnv):
    async def compute_reward(self, completion, ground_truth):
        if len(completion) > 100_000:
            raise MemoryError
        return await super().compute_reward(completion, ground_truth)


class BadOracleEnv(TallyEnv):
    async def oracle(self, task):
        return f"It is {task.ground_truth['sum']}, I think."


class GenerousEnv(TallyEnv):
    """Whatever is said is right."""

    async def compute_reward(self, completion, ground_truth):
        return {"right": 1.0, "wordy": 0.0}


class SilenceLovingEnv(TallyEnv):
    async def compute_reward(self, completion, ground_truth):
        scores = await super().compute_reward(completion, ground_truth)
        return scores if completion else {"right": 0.9, "wordy": 0.0}


async def fails_to_fork(ask: Ask, request: Request) -> Answer:
    answer = await ask(request)
    return failure(500, "infra_error") if request.verb == "fork_rollout" and answer.status in (404, 410) else answer


async def hides_mistakes_over_mcp(ask: Ask, request: Request) -> Answer:
    answer = await ask(request)
    return answer.replacing(b'"isError":true', b'"isError":false')


ANSWERING = {
    "every_answer_tells_its_outcome": Breaker(
        on_answer("compute_reward", without_trainable), also=frozenset({"batch_gives_the_answers_of_single_calls"})
    ),
    "unknown_tool_is_the_models_fault": Breaker(
        on_answer("run_tool", unless_told("There is no tool", failure(404, "not_found")))
    ),
    "misfitting_arguments_are_the_models_fault": Breaker(
        on_answer("run_tool", unless_told("do not fit", failure(422, "invalid_request")))
    ),
    "valid_arguments_never_break_a_tool": Breaker(env=FragileEnv),
    "tool_answers_have_their_form": Breaker(
        on_answer("run_tool", lambda answer: answer.but(rewards={"right": "much"})),
        also=frozenset({"answers_fit_the_openapi_document", "batch_gives_the_answers_of_single_calls"}),
    ),
    "unknown_rollout_is_lost": Breaker(
        on_answer("run_tool", lambda _: failure(404, "unknown_rollout", "infra_error"), status=404)
    ),
    "ended_rollout_is_lost": Breaker(
        on_answer("compute_reward", lambda _: failure(410, "rollout_ended", "infra_error"), status=410),
        also=frozenset({"spent_ids_stay_spent"}),
    ),
    "any_completion_can_be_scored": Breaker(
        env=LongHatingEnv,
        also=frozenset(
            {
                "scores_lie_in_their_ranges",
                "reward_is_the_weighted_sum",
                "reasons_are_short_text",
                "poor_answers_score_below_gold",
            }
        ),
    ),
    "scores_lie_in_their_ranges": Breaker(
        on_answer("compute_reward", with_score(7.0)),
        also=frozenset(
            {
                "batch_gives_the_answers_of_single_calls",
                "gold_scores_the_maximum",
                "poor_answers_score_below_gold",
                "empty_answer_scores_near_the_floor",
            }
        ),
    ),
    "reward_is_the_weighted_sum": Breaker(
        on_answer("compute_reward", lambda answer: answer.but(reward=answer.json["reward"] + 0.5)),
        also=frozenset({"batch_gives_the_answers_of_single_calls", "gold_scores_the_maximum"}),
    ),
    "reasons_are_short_text": Breaker(
        on_answer("compute_reward", with_reason("x" * 2001)),
        also=frozenset({"answers_fit_the_openapi_document", "batch_gives_the_answers_of_single_calls"}),
    ),
    "group_rewards_are_one_for_each_member": Breaker(
        on_answer("compute_group_reward", lambda answer: answer.but(answers=answer.json["answers"][1:]))
    ),
    "gold_scores_the_maximum": Breaker(
        env=BadOracleEnv, also=frozenset({"poor_answers_score_below_gold", "empty_answer_scores_near_the_floor"})
    ),
    "poor_answers_score_below_gold": Breaker(env=GenerousEnv, also=frozenset({"empty_answer_scores_near_the_floor"})),
    "empty_answer_scores_near_the_floor": Breaker(env=SilenceLovingEnv),
    "fork_of_a_lost_rollout_says_so": Breaker(simply(fails_to_fork)),
    "mcp_calls_a_tool": Breaker(simply(hides_mistakes_over_mcp), paths=("/mcp",)),
}
