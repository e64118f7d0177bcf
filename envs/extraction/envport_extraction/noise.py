"""Faults as hand-made labels have them, to see what a trainer makes of noisy gold.

The kinds and their shares follow what was counted in a hand-labelled set of press releases. Only training gold gets
them; the text stays as it is.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any, Final

from envport_extraction.gazetteer import PROVINCES

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

Gold = dict[str, Any]


def with_fault(rng: random.Random, gold: Gold) -> Gold:
    """A copy of the gold with one fault; now and then the fault happens to leave it as it was."""
    faults, shares = zip(*_FAULTS.items(), strict=True)
    fault: Callable[[random.Random, Gold], Gold] = rng.choices(faults, weights=shares)[0]
    return gold | fault(rng, gold)


def _no_group(rng: random.Random, gold: Gold) -> Gold:
    return {"target_group": [""]}


def _other_province(rng: random.Random, gold: Gold) -> Gold:
    return {"province": [rng.choice(tuple(PROVINCES))]}


def _usual_type(rng: random.Random, gold: Gold) -> Gold:
    return {"event_type": ["detention"]}


def _day_before(rng: random.Random, gold: Gold) -> Gold:
    if gold["start_date"] is None:
        return {}
    day = datetime.date.fromisoformat(gold["start_date"]) - datetime.timedelta(days=1)
    return {"start_date": day.isoformat()}


def _flag_off(rng: random.Random, gold: Gold) -> Gold:
    return {"killq": not gold["killq"]}


def _too_many_leaders(rng: random.Random, gold: Gold) -> Gold:
    return {"min_leaders_captured": gold["min_captured"] + 1}


def _question_marks(rng: random.Random, gold: Gold) -> Gold:
    return {"province": ["??"]}


def _joined(rng: random.Random, gold: Gold) -> Gold:
    """Several values in one string: another spelling of the same list."""
    return {"event_type": [";".join(gold["event_type"])]}


_FAULTS: Final[dict[Callable[[random.Random, Gold], Gold], float]] = {
    _no_group: 0.3,
    _other_province: 0.25,
    _usual_type: 0.1,
    _day_before: 0.15,
    _flag_off: 0.05,
    _too_many_leaders: 0.03,
    _question_marks: 0.04,
    _joined: 0.08,
}
