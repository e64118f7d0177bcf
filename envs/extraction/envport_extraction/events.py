"""The event record: its fields, the values they may have, and how values from JSON are read.

A field is a value or unknown. For lists, unknown is the empty tuple; for the others, None. Reading is tolerant of what
hand-made labels hold: several values joined by `;`, an empty string or `??` for unknown, other spellings of a province.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import Any, Final

from envport_extraction.gazetteer import canonical_province

LISTS: Final = ("event_type", "province", "target_group")
COUNTS: Final = ("min_killed", "min_captured", "min_leaders_killed", "min_leaders_captured")
FLAGS: Final = ("killq", "captureq", "killcaptureraid", "airstrike", "noshotsfired")
FIELDS: Final = (
    "start_date",
    "province",
    "event_type",
    "target_group",
    "killq",
    "min_killed",
    "min_leaders_killed",
    "airstrike",
    "captureq",
    "min_captured",
    "min_leaders_captured",
    "noshotsfired",
    "killcaptureraid",
)
"""The fields that are asked for and scored, in the order that an answer has them.

What belongs together stands together: a small model loses its way among the similar names when they are spread out.
"""

UNSCORED_FIELDS: Final = ("name",)
"""Accepted in labels and answers, never scored: a title is free text, and many labels hold a bare number."""

EVENT_TYPES: Final = (
    "airstrike",
    "detention",
    "captureandkill",
    "insurgentskilled",
    "exchangeoffire",
    "civiliancasualty",
)
TARGET_GROUPS: Final = (
    "taliban", "haqqani", "hig", "imu", "aq", "let", "ttp", "iju", "judq", "hik", "criminals", "other",
)  # fmt: skip
MAX_COUNT: Final = 100_000
"""Larger counts are refused as nonsense."""

_GROUP_ALIASES: Final = {
    "criminal": "criminals",
    "haqqaninetwork": "haqqani",
    "alqaeda": "aq",
    "alqaida": "aq",
    "hezbeislamigulbuddin": "hig",
    "hezbiislamigulbuddin": "hig",
    "islamicmovementofuzbekistan": "imu",
    "islamicjihadunion": "iju",
    "lashkaretaiba": "let",
    "tehrikitalibanpakistan": "ttp",
}
_UNKNOWN_WORDS: Final = frozenset({"", "?", "??", "???", "unknown", "none", "n/a", "na", "null"})
_ISO_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_JOINTS: Final = re.compile(r"[;,|]")

Value = str | int | bool | tuple[str, ...] | None
"""A field's value; None or the empty tuple is unknown."""


class FieldError(ValueError):
    """A value that its field cannot have; the text says what was seen and what was expected."""


@dataclass(frozen=True)
class Event:
    """One event. Unknown is None, or the empty tuple for the three lists."""

    start_date: str | None = None
    """ISO date, `YYYY-MM-DD`."""
    event_type: tuple[str, ...] = ()
    """One or more of EVENT_TYPES."""
    province: tuple[str, ...] = ()
    """Canonical province names."""
    target_group: tuple[str, ...] = ()
    """Usually of TARGET_GROUPS; labels may hold other names."""
    min_killed: int | None = None
    """The least number of people killed that the text allows; leaders are counted in."""
    min_captured: int | None = None
    """The least number of people captured; leaders are counted in."""
    killq: bool | None = None
    """Somebody was killed."""
    captureq: bool | None = None
    """Somebody was captured."""
    killcaptureraid: bool | None = None
    """The operation was mounted to kill or capture a certain person."""
    airstrike: bool | None = None
    """Weapons were used from the air."""
    noshotsfired: bool | None = None
    """The text says that no shot was fired."""
    min_leaders_killed: int | None = None
    """Leaders or commanders among the killed."""
    min_leaders_captured: int | None = None
    """Leaders or commanders among the captured."""

    def value(self, field: str) -> Value:
        """The value of one of FIELDS."""
        value: Value = getattr(self, field)
        return value

    def to_json(self) -> dict[str, Any]:
        """The record with lists as lists and unknown as None: the shape of a label row."""
        return {f: list(v) if isinstance(v := self.value(f), tuple) else v for f in FIELDS}

    def to_answer(self) -> dict[str, Any]:
        """The shortest full answer: what holds nothing is left out, a list of one value is written bare."""
        told = {f: _answer_value(value) for f in FIELDS if not holds_nothing(value := self.value(f))}
        return told or {FIELDS[0]: "unknown"}


