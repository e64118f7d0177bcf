"""The score of an answer against the gold event, in named components, each in [0, 1].

    valid_json     1 where the answer is one JSON object with a field of an event; else 0, and everything else with it
    fields         weighted share of the gold's fields that the answer has right (recall)
    no_invention   that share times the weighted share of fields that are not answered wrong
    province       F1 of the provinces by canonical name: 0 unless a real province, and the right one
    counts         weighted share of the counts that are right and fit their flag; a near miss earns part
    all_fields_right  1 where every field is right; a figure to watch, weight 0

A field that is left out says that there is nothing to tell: right where the gold holds 0, false or unknown, else it
earns nothing and costs nothing, as does "unknown". A wrong value earns nothing and costs its weight in `no_invention`,
and so does a field that no event has: saying nothing is better than inventing. Field weights come from `Balance`: an
answer made of the usual values earns little. The gold event scores exactly 1.0 in every component.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from envport_extraction.answers import Answer, Mark, NotAnAnswerError, read_answer
from envport_extraction.events import COUNTS, FIELDS, LISTS, holds_nothing

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
_NEAR_MISS: Final = 0.4
"""The most that a wrong count earns: 3 for 4 is closer to reading the text than nothing is."""
_STRANGE_FIELD: Final = 0.1
"""What a field that no event has costs in `no_invention`, as a share of all fields' weight."""
_NEAR_DATE: Final = datetime.timedelta(days=7)
"""A date this near was read from the text and reckoned wrong: half right, half wrong."""


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
    if not answer.strange_fields and all(grade == RIGHT for grade in grades.values()):
        return dict.fromkeys(WEIGHTS, 1.0)
    right = sum(weights[field] * grade.right for field, grade in grades.items())
    wrong = sum(weights[field] * grade.wrong for field, grade in grades.items())
    wrong += _STRANGE_FIELD * answer.strange_fields
    return {
        "valid_json": 1.0,
        "fields": right,
        "no_invention": right * max(0.0, 1.0 - wrong),
        "province": grades["province"].right,
        "counts": _score_counts(answer, gold, weights, right),
        "all_fields_right": 0.0,
    }


def grade_field(field: str, given: Value | Mark, gold: Value) -> Grade:
    """How one field was answered: lists by F1 and precision, dates with part credit, the rest all or nothing."""
    if given is Mark.LEFT_OUT:
        return RIGHT if holds_nothing(gold) else NOTHING
    if given is Mark.UNKNOWN:
        return RIGHT if gold in (None, ()) else NOTHING
    if field in LISTS and isinstance(given, tuple) and isinstance(gold, tuple):
        return _grade_list(set(given), set(gold))
    if field == "start_date" and isinstance(given, str) and isinstance(gold, str):
        return _grade_date(datetime.date.fromisoformat(given), datetime.date.fromisoformat(gold))
    return RIGHT if given == gold else WRONG


def _grade_list(given: set[str], gold: set[str]) -> Grade:
    hits = len(given & gold)
    return Grade(2.0 * hits / (len(given) + len(gold)), 1.0 - hits / len(given))


def _grade_date(given: datetime.date, gold: datetime.date) -> Grade:
    if given == gold:
        return RIGHT
    return Grade(0.5, 0.5) if abs(given - gold) <= _NEAR_DATE else WRONG


def _score_counts(answer: Answer, gold: Event, weights: dict[str, float], fallback: float) -> float:
    """Weighted share over the counts that the gold knows; `fallback` where it knows none."""
    known = {count: weights[count] for count in COUNTS if gold.value(count) is not None}
    if not known:
        return fallback
    right = sum(weight * score_count(answer, gold, count) for count, weight in known.items())
    return right / sum(known.values())


def score_count(answer: Answer, gold: Event, count: str) -> float:
    """1 where equal, part for a near miss; 0 where the flag is wrong, or contradicts it where the gold has none."""
    number, truth = answer.known(count), gold.value(count)
    if isinstance(number, bool) or not isinstance(number, int) or not isinstance(truth, int):
        return 0.0
    flag = _FLAG_OF.get(count)
    if flag is not None and not _flag_fits(answer, gold, flag, number):
        return 0.0
    if number == truth:
        return 1.0
    return _NEAR_MISS * min(number, truth) / max(number, truth)


def _flag_fits(answer: Answer, gold: Event, flag: str, number: int) -> bool:
    if gold.value(flag) is not None:
        return answer.known(flag) == gold.value(flag)
    return isinstance(answer.given[flag], Mark) or answer.given[flag] == bool(number)
