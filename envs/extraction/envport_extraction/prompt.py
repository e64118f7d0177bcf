"""What the model is told: the fields, one worked example, and how to answer.

Short on purpose (under 330 tokens of a small model's tokenizer): every token of it is read again for every task. The
answer's layout is the shortest that keeps the field names: no spaces, and a list of one value written bare. The
example's event is an unusual one, so that copying it scores low. It is given as an earlier turn of the conversation:
a model of 135M parameters that finds it in the system prompt answers in prose.
"""

from __future__ import annotations

import json
from typing import Final

from envport_protocol import Message

from envport_extraction.events import Event

EXAMPLE_TEXT: Final = (
    "KABUL (March 2, 2012) - In Waras district, Bamian province, troops in search of a Hezb-e Islami Gulbuddin "
    "commander killed him and several fighters yesterday and arrested a couple of others. "
    "Last week four men were detained in Farah."
)
EXAMPLE_EVENT: Final = Event(
    start_date="2012-03-01",
    event_type=("captureandkill",),
    province=("bamyan",),
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
)


def compact_json(event: Event) -> str:
    """The event as an answer in its shortest layout."""
    return json.dumps(event.to_answer(), separators=(",", ":"), ensure_ascii=False)


SYSTEM_PROMPT: Final = """Read the press release. Answer with one JSON object on its first incident and nothing else.
event_type: detention, insurgentskilled, captureandkill, airstrike, exchangeoffire or civiliancasualty
target_group: taliban, haqqani, hig, imu, aq or another
min_: the least number; several is 3
noshotsfired: the text says so
killcaptureraid: a certain person was sought
Not told: "unknown\""""


def user_message(text: str) -> str:
    """The user's turn of a task."""
    return f"Release: {text}\nAnswer:"


def task_messages(text: str) -> tuple[Message, ...]:
    """The whole conversation that a task begins with: instructions, the worked example, the release."""
    return (*_OPENING, Message(role="user", content=user_message(text)))


_OPENING: Final = (
    Message(role="system", content=SYSTEM_PROMPT),
    Message(role="user", content=user_message(EXAMPLE_TEXT)),
    Message(role="assistant", content=compact_json(EXAMPLE_EVENT)),
)
