"""What rollouts were asked and answered, on disk, so that a killed server forgets nothing that it answered.

A record is handed to the operating system before its answer leaves: it outlives the process however that ends. It is
not waited for until it is on the disk, so a machine that loses power may lose the last ones; a journal from before the
machine's last boot is therefore not believed, and its rollouts are lost.

The folder holds the key of the rollouts' tokens, and what was asked and answered: ground truths too. It is private to
its user. Segments are deleted as soon as no open rollout needs them. A segment begins with the list of rollouts that
were open at that time, so that one whose end stood in a deleted segment does not come back.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import time
from array import array
from collections import OrderedDict
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from envport_protocol.errors import InfraError, ServeError
from envport_protocol.hosting.segment import DamagedError, Kind, Record, Segment, records

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

log = logging.getLogger("envport.protocol")

_SECRET_BYTES = 32
_SMALL_BYTES = 2**20
"""The segment being written is left for a new one when nothing in it is needed, but not below this."""
_ENDED_KEPT = 4096
"""So many ids of rollouts that ended last outlive the segments in which they ended."""
_OFFSET_BITS = 40
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


@dataclass(slots=True)
class _Entry:
    at: float
    """Time of the last record."""
    keeps_calls: bool
    is_held: bool = False
    places: array[int] = field(default_factory=lambda: array("Q"))
    """Its records, oldest first: the segment's number, and in the low 40 bits the offset there. Empty: unreadable."""


