"""What rollouts were asked and answered, on disk, so that a killed server forgets nothing that it answered.

A record is handed to the operating system before its answer leaves: it outlives the process however that ends. It is
not waited for until it is on the disk, so a machine that loses power may lose the last ones; a journal from before the
machine's last boot is therefore not believed, and its rollouts are lost.

The folder holds the key of the rollouts' tokens, and what was asked and answered: ground truths too. It is private to
its user. A segment is deleted as soon as no open rollout needs it. Each begins with the list of the rollouts that were
open at that time, so that one whose end stood in a deleted segment does not come back.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from envport_protocol.errors import InfraError
from envport_protocol.hosting.journal_folder import journal_boundary, journal_secret, locked_folder
from envport_protocol.hosting.journal_index import Entry, JournalIndex
from envport_protocol.hosting.segment import DamagedError, Kind, Record, Segment, moved, moved_records

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

log = logging.getLogger("envport.protocol")

_SMALL_BYTES = 2**20
"""The segment being written is left for a new one when nothing in it is needed, but not below this."""
_OPEN_SEGMENTS = 4
"""Rollouts that live longer than it takes to write so many segments are moved on, if most of these is not needed."""
_USED_PER_IDLE = 4
"""A rollout that is in use, but calls nothing, is recorded so often in an idle timeout."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class JournaledCall(NamedTuple):
    """A call that was answered. `answer` is its body, that of an error where `is_error`."""

    key: str
    request: bytes
    answer: bytes
    is_error: bool


class Recovered(NamedTuple):
    """A rollout as an earlier process left it; its calls in the order in which they were completed."""

    start_request: bytes
    start_answer: bytes
    calls: list[JournaledCall]


