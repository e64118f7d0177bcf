"""Tasks made from nothing but a seed: the record is drawn first, then a text that is true of it.

A task is a pure function of (split, seed, index), so thousands of them cost nothing until one is asked for, and the
same number is the same task on every machine. Training and evaluation draw from different seeds *and* different
templates. `RULES_VERSION` changes whenever the same number would give another task.
"""

from __future__ import annotations

import datetime
import random
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeVar

from envport_extraction.events import Event
from envport_extraction.gazetteer import PROVINCES

RULES_VERSION: Final = "1"

T = TypeVar("T")

Kind = Literal["detain", "kill", "both", "air", "air_detain", "fire", "civilians"]
Place = Literal["district and province", "province", "district", "region", "border"]
Head = Literal["leader", "other"]
Fate = Literal["killed", "captured"]
SplitName = Literal["train", "eval"]

KIND_SHARES: Final[dict[Kind, float]] = {
    "detain": 0.42,
    "kill": 0.18,
    "both": 0.14,
    "air": 0.11,
    "air_detain": 0.03,
    "fire": 0.07,
    "civilians": 0.05,
}
EVENT_TYPES_OF: Final[dict[Kind, tuple[str, ...]]] = {
    "detain": ("detention",),
    "kill": ("insurgentskilled",),
    "both": ("captureandkill",),
    "air": ("airstrike",),
    "air_detain": ("airstrike", "detention"),
    "fire": ("exchangeoffire",),
    "civilians": ("civiliancasualty",),
}
RAID_SHARES: Final[dict[Kind, float]] = {
    "detain": 0.75,
    "kill": 0.35,
    "both": 0.6,
    "air": 0.2,
    "air_detain": 0.6,
    "fire": 0.15,
    "civilians": 0.0,
}
"""How often the operation was mounted to kill or capture a certain person."""

_GROUP_SHARES: Final[dict[tuple[str, ...], float]] = {
    ("taliban",): 0.42,
    ("haqqani",): 0.2,
    (): 0.2,
    ("hig",): 0.05,
    ("imu",): 0.05,
    ("aq",): 0.02,
    ("let",): 0.01,
    ("iju",): 0.01,
    ("criminals",): 0.02,
    ("aq", "taliban"): 0.02,
}
_COUNT_SHARES: Final[dict[int, float]] = {
    1: 0.24, 2: 0.23, 3: 0.22, 4: 0.13, 5: 0.06, 6: 0.04, 7: 0.02, 8: 0.02, 9: 0.01, 10: 0.01, 12: 0.01, 15: 0.01,
}  # fmt: skip
_PLACE_SHARES: Final[dict[Place, float]] = {
    "district and province": 0.68,
    "province": 0.21,
    "district": 0.04,
    "region": 0.04,
    "border": 0.03,
}
"""A district alone still tells its province to who knows the map; a region alone leaves the province unknown."""
_FIRST_DAY: Final = datetime.date(2009, 6, 1)
_DAYS: Final = 1400


@dataclass(frozen=True)
class Record:
    """What is true of one incident: the event that is asked for, and what a text needs beside it."""

    event: Event
    kind: Kind
    day: datetime.date | None
    """None where the text will not tell."""
    dateline: datetime.date
    """The day of the release, 0 to 6 days after `day`."""
    province: str
    """Where it happened, also where the event's own province is unknown because the text will not tell."""
    second_province: str | None
    """The other side of the border, for an incident on one."""
    district: str | None
    place: Place
    """How the text tells the place."""
    head: Head | None
    """A certain person among the killed or captured: a leader, somebody else with a role, or nobody."""
    head_fate: Fate
    """What became of the head."""


def task_random(split: str, seed: int, index: int) -> random.Random:
    """The one source of randomness of a task."""
    return random.Random(f"envport-extraction:{RULES_VERSION}:{split}:{seed}:{index}")  # noqa: S311 - not for secrets


def draw_record(rng: random.Random) -> Record:
    """A record whose event keeps every rule: leaders within totals, flags as the counts say."""
    kind = _draw(rng, KIND_SHARES)
    raid = rng.random() < RAID_SHARES[kind]
    record = _draw_where_and_when(rng, kind)
    killed = _draw(rng, _COUNT_SHARES) if kind in ("kill", "both", "air", "air_detain", "civilians") else 0
    captured = _draw(rng, _COUNT_SHARES) if kind in ("detain", "both", "air_detain") else 0
    record = _draw_head(rng, record, killed=killed, captured=captured, raid=raid)
    leaders = 1 if record.head == "leader" else 0
    event = replace(
        record.event,
        event_type=EVENT_TYPES_OF[kind],
        target_group=() if kind == "civilians" else _draw(rng, _GROUP_SHARES),
        min_killed=killed,
        min_captured=captured,
        killq=killed > 0,
        captureq=captured > 0,
        killcaptureraid=raid,
        airstrike=kind in ("air", "air_detain"),
        noshotsfired=kind == "detain" and rng.random() < 0.35,
        min_leaders_killed=leaders if record.head_fate == "killed" else 0,
        min_leaders_captured=leaders if record.head_fate == "captured" else 0,
    )
    return replace(record, event=event)


def _draw_where_and_when(rng: random.Random, kind: Kind) -> Record:
    province = rng.choice(tuple(PROVINCES))
    home = PROVINCES[province]
    place = _draw(rng, _PLACE_SHARES)
    neighbours = tuple(p.name for p in PROVINCES.values() if p.region == home.region and p is not home)
    second = rng.choice(neighbours) if place == "border" else None
    dateline = _FIRST_DAY + datetime.timedelta(days=rng.randrange(_DAYS))
    before = rng.choices((0, 1, 2, 3, 4, 5, 6), weights=(34, 42, 10, 6, 4, 2, 2))[0]
    day = dateline - datetime.timedelta(days=before) if rng.random() >= 0.02 else None
    told = () if place == "region" else tuple(sorted(filter(None, (province, second))))
    return Record(
        event=Event(start_date=day.isoformat() if day else None, province=told),
        kind=kind,
        day=day,
        dateline=dateline,
        province=province,
        second_province=second,
        district=rng.choice(home.districts),
        place=place,
        head=None,
        head_fate="captured",
    )


def _draw_head(rng: random.Random, record: Record, *, killed: int, captured: int, raid: bool) -> Record:
    """A certain person among them, mostly where the operation was after one."""
    share = 0.6 if raid else 0.35 if record.kind == "air" else 0.0
    if not (killed or captured) or record.kind == "civilians" or rng.random() >= share:
        return record
    fate: Fate = "captured" if captured and (not killed or rng.random() < 0.6) else "killed"
    head: Head = "leader" if rng.random() < 0.62 else "other"
    return replace(record, head=head, head_fate=fate)


def _draw(rng: random.Random, shares: dict[T, float]) -> T:
    return rng.choices(tuple(shares), weights=tuple(shares.values()))[0]
