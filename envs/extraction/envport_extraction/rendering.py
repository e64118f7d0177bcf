"""A record as a press release: a template's opening, its lead, and the sentences that follow."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from envport_extraction.distractors import say_background, say_quiet
from envport_extraction.gazetteer import PROVINCES
from envport_extraction.generator import draw_record
from envport_extraction.phrases import say_date, sentence_case
from envport_extraction.wording import word_record

if TYPE_CHECKING:
    import random

    from envport_extraction.generator import Record
    from envport_extraction.templates import Template

_SECOND_INCIDENTS: Final = (
    "Separately, {force} {did} {place} {when}.",
    "In another incident {place}, {done} {when}.",
    "Elsewhere, {op} {place} resulted in {outcome} {when}.",
)
_SECOND_SHARE: Final = 0.12
_UNDATED_OPENING: Final = "Press release\n"


def render(rng: random.Random, record: Record, template: Template) -> str:
    """The text of the release. It tells the record's event first, and whole."""
    opening = _slots_of_opening(rng, record)
    text = template.opening.format_map(opening) if record.day else _UNDATED_OPENING
    sentences = [_lead(rng, record, template.lead)]
    if record.event.noshotsfired:
        sentences.append(say_quiet(rng))
    sentences += _background(rng, record)
    if rng.random() < _SECOND_SHARE:
        sentences.append(_second_incident(rng, record))
    return text + " ".join(sentences)


def _background(rng: random.Random, record: Record) -> list[str]:
    """One to three sentences of different sorts."""
    return say_background(rng, record, rng.choices((1, 2, 3), weights=(1, 4, 5))[0])


def _second_incident(rng: random.Random, record: Record) -> str:
    """Another incident of another place, seen from the same dateline."""
    other = draw_record(rng)
    while other.province in (record.province, record.second_province) or other.place in ("region", "border"):
        other = draw_record(rng)
    day = other.day and record.dateline - (other.dateline - other.day)
    other = replace(other, dateline=record.dateline, day=day)
    return _lead(rng, other, rng.choice(_SECOND_INCIDENTS))


def _lead(rng: random.Random, record: Record, pattern: str) -> str:
    words = word_record(rng, record)
    return sentence_case(
        pattern.format(
            force=words.force,
            Force=sentence_case(words.force),
            did=words.did,
            done=words.was_done,
            Done=sentence_case(words.was_done),
            outcome=words.outcome,
            outcome_first=sentence_case(words.outcome),
            op=words.operation,
            Op=sentence_case(words.operation),
            place=words.place,
            Place=sentence_case(words.place),
            when=words.when,
            When=words.when_first,
        )
    )


def _slots_of_opening(rng: random.Random, record: Record) -> dict[str, str]:
    day = record.dateline
    serial = f"{day:%Y-%m}-S-{rng.randint(1, 140):03d}"
    city = rng.choice(("KABUL, Afghanistan", "KABUL, Afghanistan", "KABUL"))
    return {
        "dateline": f"{city} ({say_date(rng, day, year=True)})",
        "day": say_date(rng, day, year=True),
        "day_of_month": f"{day.day} {day:%B} {day.year}",
        "serial": serial,
        "region": PROVINCES[record.province].region.capitalize(),
    }