class Journal:
    """The journal of one host, for the thread of its event loop only. Made by `Journal.open`."""

    def __init__(
        self,
        folder: Path,
        index: JournalIndex,
        lock: int,
        *,
        idle_timeout_s: float,
        segment_bytes: int,
        clock: Callable[[], float],
    ) -> None:
        self._folder = folder
        self._index = index
        self._lock = lock
        self._idle_timeout_s = idle_timeout_s
        self._segment_bytes = segment_bytes
        self._clock = clock
        self._unwritten_ends: list[str] = []
        self._held_until = 0.0
        """Before this, no held rollout expires."""
        self.secret = journal_secret(folder)
        """Key of the rollouts' tokens: the same each time this folder is opened."""
        self._active = self._next_segment()

    @classmethod
    def open(
        cls,
        folder: Path,
        identity: Mapping[str, str | None],
        *,
        idle_timeout_s: float,
        segment_bytes: int = 64 * 2**20,
        clock: Callable[[], float] = time.time,
    ) -> Journal:
        """The journal in this folder, which is made where there is none, for this process alone.

        `identity` is what the answers depend on: the environment, its version, its options. Rollouts that were
        journaled under another one cannot be read. Files that are damaged are set aside, and logged.

        Raises:
            ServeError: another process has it open, or the folder cannot be read and written.
        """
        with journal_boundary(folder):
            lock = locked_folder(folder)
            try:
                index = JournalIndex({**identity, "boot": _boot_id()})
                index.learn(folder)
                return cls(folder, index, lock, idle_timeout_s=idle_timeout_s, segment_bytes=segment_bytes, clock=clock)
            except BaseException:
                os.close(lock)
                raise

    @property
    def size_bytes(self) -> int:
        """How much it takes on disk."""
        return sum(segment.size for segment in self._index.segments.values())

    @property
    def ended_ids(self) -> list[str]:
        """The rollouts that ended last, the latest last: in this process, or before it."""
        return [*self._index.ended]

    def holds(self, rollout_id: str) -> bool:
        """Whether an earlier process left it open, and it was read since or is younger than the idle timeout."""
        entry = self._index.entries.get(rollout_id)
        if entry is None or not entry.is_held:
            return False
        return not entry.is_left or entry.at + self._idle_timeout_s > self._clock()

    def read(self, rollout_id: str) -> Recovered | None:
        """What an earlier process journaled of it; None where that is not to be had, or of another environment.

        From now on it does not expire by itself: who reads it goes on with it, or says that it is lost.
        """
        entry = self._index.entries.get(rollout_id)
        if entry is None or not entry.places:
            return None
        entry.is_read = True
        try:
            start, *calls = self._history(entry)
        except (OSError, DamagedError) as error:
            log.error("the rollout %r cannot be read from the journal %s: %s", rollout_id, self._folder, error)
            return None
        return Recovered(
            start.request,
            start.answer,
            [JournaledCall(call.key, call.request, call.answer, call.kind is Kind.FAILED) for call in calls],
        )

    def started(self, rollout_id: str, request: bytes, answer: bytes, keep_calls: bool) -> None:
        """A rollout was started. Without `keep_calls` only that it was: it will be lost.

        Raises:
            InfraError: it could not be written, so it must not be answered.
        """
        self._drop(rollout_id)
        self._index.ended.pop(rollout_id, None)
        now = self._clock()
        self._expire_held(now)
        entry = Entry(now, keep_calls)
        if keep_calls:
            self._add(entry, Record(Kind.STARTED, now, rollout_id, "", request, answer))
        else:
            self._append(Record(Kind.STARTED_WITHOUT_CALLS, now, rollout_id))
        self._index.entries[rollout_id] = entry

    def called(self, rollout_id: str, key: str, request: bytes, answer: bytes, is_error: bool = False) -> None:
        """A call of a rollout was answered. Of one that ended meanwhile, nothing is kept.

        Raises:
            InfraError: it could not be written, so it must not be answered.
        """
        entry = self._index.entries.get(rollout_id)
        if entry is None or entry.is_left:
            return
        if entry.keeps_calls:
            kind = Kind.FAILED if is_error else Kind.CALLED
            self._add(entry, Record(kind, self._clock(), rollout_id, key, request, answer))
        else:
            self.used(rollout_id)

    def used(self, rollout_id: str) -> None:
        """Something was asked of a rollout, so it is not idle. Written only now and then, and never a failure."""
        entry = self._index.entries.get(rollout_id)
        now = self._clock()
        if entry is None or entry.is_left or now - entry.at < self._idle_timeout_s / _USED_PER_IDLE:
            return
        try:
            self._append(Record(Kind.USED, now, rollout_id))
        except InfraError as error:
            log.warning("that the rollout %r is in use was not journaled: %s", rollout_id, error)
        else:
            entry.at = now

    def ended(self, rollout_id: str) -> None:
        """A rollout was ended or expired: its records are needed no more.

        Where that cannot be written it is logged, and written before the next record. A restart before that finds the
        rollout open, until it is idle for too long.
        """
        if not self._drop(rollout_id):
            return
        self._index.bury(rollout_id)
        self._unwritten_ends.append(rollout_id)
        try:
            self._write_ends()
        except InfraError as error:
            log.warning("the end of the rollout %r was not journaled: %s", rollout_id, error)
        if not self._active.live and self._active.written > min(_SMALL_BYTES, self._segment_bytes):
            self._rotate()

    def close(self) -> None:
        """Lets the folder go. What is open stays journaled."""
        self._active.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _write_ends(self) -> None:
        while self._unwritten_ends:
            self._append_now(Record(Kind.ENDED, self._clock(), self._unwritten_ends[0]))
            self._unwritten_ends.pop(0)

    def _add(self, entry: Entry, record: Record) -> None:
        offset = self._append(record)
        entry.at = record.at
        if entry.add(self._active, offset, self._active.size - offset):
            self._active.live += 1

    def _append(self, record: Record) -> int:
        if self._unwritten_ends:
            self._write_ends()
        return self._append_now(record)

    def _append_now(self, record: Record) -> int:
        if self._lock < 0:
            raise InfraError(f"the journal {self._folder} is closed: the server stops")
        try:
            if not self._active.is_open:
                self._active = self._next_segment()
            elif self._active.size >= self._segment_bytes:
                self._rotate()
                self._compact()
            return self._active.append(record)
        except OSError as error:
            raise InfraError(
                f"this was not answered since the journal {self._folder} could not be written: {error}; make room on "
                "that disk"
            ) from error

    def _rotate(self) -> None:
        # Where no new segment can be made, the old one goes on: writing to it tells whether the disk is full.
        try:
            self._active = self._next_segment()
        except OSError as error:
            log.warning("the journal %s goes on in a full segment: %s", self._folder, error)

    def _next_segment(self) -> Segment:
        self._expire_held(self._clock())
        segments = self._index.segments
        number = max(segments, default=0) + 1
        first = self._index.first_record(self._clock())
        segment = Segment.create(self._folder / f"segment-{number:08}.log", number, first)
        for other in [*segments.values()]:
            other.close()
            if not other.live:
                self._delete(other)
        segments[number] = segment
        return segment

    def _compact(self) -> None:
        """Moves rollouts out of old segments, while less than half of what is on disk is needed."""
        for number in sorted(self._index.segments)[:-1]:
            needed = sum(entry.size for entry in self._index.entries.values())
            if self.size_bytes <= 2 * needed + _OPEN_SEGMENTS * self._segment_bytes:
                return
            for rollout_id, entry in self._index.entries.items():
                if number in entry.segments() and entry.size <= self._segment_bytes:
                    self._move(rollout_id, entry)

    def _move(self, rollout_id: str, entry: Entry) -> None:
        try:
            record = moved(rollout_id, entry.at, self._history(entry))
        except DamagedError:
            return
        offset = self._active.append(record)
        before = entry.segments()
        del entry.places[:]
        entry.size = 0
        self._active.live += self._active.number not in before
        for inner_offset, inner in moved_records(offset, record):
            entry.add(self._active, inner_offset, inner.size)
        self._unneeded(before - {self._active.number})

    def _history(self, entry: Entry) -> list[Record]:
        return [self._index.segments[number].read(offset) for number, offset in entry.where()]

    def _drop(self, rollout_id: str) -> bool:
        entry = self._index.entries.pop(rollout_id, None)
        if entry is None:
            return False
        self._unneeded(entry.segments())
        return True

    def _unneeded(self, numbers: set[int]) -> None:
        """One rollout less needs each of these segments."""
        for number in numbers:
            segment = self._index.segments[number]
            segment.live -= 1
            if not segment.live and not segment.is_open:
                self._delete(segment)

    def _delete(self, segment: Segment) -> None:
        del self._index.segments[segment.number]
        try:
            segment.path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s is needed no more, but could not be deleted: %s", segment.path, error)

    def _expire_held(self, now: float) -> None:
        if now < self._held_until:
            return
        held = {rollout_id: entry.at for rollout_id, entry in self._index.entries.items() if entry.is_left}
        for rollout_id in [rollout_id for rollout_id, at in held.items() if at + self._idle_timeout_s <= now]:
            self._drop(rollout_id)
            del held[rollout_id]
        self._held_until = min(held.values(), default=float("inf")) + self._idle_timeout_s


def _boot_id() -> str | None:
    """Names the time since the machine booted; None where the system does not tell."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return None
