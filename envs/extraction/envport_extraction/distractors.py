"""Sentences that follow the lead: true background, and things that look like the event and are not.

A careless reader takes from them a wrong province, date or number: earlier incidents, seized weapons, other provinces,
protected civilians. None of them changes the record.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Final

from envport_extraction.gazetteer import PROVINCES, spoken_name
from envport_extraction.phrases import number_word, say_date, sentence_case

if TYPE_CHECKING:
    import random

    from envport_extraction.generator import Record

_QUIET: Final = (
    "No shots were fired.",
    "The force did not fire its weapons.",
    "The operation ended without a shot being fired.",
    "Troops carried out the search without firing a shot.",
)
_DEEDS: Final = (
    "moved weapons and explosives to fighters in the area",
    "planned roadside bomb attacks on Afghan police",
    "passed money and orders to bomb cells",
    "housed foreign fighters and would-be suicide bombers",
    "ran checkpoints where travellers were robbed",
    "led ambushes on supply convoys",
)
_SEIZED: Final = (
    "The force also found {n} rifles, {m} grenades and a radio.",
    "Troops seized {n} kilograms of opium and {m} blasting caps.",
    "A search turned up {n} mortar rounds and {m} pressure plates, which were destroyed on site.",
    "{N} motorcycles and {m} pistols were taken away as evidence.",
)
_UNHARMED: Final = (
    "No civilians were hurt.",
    "{N} women and {m} children were kept safe during the search.",
    "Initial reports show that no civilians were harmed.",
    "Residents were moved to safety first, among them {m} children.",
)
_EARLIER: Final = (
    "Last month, troops killed {n} insurgents in {other} province.",
    "The arrest of {n} suspects on {past} in {other} gave the first leads.",
    "It was the {nth} such operation in the area since {past}.",
    "An airstrike in {other} on {past} killed {n} fighters of another cell.",
    "In {other}, {n} commanders have been captured since {past}.",
    "{N} of the {more} bombs found this year in {other} were traced to one workshop.",
)
_ELSEWHERE: Final = (
    "Weapons were being moved between {other} and {another} provinces.",
    "Fighters had come from {other} province only days before.",
    "The cell is believed to get its orders from {other}.",
    "Similar attacks have been reported in {other} and {another}.",
)
_ORDINALS: Final = ("second", "third", "fourth", "fifth", "sixth")


def say_quiet(rng: random.Random) -> str:
    """A sentence that no shot was fired."""
    return rng.choice(_QUIET)


def say_background(rng: random.Random, record: Record, sentences: int) -> list[str]:
    """Sentences of background, each of another sort, that fit the record and leave it as it is."""
    sorts = [_ELSEWHERE, _EARLIER]
    if record.kind != "civilians":
        sorts += [_SEIZED, _UNHARMED]
    if record.head is not None or record.event.killcaptureraid:
        who = rng.choice(("The man", "The wanted man", "The suspect they were after"))
        first, second = rng.sample(_DEEDS, 2)
        sorts += [(f"{who} {first}.", f"{who} {first} and {second}.")]
    chosen = rng.sample(sorts, min(sentences, len(sorts)))
    return [_fill(rng, rng.choice(sort), record) for sort in chosen]


def _fill(rng: random.Random, pattern: str, record: Record) -> str:
    if "{" not in pattern:
        return pattern
    elsewhere = [name for name in PROVINCES if name not in (record.province, record.second_province)]
    other, another = rng.sample(elsewhere, 2)
    number = rng.randint(2, 12)
    past = record.dateline - datetime.timedelta(days=rng.randint(9, 60))
    return pattern.format(
        n=number_word(number),
        N=sentence_case(number_word(number)),
        m=number_word(rng.randint(2, 20)),
        more=number + rng.randint(2, 20),
        nth=rng.choice(_ORDINALS),
        other=spoken_name(other),
        another=spoken_name(another),
        past=say_date(rng, past, year=False),
    )
