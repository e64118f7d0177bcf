"""Scores, weights and what is refused."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from envport_protocol import BaseEnv, RewardResult, RewardSpec, reward
from envport_protocol.errors import EnvDefinitionError, EnvFailedError
from envport_protocol.messages import MAX_REASON_CHARS, RewardScore
from envport_protocol.rewards import Scorer

SPECS = [RewardSpec(name="a", weight=0.5), RewardSpec(name="b", weight=2.0, min=-1.0, max=3.0)]


def test_the_reward_is_the_weighted_sum_of_what_was_scored():
    answer = Scorer(SPECS).answer({"a": 0.5, "b": -1, "c": True})
    assert answer.reward == 0.5 * 0.5 + 2.0 * -1 + 1.0
    assert answer.rewards["c"] == RewardScore(score=1.0, weight=1.0)
    assert Scorer(SPECS).answer({"a": None, "b": 3}).reward == 6.0
    assert Scorer(SPECS).answer({"a": None}).reward is None
    assert Scorer(SPECS).answer({}).reward is None


def test_a_bare_number_is_the_component_named_reward():
    for number in (0.25, Fraction(1, 4), Decimal("0.25")):
        answer = Scorer([]).answer(number)
        assert (answer.reward, answer.rewards) == (0.25, {"reward": RewardScore(score=0.25, weight=1.0)})


def test_weights_from_outside_override_those_declared():
    scorer = Scorer(SPECS, {"a": 10})
    assert scorer.answer({"a": 0.5, "b": 0}).reward == 5.0
    assert [(spec.name, spec.weight) for spec in scorer.specs] == [("a", 10), ("b", 2.0)]
    undeclared = Scorer([], {"x": 0.1})
    assert undeclared.answer({"x": 1, "y": 1}).reward == 1.1
    assert [(spec.name, spec.weight) for spec in undeclared.specs] == [("x", 0.1)]


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ({"a": float("nan")}, "'a' is nan; it must be finite"),
        ({"a": float("inf")}, "'a' is inf; it must be finite"),
        ({"a": 10**400}, "'a' cannot become a number"),
        ({"a": "0.5"}, "'a' is of type str"),
        ({"a": [1]}, "'a' is of type list"),
        ({"a": 1.5}, r"'a' is 1.5, outside its declared range 0.0 to 1.0"),
        ({"b": -1.1}, r"'b' is -1.1, outside its declared range -1.0 to 3.0"),
        (None, "gave NoneType"),
        ("1.0", "gave str"),
        ({"x": 1e308, "y": 1e308}, "weighted sum"),
    ],
)
def test_scores_that_mean_nothing_are_the_environments_failure(raw, told):
    with pytest.raises(EnvFailedError, match=told):
        Scorer(SPECS).answer(raw)


def test_a_score_may_miss_its_range_by_rounding_only():
    assert Scorer(SPECS).answer({"a": 1.0000001}).rewards["a"].score == 1.0000001


def test_names_that_do_not_match_are_refused_at_the_start():
    with pytest.raises(EnvDefinitionError, match="'A', which the environment does not declare; it declares: a, b"):
        Scorer(SPECS, {"A": 1})
    with pytest.raises(EnvDefinitionError, match="'a' is declared twice"):
        Scorer([*SPECS, RewardSpec(name="a")])


async def test_reward_methods_are_collected_in_order_and_inherited():
    class Parent(BaseEnv):
        @reward(weight=0.5)
        def first(self, completion):
            return len(completion)

    class Child(Parent):
        @reward(name="other", max=5)
        async def second(self, ground_truth, *, seed=3):
            return seed

    env = Child()
    assert [(spec.name, spec.weight, spec.max) for spec in env.rewards()] == [("first", 0.5, 1.0), ("other", 1.0, 5.0)]
    assert await env.compute_reward("abc", None) == {"first": 3, "other": 3}
    assert await env.compute_reward(completion="", ground_truth=None, seed=1) == {"first": 0, "other": 1}


def test_a_reward_that_asks_for_what_there_is_not_is_refused():
    class Odd(BaseEnv):
        @reward
        def score(self, answer):
            return 0.0

    with pytest.raises(
        EnvDefinitionError, match=r"score asks for 'answer', which the server does not have; it can give: completion"
    ):
        Odd().rewards()


def reasons(raw):
    return {name: part.reason for name, part in Scorer(SPECS).answer(raw).rewards.items()}


def test_a_score_has_its_reason_beside_it_and_counts_as_without():
    answer = Scorer(SPECS).answer({"a": RewardResult(0.5, reason="1 of 2 right"), "b": RewardResult(1), "c": 0.25})
    assert answer.reward == 0.5 * 0.5 + 2.0 * 1 + 0.25
    assert answer.rewards == {
        "a": RewardScore(score=0.5, weight=0.5, reason="1 of 2 right"),
        "b": RewardScore(score=1.0, weight=2.0, reason=None),
        "c": RewardScore(score=0.25, weight=1.0, reason=None),
    }
    unscored = Scorer(SPECS).answer({"a": RewardResult(None, reason="the judge did not answer")})
    assert (unscored.reward, unscored.rewards["a"].reason) == (None, "the judge did not answer")


def test_a_bare_score_may_have_a_reason_too():
    expected = {"reward": RewardScore(score=0.25, weight=1.0, reason="so")}
    assert Scorer([]).answer(RewardResult(0.25, "so")).rewards == expected


def test_a_score_with_a_reason_is_held_to_its_range_all_the_same():
    with pytest.raises(EnvFailedError, match=r"'a' is 1.5, outside its declared range"):
        Scorer(SPECS).answer({"a": RewardResult(1.5, reason="very good")})
    with pytest.raises(EnvFailedError, match="'a' is of type RewardResult"):
        Scorer(SPECS).answer({"a": RewardResult(RewardResult(0.5))})


def test_a_long_reason_loses_its_middle_and_says_how_much_that_was():
    most = MAX_REASON_CHARS
    assert most == 2000
    whole = "a" * (most // 2) + "b" * (most // 2)
    assert reasons({"a": RewardResult(1, reason=whole)}) == {"a": whole}
    cut = reasons({"a": RewardResult(1, reason="<" + "a" * 5000 + "b" * 4998 + ">")})["a"]
    assert cut == "<" + "a" * 985 + " [8029 characters left out] " + "b" * 984 + ">"
    assert 986 + 8029 + 985 == 10_000
    for length in (most + 1, 10**5, 10**6):
        text = reasons({"a": RewardResult(1, reason="x" * length)})["a"]
        assert len(text) <= most
        assert text.count("x") + int(text.split("[")[1].split()[0]) == length


def test_a_reason_can_be_sent_whatever_is_in_it():
    assert reasons({"a": RewardResult(1, reason="\ud800 <b>\x1b[31m\x00\n\U0001f600")}) == {
        "a": "\ufffd <b>\x1b[31m\x00\n\U0001f600"
    }


def test_a_reason_that_is_no_text_is_the_environments_failure():
    with pytest.raises(EnvFailedError, match="the reason of the reward component 'a' is of type list; expected text"):
        Scorer(SPECS).answer({"a": RewardResult(1, reason=["so"])})


async def test_a_reward_method_may_give_a_reason():
    class Told(BaseEnv):
        @reward
        def short(self, completion):
            return RewardResult(float(len(completion) < 3), reason=f"{len(completion)} characters")

    env = Told()
    raw = await env.compute_reward("abcd", None)
    assert Scorer(env.rewards()).answer(raw).rewards == {
        "short": RewardScore(score=0.0, weight=1.0, reason="4 characters")
    }
