"""Wordings of numbers, people and days that are true of a given record.

Every function takes what is true and chooses among ways to say it; none of them changes what is true. The words for
vague numbers mean a least number: "a couple of" 2; "several", "multiple", "a number of", "a few" 3; "numerous" 4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import datetime
    import random

NUMBER_WORDS: Final = (
    "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)  # fmt: skip
VAGUE_WORDS: Final[dict[int, tuple[str, ...]]] = {
    2: ("a couple of",),
    3: ("several", "several", "multiple", "a number of", "a few"),
    4: ("numerous",),
    12: ("a dozen",),
}
GROUP_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "taliban": ("Taliban",),
    "haqqani": ("Haqqani", "Haqqani Network"),
    "hig": ("Hezb-e Islami Gulbuddin", "HIG"),
    "imu": ("Islamic Movement of Uzbekistan", "IMU"),
    "aq": ("al-Qaida", "al Qaeda"),
    "let": ("Lashkar-e Taiba",),
    "iju": ("Islamic Jihad Union",),
    "criminals": ("criminal network",),
}
"""How the text names a group, as an adjective."""

_MONTHS: Final = ("Jan.", "Feb.", "March", "April", "May", "June", "July", "Aug.", "Sept.", "Oct.", "Nov.", "Dec.")
_FULL_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def number_word(number: int) -> str:
    """The number in words up to twenty, else in digits."""
    return NUMBER_WORDS[number] if number < len(NUMBER_WORDS) else str(number)


def say_number(rng: random.Random, least: int) -> str:
    """A wording whose least number is `least` (1 or more), to stand before a noun."""
    draw = rng.random()
    if draw < 0.35 and least in VAGUE_WORDS:
        return rng.choice(VAGUE_WORDS[least])
    if least >= 3 and draw < 0.47:
        return rng.choice(
            (
                f"at least {number_word(least)}",
                f"more than {number_word(least - 1)}",
                f"between {number_word(least)} and {number_word(least + rng.randint(1, 4))}",
            )
        )
    return str(least) if draw < 0.6 and least > 1 else number_word(least)


def say_people(rng: random.Random, least: int, noun: str, *, stopped: bool = False) -> str:
    """`least` people called `noun` (singular). With `stopped`, sometimes as "two of the five ... they stopped"."""
    if least == 1:
        return rng.choice((f"one {noun}", f"{_article(noun)} {noun}"))
    if stopped and rng.random() < 0.1:
        return f"{number_word(least)} of the {number_word(least + rng.randint(1, 6))} {noun}s they stopped"
    return f"{say_number(rng, least)} {noun}s"


def with_article(noun: str) -> str:
    """`Taliban leader` -> `a Taliban leader`."""
    return f"{_article(noun)} {noun}"


def sentence_case(text: str) -> str:
    """The text with its first letter upper case and the rest left alone."""
    return text[:1].upper() + text[1:]


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiouAEIO" and not noun.startswith("U.") else "a"


def say_group(rng: random.Random, groups: tuple[str, ...]) -> str:
    """The groups as one adjective, or "insurgent" for none."""
    if not groups:
        return "insurgent"
    names = [rng.choice(GROUP_NAMES[group]) for group in groups]
    return names[0] if len(names) == 1 else f"{names[0]}-linked {names[1]}"


def say_date(rng: random.Random, day: datetime.date, *, year: bool) -> str:
    """The date as a dateline has it, with or without its year."""
    month = rng.choice((_MONTHS, _FULL_MONTHS))[day.month - 1]
    return f"{month} {day.day}, {day.year}" if year else f"{month} {day.day}"


def say_day(rng: random.Random, day: datetime.date, dateline: datetime.date) -> str:
    """When `day` was, seen from the dateline, as it stands at the end of a clause. Days 0 to 6 before can be named."""
    before = (dateline - day).days
    ways = [f"on {say_date(rng, day, year=False)}"]
    if before == 0:
        ways += ["today", "today", "today", "earlier today", "this morning"]
    elif before == 1:
        ways += ["yesterday", "yesterday", "yesterday", "yesterday evening"]
    elif before == 2:
        ways += ["two days ago"]
    if 1 <= before <= 6:
        weekday = _WEEKDAYS[day.weekday()]
        ways += [weekday, f"on {weekday}", f"late {weekday}"]
    return rng.choice(ways)


def opening_day(when: str) -> str:
    """The same words at the start of a sentence: `Tuesday` -> `On Tuesday`."""
    return f"On {when}" if when in _WEEKDAYS else sentence_case(when)