def holds_nothing(value: Value) -> bool:
    """True for 0, false and unknown: what an answer leaves out."""
    return not value


def _answer_value(value: Value) -> Any:
    if isinstance(value, tuple):
        return value[0] if len(value) == 1 else list(value)
    return value


def is_unknown(raw: Any) -> bool:
    """True for null, an empty list, and the words that mean unknown, alone or as a list's only values."""
    if isinstance(raw, list):
        return all(is_unknown(item) for item in raw)
    return raw is None or (isinstance(raw, str) and raw.strip().lower() in _UNKNOWN_WORDS)


def read_value(field: str, raw: Any) -> Value:
    """One field's value from JSON, in canonical form; unknown as None or ().

    Raises:
        FieldError: where the field cannot have such a value.
    """
    if is_unknown(raw):
        return () if field in LISTS else None
    if field in LISTS:
        return _read_list(field, raw)
    if field in COUNTS:
        return _read_count(field, raw)
    if field in FLAGS:
        if not isinstance(raw, bool):
            raise FieldError(f'{field} is {raw!r}; expected true, false or "unknown"')
        return raw
    return _read_date(field, raw)


def read_event(raw: dict[str, Any]) -> Event:
    """The event of a JSON object; fields that are left out are unknown, and UNSCORED_FIELDS are passed over.

    Raises:
        FieldError: at the first value that does not fit, or a field that does not exist.
    """
    for key in raw:
        if key not in FIELDS and key not in UNSCORED_FIELDS:
            raise FieldError(f"no field is called {key!r}; the fields are {', '.join(FIELDS)}")
    values: dict[str, Any] = {field: read_value(field, raw[field]) for field in FIELDS if field in raw}
    return Event(**values)


def _read_list(field: str, raw: Any) -> tuple[str, ...]:
    items = raw if isinstance(raw, list) else [raw]
    if not all(isinstance(item, str) for item in items) or len(items) > 16:
        raise FieldError(f"{field} is {raw!r}; expected a name or a list of up to 16 names")
    names = [name.strip().lower() for item in items for name in _JOINTS.split(item)]
    return tuple(dict.fromkeys(_canonical(field, name) for name in names if name not in _UNKNOWN_WORDS))


def _canonical(field: str, name: str) -> str:
    if field == "province":
        return canonical_province(name) or name
    key = re.sub(r"[^a-z]", "", name)
    if field == "target_group":
        return _GROUP_ALIASES.get(key, name)
    return key if key in EVENT_TYPES else name


def _read_count(field: str, raw: Any) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int) or not 0 <= raw <= MAX_COUNT:
        raise FieldError(f'{field} is {raw!r}; expected a whole number of 0 or more, or "unknown"')
    return raw


def _read_date(field: str, raw: Any) -> str:
    if isinstance(raw, str) and _ISO_DATE.fullmatch(raw.strip()):
        try:
            return datetime.date.fromisoformat(raw.strip()).isoformat()
        except ValueError:
            pass
    raise FieldError(f'{field} is {raw!r}; expected a date as YYYY-MM-DD, or "unknown"')


def contradictions(event: Event) -> list[str]:
    """What in the event cannot be true together, one sentence each; unknown contradicts nothing."""
    found: list[str] = []
    for count, flag in (("min_killed", "killq"), ("min_captured", "captureq")):
        number, happened = event.value(count), event.value(flag)
        if number is not None and happened is not None and bool(number) != happened:
            found.append(f"{flag} is {str(happened).lower()} but {count} is {number}")
    for leaders, total in (("min_leaders_killed", "min_killed"), ("min_leaders_captured", "min_captured")):
        few, all_of_them = getattr(event, leaders), getattr(event, total)
        if few is not None and all_of_them is not None and few > all_of_them:
            found.append(f"{leaders} is {few}, more than {total}, which is {all_of_them}")
    return found
