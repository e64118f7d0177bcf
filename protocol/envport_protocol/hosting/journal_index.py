"""Which rollouts are open in a journal's segments, and where their records stand: learnt by reading the files."""

from __future__ import annotations

import logging
import os
from array import array
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from envport_protocol.hosting.segment import DamagedError, Kind, Record, Segment, moved_records, records

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

log = logging.getLogger("envport.protocol")

_ENDED_KEPT = 4096
"""So many ids of rollouts that ended last outlive the segments in which they ended."""
_OFFSET_BITS = 40


@dataclass(slots=True)
class Entry:
    """An open rollout."""

    at: float
    """Time of its last record, in seconds since 1970."""
    keeps_calls: bool
    """False where it cannot be rebuilt."""
    is_held: bool = False
    """An earlier process began it."""
    is_read: bool = False
    """This process went on with it."""
    size: int = 0
    """Bytes of its records."""
    places: array[int] = field(default_factory=lambda: array("Q"))
    """Its records, oldest first: the segment's number, and in the low 40 bits the offset there."""

    def add(self, segment: Segment, offset: int, size: int) -> bool:
        """Notes a record; whether it is the first one in this segment since the last in another."""
        is_first = not self.places or self.places[-1] >> _OFFSET_BITS != segment.number
        self.places.append(segment.number << _OFFSET_BITS | offset)
        self.size += size
        return is_first

    def where(self) -> Iterator[tuple[int, int]]:
        """Segment number and offset of each record."""
        return ((place >> _OFFSET_BITS, place & (1 << _OFFSET_BITS) - 1) for place in self.places)

    def segments(self) -> set[int]:
        """The numbers of the segments that hold a record of it."""
        return {place >> _OFFSET_BITS for place in self.places}

    @property
    def is_left(self) -> bool:
        """Whether it is as an earlier process left it; so it stays for the idle timeout."""
        return self.is_held and not self.is_read

    def give_up(self) -> None:
        """It cannot be rebuilt any more; only that it was open stays known."""
        self.keeps_calls = False
        self.size = 0
        del self.places[:]


class JournalIndex:
    """The open rollouts of one journal, its segments by number, and the ids that ended last."""

    def __init__(self, identity: Mapping[str, str | None]) -> None:
        self._identity = dict(identity)
        self.entries: dict[str, Entry] = {}
        self.segments: dict[int, Segment] = {}
        self.ended = OrderedDict[str, None]()

    def first_record(self, at: float) -> Record:
        """The first record of a new segment: all that must be known of the segments before it."""
        first = {
            "identity": self._identity,
            "open": {rollout_id: [entry.at, entry.keeps_calls] for rollout_id, entry in self.entries.items()},
            "ended": [*self.ended],
        }
        return Record(Kind.OPENED, at, request=orjson.dumps(first))

    def bury(self, rollout_id: str) -> None:
        """Remembers an id as ended."""
        self.ended[rollout_id] = None
        if len(self.ended) > _ENDED_KEPT:
            self.ended.popitem(last=False)

    def learn(self, folder: Path) -> None:
        """Reads every segment of the folder. Torn ends are cut off, damaged files set aside.

        Raises:
            OSError: a file cannot be read.
        """
        for path in sorted(folder.glob("segment-*.log")):
            digits = path.stem.removeprefix("segment-")
            if digits.isascii() and digits.isdecimal():
                self._learn_file(path, int(digits))
        for entry in self.entries.values():
            entry.is_held = True
            for number in entry.segments():
                self.segments[number].live += 1

    def _learn_file(self, path: Path, number: int) -> None:
        data = path.read_bytes()
        segment = self.segments[number] = Segment(path, number, len(data))
        try:
            self._learn_records(segment, data)
        except DamagedError as damage:
            if damage.is_torn:
                log.info("%s ends in a torn record, which is cut off", path)
                os.truncate(path, damage.offset)
                segment.size = damage.offset
            else:
                self._set_aside(segment, damage)

    def _learn_records(self, segment: Segment, data: bytes) -> None:
        is_ours = False
        for offset, record in records(data):
            if record.kind is Kind.OPENED:
                is_ours = self._learn_first(record, offset)
            elif record.kind is Kind.ENDED:
                self.entries.pop(record.rollout_id, None)
                self.bury(record.rollout_id)
            elif record.kind is Kind.MOVED:
                for moved_offset, moved in moved_records(offset, record):
                    self._learn_record(segment, moved_offset, moved, is_ours)
            else:
                self._learn_record(segment, offset, record, is_ours)

    def _learn_record(self, segment: Segment, offset: int, record: Record, is_ours: bool) -> None:
        entry = self.entries.get(record.rollout_id)
        if entry is None or record.kind in (Kind.STARTED, Kind.STARTED_WITHOUT_CALLS):
            self.ended.pop(record.rollout_id, None)
            keeps_calls = is_ours and record.kind is Kind.STARTED
            entry = self.entries[record.rollout_id] = Entry(record.at, keeps_calls)
        entry.at = record.at
        if record.kind is Kind.USED:
            return
        if entry.keeps_calls and is_ours:
            entry.add(segment, offset, record.size)
        else:
            entry.give_up()

    def _learn_first(self, record: Record, offset: int) -> bool:
        """Takes over what was open and what had ended; whether the segment's records are of this identity."""
        try:
            first: dict[str, Any] = orjson.loads(record.request)
            was_open = {rollout_id: (float(at), bool(kept)) for rollout_id, (at, kept) in first["open"].items()}
            self.ended = OrderedDict.fromkeys(first["ended"])
            is_ours = bool(first["identity"] == self._identity)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise DamagedError(offset, is_torn=False) from None
        before, self.entries = self.entries, {}
        for rollout_id, (at, keeps_calls) in was_open.items():
            entry = self.entries[rollout_id] = before.get(rollout_id) or Entry(at, keeps_calls=False)
            entry.at = at
            if not keeps_calls:
                entry.give_up()  # of another start than the records before, or some of its records are gone
        return is_ours

    def _set_aside(self, segment: Segment, damage: DamagedError) -> None:
        aside = segment.path.with_suffix(".damaged")
        segment.path.replace(aside)
        del self.segments[segment.number]
        for entry in self.entries.values():
            entry.give_up()
        log.error(
            "%s is damaged from byte %d on: set aside as %s; the rollouts that were open then are lost",
            segment.path,
            damage.offset,
            aside.name,
        )
