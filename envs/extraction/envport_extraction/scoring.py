"""The score of an answer against the gold event, in named components, each in [0, 1].

    valid_json     1 where the answer is one JSON object with known fields; else 0, and everything else 0 with it
    fields         weighted share of the gold's fields that the answer has right (recall)
    no_invention   that share less the weighted share of fields answered wrong, at least 0
    province       F1 of the provinces by canonical name: 0 unless a real province, and the right one
    counts         counts that fit together and are right; part credit for near misses that fit together
    all_fields_right  1 where every field is right; a figure to watch, weight 0

A field that is left out or "unknown" while the gold knows it earns nothing and costs nothing; a wrong value earns
nothing and costs its weight in `no_invention`: so saying "unknown" is better than inventing. Where the gold itself is
unknown, saying "unknown" is the right answer, leaving the field out earns nothing, and any value is an invention.
Field weights come from `Balance`: an answer made of the usual values gets about half of `fields` and almost nothing of
`no_invention`. The gold event scores exactly 1.0 in every component.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from envport_extraction.answers import Answer, Mark, NotAnAnswerError, read_answer
from envport_extraction.events import FIELDS, LISTS

if TYPE_CHECKING:
    from envport_extraction.balance import Balance
    from envport_extraction.events import Event, Value

WEIGHTS: Final[dict[str, float]] = {
    "valid_json": 0.10,
    "fields": 0.35,
    "no_invention": 0.25,
    "province": 0.15,
    "counts": 0.15,
    "all_fields_right": 0.0,
}
"""The weights sum to 1, so the reward lies in [0, 1]."""

_COUNT_PAIRS: Final = (("min_killed", "killq"), ("min_captured", "captureq"))
_LEADER_PAIRS: Final = (("min_leaders_killed", "min_killed"), ("min_leaders_captured", "min_captured"))
_NEAR_MISS: Final = 0.5


@dataclass(frozen=True)
class Grade:
    """How one field was answered."""

    right: float
    """Share of the gold value that the answer has: 0 to 1."""
    wrong: float
    """Share of what was answered that is wrong: 0 to 1; 0 where nothing was answered."""


NOTHING: Final = Grade(0.0, 0.0)
WRONG: Final = Grade(0.0, 1.0)
RIGHT: Final = Grade(1.0, 0.0)


def score_completion(completion: str, gold: Event, balance: Balance) -> dict[str, float]:
    """The components' scores of a model's text, by name. Never raises for any text."""
    try:
        answer = read_answer(completion)
    except NotAnAnswerError:
        return dict.fromkeys(WEIGHTS, 0.0)
    return score_answer(answer, gold, balance)


def score_answer(answer: Answer, gold: Event, balance: Balance) -> dict[str, float]:
    """The components' scores of an answer that passed the gate."""
    weights = balance.weights(gold)
    grades = {field: grade_field(field, answer.given[field], gold.value(field)) for field in FIELDS}
    if all(grade == RIGHT for grade in grades.values()):
        return dict.fromkeys(WEIGHTS, 1.0)
    right = sum(weights[field] * grade.right for field, grade in grades.items())
    wrong = sum(weights[field] * grade.wrong for field, grade in grades.items())
    return {
        "valid_json": 1.0,
        "fields": right,
        "no_invention": max(0.0, right - wrong),
        "province": grades["province"].right,
        "counts": _score_counts(answer, gold, weights, right),
        "all_fields_right": 0.0,
    }


def grade_field(field: str, given: Value | Mark, gold: Value) -> Grade:
    """How one field was answered: lists by F1 and precision, everything else all or nothing."""
    if given is Mark.LEFT_OUT:
        return NOTHING
    if given is Mark.UNKNOWN:
        return RIGHT if gold in (None, ()) else NOTHING
    if field in LISTS and isinstance(given, tuple) and isinstance(gold, tuple):
        return _grade_list(set(given), set(gold))
    return RIGHT if given == gold else WRONG


def _grade_list(given: set[str], gold: set[str]) -> Grade:
    hits = len(given & gold)
    return Grade(2.0 * hits / (len(given) + len(gold)), 1.0 - hits / len(given))


def _score_counts(answer: Answer, gold: Event, weights: dict[str, float], fallback: float) -> float:
    """Weighted mean over the counts that the gold knows; `fallback` where it knows none."""
    scores = [
        (weights[count], _score_count(answer, gold, count, flag))
        for count, flag in _COUNT_PAIRS
        if gold.value(count) is not None
    ]
    scores += [
        (weights[leaders], _score_leaders(answer, gold, leaders, total))
        for leaders, total in _LEADER_PAIRS
        if gold.value(leaders) is not None
    ]
    total_weight = sum(weight for weight, _ in scores)
    return sum(weight * score for weight, score in scores) / total_weight if scores else fallback


def _score_count(answer: Answer, gold: Event, count: str, flag: str) -> float:
    """A count with its flag: the flag must be right and fit the count."""
    number, happened = answer.known(count), answer.known(flag)
    if not isinstance(number, int) or happened is None:
        return 0.0
    if happened != gold.value(flag) and gold.value(flag) is not None:
        return 0.0
    if bool(number) != happened and number != gold.value(count):
        return 0.0
    return _closeness(number, gold.value(count))


def _score_leaders(answer: Answer, gold: Event, leaders: str, total: str) -> float:
    """The leaders among a total: no more than the total."""
    few, all_of_them = answer.known(leaders), answer.known(total)
    if not isinstance(few, int) or not isinstance(all_of_them, int):
        return 0.0
    if few > all_of_them and few != gold.value(leaders):
        return 0.0
    return _closeness(few, gold.value(leaders))


def _closeness(number: int, gold: Value) -> float:
    """1 where equal; else half the ratio of the smaller to the larger, 0 where one of them is 0."""
    if number == gold:
        return 1.0
    if not isinstance(gold, int) or not number or not gold:
        return 0.0
    return _NEAR_MISS * min(number, gold) / max(number, gold)
