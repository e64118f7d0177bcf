"""What the model is told: the fields, two worked examples, and how to answer.

The answer's layout is the shortest that keeps the field names: no spaces, a list of one value bare, and what is 0,
false or not told left out. That makes 58 tokens of an answer that takes 102 in full, and a small model that writes
fewer tokens loses its way less often. The examples' events differ in nearly every field, so that copying either scores
low. They are given as earlier turns of the conversation: a model of 135M parameters that finds them in the system
prompt answers in prose.
"""

from __future__ import annotations

import json
from typing import Final

from envport_protocol import Message

from envport_extraction.events import Event

EXAMPLES: Final = (
    (
        "KABUL (March 2, 2012) - In Waras district, Bamian province, troops in search of a Hezb-e Islami Gulbuddin "
        "commander killed him and several fighters yesterday and arrested a couple of others.",
        Event(
            start_date="2012-03-01",
            province=("bamyan",),
            event_type=("captureandkill",),
            target_group=("hig",),
            min_killed=4,
            min_captured=2,
            killq=True,
            captureq=True,
            killcaptureraid=True,
            airstrike=False,
            noshotsfired=False,
            min_leaders_killed=1,
            min_leaders_captured=0,
        ),
    ),
    (
        "KABUL, Afghanistan (June 14, 2010) - A security force stopped a car in Anar Dara district, Farah province, "
        "today and detained three Taliban fighters. No shots were fired. Last week four men were killed in Khost.",
        Event(
            start_date="2010-06-14",
            province=("farah",),
            event_type=("detention",),
            target_group=("taliban",),
            min_killed=0,
            min_captured=3,
            killq=False,
            captureq=True,
            killcaptureraid=False,
            airstrike=False,
            noshotsfired=True,
            min_leaders_killed=0,
            min_leaders_captured=0,
        ),
    ),
)
"""Texts with their events."""


def compact_json(event: Event) -> str:
    """The event as an answer in its shortest layout."""
    return json.dumps(event.to_answer(), separators=(",", ":"), ensure_ascii=False)


SYSTEM_PROMPT: Final = """Read the press release. Answer with one JSON object on its first incident and nothing else.
Leave out what is 0, false or not told.
event_type: detention, insurgentskilled, captureandkill, airstrike, exchangeoffire or civiliancasualty
target_group: taliban, haqqani, hig, imu, aq or another
min_: the least number; several is 3
noshotsfired: the text says so
killcaptureraid: a certain person was sought"""


def task_messages(text: str) -> tuple[Message, ...]:
    """The whole conversation that a task begins with: instructions, the worked examples, the release."""
    return (*_OPENING, Message(role="user", content=text))


_OPENING: Final = (
    Message(role="system", content=SYSTEM_PROMPT),
    *(
        message
        for text, event in EXAMPLES
        for message in (Message(role="user", content=text), Message(role="assistant", content=compact_json(event)))
    ),
)
