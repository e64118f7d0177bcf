"""A record in clauses, ready for the slots of a template.

`word_record` chooses the words once; templates then differ in how they put the clauses together. Every clause tells
only what the record holds, and the clauses of one lead sentence together tell all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from envport_extraction.gazetteer import PROVINCES, spoken_name
from envport_extraction.phrases import (
    opening_day,
    say_day,
    say_group,
    say_people,
    with_article,
)

if TYPE_CHECKING:
    import random

    from envport_extraction.generator import Record

_FORCES: Final = (
    "an Afghan and coalition security force",
    "a combined Afghan and coalition force",
    "a joint Afghan and international force",
    "an Afghan-led security force",
    "Afghan and coalition forces",
    "Afghan special police and coalition troops",
    "Afghan National Army soldiers and coalition forces",
)
_OTHER_ROLES: Final = ("facilitator", "bomb maker", "financier", "weapons smuggler", "recruiter", "weapons dealer")
_LEADERS: Final = ("leader", "leader", "commander", "senior leader", "district commander")
_MEN: Final = ("suspected insurgent", "insurgent", "militant", "suspect", "suspected militant", "insurgent fighter")
_REGIONS: Final = {"north": "northern", "east": "eastern", "south": "southern", "west": "western", "central": "central"}
_ERRANDS: Final = (
    "a patrol",
    "a clearing operation",
    "a security operation",
    "a vehicle search",
    "a foot patrol",
    "a cordon and search",
    "an operation to disrupt insurgent activity",
)
_ATTACKS: Final = (
    "an attack on a market",
    "an attack on a bus stop",
    "an attack on a wedding",
    "an attack on a police checkpoint",
)
_ATTACKERS: Final = ("a roadside bomb", "a suicide bomber", "a bomb hidden in a cart", "a mortar round")


@dataclass(frozen=True)
class Wording:
    """The clauses of one incident. Those that start a sentence are made from these by `sentence_case`."""

    force: str
    """Who acted, as a subject: `an Afghan-led security force`."""
    did: str
    """What they did, active: `killed two insurgents and detained one suspect`."""
    was_done: str
    """The same, passive, with its own subject: `two insurgents were killed`."""
    outcome: str
    """The same as a noun: `the death of two insurgents`."""
    operation: str
    """What they were about: `an operation in search of a Taliban leader`."""
    place: str
    """With its preposition: `in Sangin district, Helmand province`."""
    when: str
    """At the end of a clause: `yesterday`, `Tuesday`."""
    when_first: str
    """At the start of a sentence: `On Tuesday`."""


def word_record(rng: random.Random, record: Record) -> Wording:
    """One way to say the record."""
    group = say_group(rng, record.event.target_group)
    killed = _say_killed(rng, record, group)
    captured = _say_captured(rng, record, group)
    did, was_done, outcome = _say_deed(rng, record, killed, captured, group)
    force = rng.choice(_ATTACKERS) if record.kind == "civilians" else rng.choice(_FORCES)
    when = say_day(rng, record.day, record.dateline) if record.day else "recently"
    return Wording(
        force=force,
        did=did,
        was_done=was_done,
        outcome=outcome,
        operation=_say_operation(rng, record, group),
        place=_say_place(rng, record),
        when=when,
        when_first=opening_day(when),
    )


def _say_killed(rng: random.Random, record: Record, group: str) -> str:
    if record.kind == "civilians":
        return say_people(rng, record.event.min_killed or 0, rng.choice(("civilian", "local resident", "villager")))
    return _say_party(rng, record, record.event.min_killed or 0, group, fate="killed")


def _say_captured(rng: random.Random, record: Record, group: str) -> str:
    return _say_party(rng, record, record.event.min_captured or 0, group, fate="captured")


def _say_party(rng: random.Random, record: Record, number: int, group: str, *, fate: str) -> str:
    """The people of one fate: the head, if theirs, and the others."""
    if number == 0:
        return ""
    men = rng.choice(_MEN) if record.head or record.event.killcaptureraid else _grouped_men(rng, record, group)
    if record.head is None or record.head_fate != fate:
        return say_people(rng, number, men, stopped=fate == "captured")
    roles = _LEADERS if record.head == "leader" else _OTHER_ROLES
    head = with_article(f"{group} {rng.choice(roles)}")
    if number == 1:
        return head
    others = rng.choice((men, "associate", "armed associate", men))
    return f"{head} and {say_people(rng, number - 1, others)}"


def _grouped_men(rng: random.Random, record: Record, group: str) -> str:
    """The men called by their group where nothing else in the text will name it."""
    if not record.event.target_group:
        return rng.choice(_MEN)
    return f"{rng.choice(('', 'suspected '))}{group} {rng.choice(('fighter', 'insurgent', 'member'))}"


def _say_deed(rng: random.Random, record: Record, killed: str, captured: str, group: str) -> tuple[str, str, str]:
    """Active, passive and noun form of what happened."""
    caught = rng.choice(("detained", "captured", "arrested"))
    was = "was" if _is_one(captured) else "were"
    died = "was" if _is_one(killed) else "were"
    match record.kind:
        case "detain":
            return f"{caught} {captured}", f"{captured} {was} {caught}", f"the {_noun(caught)} of {captured}"
        case "kill" | "civilians":
            return f"killed {killed}", f"{killed} {died} killed", f"the death of {killed}"
        case "both":
            return (
                f"killed {killed} and {caught} {captured}",
                f"{killed} {died} killed and {captured} {was} {caught}",
                f"the death of {killed} and the {_noun(caught)} of {captured}",
            )
        case "air" | "air_detain":
            return _say_strike(rng, record, killed, captured, caught)
        case "fire":
            return _say_fire(rng, record, group)


def _say_strike(rng: random.Random, record: Record, killed: str, captured: str, caught: str) -> tuple[str, str, str]:
    strike = rng.choice(("a precision airstrike", "an airstrike", "a coalition airstrike", "a helicopter strike"))
    was, died = ("was" if _is_one(party) else "were" for party in (captured, killed))
    active = rng.choice((f"conducted {strike} that killed {killed}", f"called in {strike}, killing {killed}"))
    passive, noun = f"{killed} {died} killed by {strike}", f"{strike} and the death of {killed}"
    if record.kind == "air":
        return active, passive, noun
    return (
        f"{active}, and {caught} {captured}",
        f"{passive} and {captured} {was} {caught}",
        f"{noun}, and the {_noun(caught)} of {captured}",
    )


def _say_fire(rng: random.Random, record: Record, group: str) -> tuple[str, str, str]:
    named = bool(record.event.target_group) and not record.event.killcaptureraid
    foes = f"{group} fighters" if named else rng.choice(("insurgents", "gunmen", "armed militants"))
    return rng.choice(
        (
            (f"exchanged fire with {foes}", f"shots were exchanged with {foes}", f"an exchange of fire with {foes}"),
            (f"came under fire from {foes} and fired back", f"{foes} attacked troops, who fired back",
             f"a gunfight with {foes}, who fled"),
        )
    )  # fmt: skip


def _say_operation(rng: random.Random, record: Record, group: str) -> str:
    """What the force was about. For a raid it tells the person that was sought, unless the deed already does."""
    if record.kind == "civilians":
        return rng.choice(_ATTACKS)
    if not record.event.killcaptureraid:
        return rng.choice(_ERRANDS)
    role = rng.choice(_LEADERS if record.head == "leader" or rng.random() < 0.5 else _OTHER_ROLES)
    if record.head is not None:
        sought = rng.choice(("the man", f"the {group} network member", f"the {role}"))
    else:
        sought = with_article(f"{group} {role}")
    return rng.choice(
        (
            f"an operation to arrest {sought}",
            f"an operation in search of {sought}",
            f"a security operation targeting {sought}",
            f"a search for {sought}",
        )
    )


def _say_place(rng: random.Random, record: Record) -> str:
    home = PROVINCES[record.province]
    name = _spelling(rng, record.province)
    match record.place:
        case "district and province":
            return rng.choice(
                (
                    f"in {record.district} district, {name} province",
                    f"in {record.district} district, {name} province",
                    f"in {record.district} district of {name}",
                    f"in {name}'s {record.district} district",
                )
            )
        case "province":
            return rng.choice((f"in {name} province", f"in {name}", f"in {_REGIONS[home.region]} {name} province"))
        case "district":
            return f"in {record.district} district"
        case "region":
            return f"in {_REGIONS[home.region]} Afghanistan"
        case "border":
            return f"on the border of {name} and {_spelling(rng, record.second_province or '')} provinces"


def _spelling(rng: random.Random, province: str) -> str:
    """The province as the text spells it, sometimes in another spelling than the canonical one."""
    aliases = PROVINCES[province].aliases
    return spoken_name(rng.choice(aliases) if aliases and rng.random() < 0.15 else province)


def _noun(caught: str) -> str:
    return {"detained": "detention", "captured": "capture", "arrested": "arrest"}[caught]


def _is_one(party: str) -> bool:
    """True for a party of one person, by its words."""
    return (
        party.startswith(("one ", "a ", "an "))
        and " and " not in party
        and not party.startswith(("a couple of ", "a number of ", "a few ", "a dozen "))
    )