class Journal:
    """The journal of one host, for the thread of its event loop only."""

    def __init__(
        self,
        folder: Path,
        identity: Mapping[str, str | None],
        lock: int,
        *,
        idle_timeout_s: float,
        segment_bytes: int,
        clock: Callable[[], float],
    ) -> None:
        self._folder = folder
        self._identity = {**identity, "boot": _boot_id()}
        self._lock = lock
        self._idle_timeout_s = idle_timeout_s
        self._segment_bytes = segment_bytes
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._segments: dict[int, Segment] = {}
        self._ended = OrderedDict[str, None]()
        self._active: Segment | None = None
        self._held_until = float("inf")
        self.secret = journal_secret(folder)
        """Key of the rollouts' tokens: the same each time this folder is opened."""

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
        with _serve_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
            lock = _locked(folder)
            try:
                journal = cls(
                    folder, identity, lock, idle_timeout_s=idle_timeout_s, segment_bytes=segment_bytes, clock=clock
                )
                journal._recover()
            except BaseException:
                os.close(lock)
                raise
            return journal

    @property
    def size_bytes(self) -> int:
        """How much it takes on disk."""
        return sum(segment.size for segment in self._segments.values())

    @property
    def ended_ids(self) -> list[str]:
        """The rollouts that ended last, before this process or in it, the last one last."""
        return [*self._ended]

    def holds(self, rollout_id: str) -> bool:
        """Whether an earlier process left it open, less than the idle timeout before now."""
        entry = self._entries.get(rollout_id)
        return entry is not None and entry.is_held and entry.at + self._idle_timeout_s > self._clock()

    def read(self, rollout_id: str) -> Recovered | None:
        """What an earlier process journaled of it; None where that is no more to be had, or of another environment.

        The caller rebuilds the rollout and says so by `resumed`, or else by `forget` that it is lost.
        """
        entry = self._entries.get(rollout_id)
        if entry is None or not entry.places:
            return None
        entry.at = self._clock()
        try:
            start, *calls = (self._segments[place >> _OFFSET_BITS].read(_offset(place)) for place in entry.places)
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
            InfraError: it could not be written.
        """
        before = self._entries.pop(rollout_id, None)
        if before is not None:
            self._release(before)
        self._ended.pop(rollout_id, None)
        self._start(rollout_id, request if keep_calls else b"", answer if keep_calls else b"", keep_calls)

    def called(self, rollout_id: str, key: str, request: bytes, answer: bytes, is_error: bool = False) -> None:
        """A call of a rollout was answered. Of one that ended meanwhile, nothing is kept.

        Raises:
            InfraError: it could not be written, so it must not be answered.
        """
        entry = self._entries.get(rollout_id)
        if entry is None:
            return
        now = self._clock()
        if entry.keeps_calls:
            kind = Kind.FAILED if is_error else Kind.CALLED
            self._add(entry, Record(kind, now, rollout_id, key, request, answer))
        elif now - entry.at > self._idle_timeout_s / 4:
            self._start(rollout_id, b"", b"", keep_calls=False)

    def ended(self, rollout_id: str) -> None:
        """A rollout was ended or expired; its records are needed no more.

        Raises:
            InfraError: that could not be written.
        """
        entry = self._entries.pop(rollout_id, None)
        if entry is None:
            return
        self._release(entry)
        self._bury(rollout_id)
        self._append(Record(Kind.ENDED, self._clock(), rollout_id))
        active = self._active
        if active is not None and not active.live and active.written > min(_SMALL_BYTES, self._segment_bytes):
            self._rotate()

    def resumed(self, rollout_id: str) -> None:
        """A rollout of an earlier process was rebuilt: from now on it is one of this process."""
        entry = self._entries.get(rollout_id)
        if entry is not None:
            entry.is_held = False
            entry.at = self._clock()

    def forget(self, rollout_id: str) -> None:
        """A rollout of an earlier process is lost; like `ended`."""
        self.ended(rollout_id)

    def close(self) -> None:
        """Lets the folder go. What is open stays journaled."""
        if self._active is not None:
            self._active.close()
            self._active = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _start(self, rollout_id: str, request: bytes, answer: bytes, keep_calls: bool) -> None:
        now = self._clock()
        self._expire_held(now)
        entry = _Entry(now, keep_calls)
        kind = Kind.STARTED if keep_calls else Kind.STARTED_WITHOUT_CALLS
        self._add(entry, Record(kind, now, rollout_id, "", request, answer))
        self._entries[rollout_id] = entry

    def _add(self, entry: _Entry, record: Record) -> None:
        offset = self._append(record)
        entry.at = record.at
        active = self._active
        if active is not None and entry.keeps_calls:
            if not entry.places or entry.places[-1] >> _OFFSET_BITS != active.number:
                active.live += 1
            entry.places.append(active.number << _OFFSET_BITS | offset)

    def _append(self, record: Record) -> int:
        try:
            active = self._active
            if active is None or not active.is_open:
                active = self._next_segment()
            elif active.size >= self._segment_bytes:
                active = self._rotate()
            return active.append(record)
        except OSError as error:
            raise InfraError(
                f"this was not answered since the journal {self._folder} could not be written: {error}; make room on "
                "that disk"
            ) from error

    def _rotate(self) -> Segment:
        """A new segment, or still the old one where none could be made: then writing to it will tell."""
        try:
            return self._next_segment()
        except OSError as error:
            log.warning("the journal %s goes on in an old segment: %s", self._folder, error)
            assert self._active is not None
            return self._active

    def _next_segment(self) -> Segment:
        self._expire_held(self._clock())
        number = max(self._segments, default=0) + 1
        first = {
            "identity": self._identity,
            "open": {rollout_id: entry.at for rollout_id, entry in self._entries.items()},
            "ended": [*self._ended],
        }
        record = Record(Kind.OPENED, self._clock(), request=orjson.dumps(first))
        segment = Segment.create(self._folder / f"segment-{number:08}.log", number, record)
        if self._active is not None:
            self._active.close()
        self._segments[number] = self._active = segment
        for other in [other for other in self._segments.values() if not other.live and other is not segment]:
            self._delete(other)
        return segment

    def _release(self, entry: _Entry) -> None:
        for number in {place >> _OFFSET_BITS for place in entry.places}:
            segment = self._segments[number]
            segment.live -= 1
            if not segment.live and segment is not self._active:
                self._delete(segment)

    def _delete(self, segment: Segment) -> None:
        segment.close()
        del self._segments[segment.number]
        try:
            segment.path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("the journal's %s could not be deleted: %s", segment.path, error)

    def _bury(self, rollout_id: str) -> None:
        self._ended[rollout_id] = None
        if len(self._ended) > _ENDED_KEPT:
            self._ended.popitem(last=False)

    def _expire_held(self, now: float) -> None:
        if now < self._held_until:
            return
        held = {rollout_id: entry for rollout_id, entry in self._entries.items() if entry.is_held}
        for rollout_id, entry in held.items():
            if entry.at + self._idle_timeout_s <= now:
                del self._entries[rollout_id]
                self._release(entry)
        self._hold_until_due()

    def _hold_until_due(self) -> None:
        held = [entry.at for entry in self._entries.values() if entry.is_held]
        self._held_until = min(held, default=float("inf")) + self._idle_timeout_s

    def _recover(self) -> None:
        for path in sorted(self._folder.glob("segment-*.log")):
            segment = Segment(path, int(path.stem.removeprefix("segment-")), 0)
            data = path.read_bytes()
            self._segments[segment.number] = segment
            segment.size = len(data)
            try:
                self._learn(segment.number, data)
            except DamagedError as damage:
                self._mend(segment, damage)
        for entry in self._entries.values():
            entry.is_held = True
            for number in {place >> _OFFSET_BITS for place in entry.places}:
                self._segments[number].live += 1
        self._held_until = 0.0
        self._next_segment()

    def _learn(self, number: int, data: bytes) -> None:
        is_ours = False
        for offset, record in records(data):
            if record.kind is Kind.OPENED:
                try:
                    is_ours = self._opened(record)
                except (KeyError, TypeError, AttributeError, ValueError):
                    raise DamagedError(offset, is_torn=False) from None
            elif record.kind is Kind.ENDED:
                self._entries.pop(record.rollout_id, None)
                self._bury(record.rollout_id)
            else:
                self._learn_record(number << _OFFSET_BITS | offset, record, is_ours)

    def _learn_record(self, place: int, record: Record, is_ours: bool) -> None:
        if record.kind is Kind.STARTED:
            self._ended.pop(record.rollout_id, None)
            entry = self._entries[record.rollout_id] = _Entry(record.at, keeps_calls=is_ours)
        elif record.kind is Kind.STARTED_WITHOUT_CALLS:
            self._ended.pop(record.rollout_id, None)
            entry = self._entries[record.rollout_id] = _Entry(record.at, keeps_calls=False)
        else:
            entry = self._entries.setdefault(record.rollout_id, _Entry(record.at, keeps_calls=False))
            entry.at = record.at
        if entry.keeps_calls and is_ours:
            entry.places.append(place)
        else:
            _make_unreadable(entry)

    def _opened(self, record: Record) -> bool:
        """Takes over what was open and what had ended; whether the segment's records can be believed."""
        first: dict[str, Any] = orjson.loads(record.request)
        was_open: dict[str, float] = first["open"]
        self._entries = {
            rollout_id: self._entries.get(rollout_id) or _Entry(at, keeps_calls=False)
            for rollout_id, at in was_open.items()
        }
        self._ended = OrderedDict.fromkeys(first["ended"])
        return bool(first["identity"] == self._identity)

    def _mend(self, segment: Segment, damage: DamagedError) -> None:
        if damage.is_torn:
            log.info("the journal's %s ends in a torn record, which is cut off", segment.path)
            os.truncate(segment.path, damage.offset)
            segment.size = damage.offset
            return
        aside = segment.path.with_suffix(".damaged")
        segment.path.replace(aside)
        del self._segments[segment.number]
        for entry in self._entries.values():
            _make_unreadable(entry)
        log.error(
            "the journal's %s is damaged from byte %d on: set aside as %s; the %d rollouts that were open are lost",
            segment.path,
            damage.offset,
            aside.name,
            len(self._entries),
        )


