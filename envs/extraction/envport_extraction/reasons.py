"""Why an answer got its scores: a line for each component, mostly which fields are right and which are not.

A true value stands in no line, for lines land in logs that people copy from. What the model said is quoted and cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from envport_extraction.answers import Answer, Mark, NotAnAnswerError, read_answer
from envport_extraction.events import COUNTS, FIELDS
from envport_extraction.scoring import RIGHT, WEIGHTS, Grade, grade_field, score_count

if TYPE_CHECKING:
    from collections.abc import Iterable

    from envport_extraction.events import Event

_MAX_SHOWN_CHARS: Final = 60
"""Of a value that the model gave."""


def reasons_for(completion: str, gold: Event) -> dict[str, str]:
    """The reason of each component of `score_completion`, by name. Never raises for any text."""
    try:
        answer = read_answer(completion)
    except NotAnAnswerError as error:
        return dict.fromkeys(WEIGHTS, "the answer cannot be read") | {"valid_json": str(error)}
    grades = {field: grade_field(field, answer.given[field], gold.value(field)) for field in FIELDS}
    return {
        "valid_json": "one JSON object with fields of an event",
        "fields": _fields_line(answer, grades),
        "no_invention": _invention_line(answer, grades),
        "province": _verdict(answer, "province", grades["province"]),
        "counts": _counts_line(answer, gold),
        "all_fields_right": _joined([_tally(grades), _strange(answer)]),
    }


def _tally(grades: dict[str, Grade]) -> str:
    return f"{sum(grade == RIGHT for grade in grades.values())} of {len(grades)} fields right"


def _fields_line(answer: Answer, grades: dict[str, Grade]) -> str:
    right = [field for field, grade in grades.items() if grade == RIGHT]
    partly = [_said(answer, field) for field, grade in grades.items() if 0.0 < grade.right < 1.0]
    wrong = [_said(answer, field) for field, grade in grades.items() if not grade.right and grade.wrong]
    missing = [field for field, grade in grades.items() if not grade.right and not grade.wrong]
    parts = [_tally(grades) + (f": {', '.join(right)}" if right and len(right) < len(grades) else "")]
    return _joined([*parts, _listed("partly right", partly), _listed("wrong", wrong), _listed("not told", missing)])


def _invention_line(answer: Answer, grades: dict[str, Grade]) -> str:
    wrong = [field for field, grade in grades.items() if grade.wrong]
    return _joined([_tally(grades), _listed("wrong in whole or part", wrong) or "nothing wrong", _strange(answer)])


def _strange(answer: Answer) -> str:
    return f"fields that no event has: {answer.strange_fields}" if answer.strange_fields else ""


def _verdict(answer: Answer, field: str, grade: Grade) -> str:
    if grade == RIGHT:
        return "right"
    if not grade.right and not grade.wrong:
        return "not told"
    return f"{'partly right' if grade.right else 'wrong'}: {_shown(answer, field)}"


def _counts_line(answer: Answer, gold: Event) -> str:
    earned = {count: score_count(answer, gold, count) for count in COUNTS if gold.value(count) is not None}
    if not earned:
        return "there is no count to tell; as for fields"
    near = [_said(answer, count) for count, score in earned.items() if 0.0 < score < 1.0]
    wrong = [_said(answer, count) for count, score in earned.items() if not score]
    right = sum(score == 1.0 for score in earned.values())
    lists = [_listed("near", near), _listed("wrong, or not fitting their flags", wrong)]
    return _joined([f"{right} of {len(earned)} counts right", *lists])


def _said(answer: Answer, field: str) -> str:
    return f"{field} {_shown(answer, field)}"


def _shown(answer: Answer, field: str) -> str:
    """What the model gave, quoted; of a list each name."""
    given = answer.given[field]
    if isinstance(given, Mark):
        return f"({given.value})"
    text = ", ".join(map(repr, given)) if isinstance(given, tuple) else repr(given)
    return text if len(text) <= _MAX_SHOWN_CHARS else text[: _MAX_SHOWN_CHARS - 1] + "…"


def _listed(what: str, items: Iterable[str]) -> str:
    told = ", ".join(items)
    return f"{what}: {told}" if told else ""


def _joined(parts: Iterable[str]) -> str:
    return "; ".join(part for part in parts if part)
