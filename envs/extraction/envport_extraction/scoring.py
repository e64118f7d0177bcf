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
from envport_extraction.events import COUNTS, FIELDS, LISTS

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

_FLAG_OF: Final = {"min_killed": "killq", "min_captured": "captureq"}
_TOTAL_OF: Final = {"min_leaders_killed": "min_killed", "min_leaders_captured": "min_captured"}
_NEAR_MISS: Final = 0.4
"""The most that a wrong count earns."""
_NEAR_MISS_OF_SHARE: Final = 1.6
"""Below `no_invention`'s weight over `counts`' weight (0.25 / 0.15), so that no near miss beats "unknown"."""


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
    """Weighted mean over the counts that the gold knows; `fallback` where it knows none.

    What a near miss may earn is bounded by what its wrong value costs in `no_invention`.
    """
    known = {count: weights[count] for count in COUNTS if gold.value(count) is not None}
    if not known:
        return fallback
    share = sum(known.values())
    near_miss = min(_NEAR_MISS, _NEAR_MISS_OF_SHARE * share)
    return sum(weight * _score_count(answer, gold, count, near_miss) for count, weight in known.items()) / share


def _score_count(answer: Answer, gold: Event, count: str, near_miss: float) -> float:
    """0 where the count is unknown or does not fit its partner, else by how close it is."""
    number = answer.known(count)
    if not isinstance(number, int):
        return 0.0
    fits = _fits_flag if count in _FLAG_OF else _fits_total
    return _closeness(number, gold.value(count), near_miss) if fits(number, answer, gold, count) else 0.0


def _fits_flag(number: int, answer: Answer, gold: Event, count: str) -> bool:
    """Whether the flag is right; where the gold does not know it, whether it says the same as the count."""
    happened, truth = answer.known(_FLAG_OF[count]), gold.value(_FLAG_OF[count])
    return happened == truth if truth is not None else happened in (None, number > 0)


def _fits_total(leaders: int, answer: Answer, gold: Event, count: str) -> bool:
    """Whether there are no more leaders than people. A gold that breaks this rule does not ask for it."""
    total = answer.known(_TOTAL_OF[count])
    return not isinstance(total, int) or leaders <= total or _leaders_exceed(gold, count)


def _leaders_exceed(gold: Event, count: str) -> bool:
    leaders, total = gold.value(count), gold.value(_TOTAL_OF[count])
    return isinstance(leaders, int) and isinstance(total, int) and leaders > total


def _closeness(number: int, gold: Value, near_miss: float) -> float:
    """1 where equal; else `near_miss` times the ratio of the smaller to the larger, 0 where one of them is 0."""
    if number == gold:
        return 1.0
    if not isinstance(gold, int) or not number or not gold:
        return 0.0
    return near_miss * min(number, gold) / max(number, gold)