def journal_secret(folder: Path) -> bytes:
    """The 32 random bytes that this folder keeps, made at the first time.

    Raises:
        ServeError: they can be neither read nor written.
    """
    path = folder / "key"
    with _serve_errors(folder):
        if not path.exists():
            part = folder / f"key.{secrets.token_hex(8)}.part"
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.write(descriptor, secrets.token_bytes(_SECRET_BYTES))
                os.fsync(descriptor)
                # Linked, not moved: where two processes make one at a time, the first counts for both.
                with suppress(FileExistsError):
                    path.hardlink_to(part)
            finally:
                os.close(descriptor)
                part.unlink()
        secret = path.read_bytes()
    if len(secret) != _SECRET_BYTES:
        raise ServeError(f"{path} has {len(secret)} bytes, not {_SECRET_BYTES}: delete it, and a new key is made")
    return secret


def _make_unreadable(entry: _Entry) -> None:
    entry.keeps_calls = False
    del entry.places[:]


def _offset(place: int) -> int:
    return place & (1 << _OFFSET_BITS) - 1


def _locked(folder: Path) -> int:
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise ServeError(
            f"another server has the journal {folder} open; stop it, or choose another folder for this one"
        ) from None
    return lock


def _boot_id() -> str | None:
    """Names the time since the machine booted; None where the system does not tell."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return None


@contextmanager
def _serve_errors(folder: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise ServeError(f"the journal {folder} cannot be used: {error}") from error
