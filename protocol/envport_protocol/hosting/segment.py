"""One file of the journal: whole records, each written by one system call, each with its length and its checksum.

A record is `length, ~length, crc32` and then as many bytes: kind, time, id, key and two bodies. A writer that was
killed leaves a last record that is too short, and nothing else; whatever else does not fit is damage.
"""

from __future__ import annotations

import errno
import os
import struct
from contextlib import suppress
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_HEAD = struct.Struct("<III")
_FIELDS = struct.Struct("<BdHHI")
_ALL_ONES = 0xFFFFFFFF


class Kind(IntEnum):
    """What a record tells. The numbers stand in files: they stay."""

    OPENED = 1
    """The first of every segment: whose journal it is, and which rollouts were open when it began."""
    STARTED = 2
    STARTED_WITHOUT_CALLS = 3
    """A rollout that cannot be rebuilt: only that there was one."""
    CALLED = 4
    FAILED = 5
    """A call that ended in an error."""
    ENDED = 6
    MOVED = 7
    """All records of a rollout again, in one, so that those before it are needed no more."""
    USED = 8
    """Something was asked of a rollout that changed nothing."""


class Record(NamedTuple):
    """One record. `at` is seconds since 1970."""

    kind: Kind
    at: float
    rollout_id: str = ""
    key: str = ""
    request: bytes = b""
    answer: bytes = b""

    @property
    def size(self) -> int:
        """Its bytes in a segment."""
        texts = len(self.rollout_id.encode()) + len(self.key.encode())
        return _HEAD.size + _FIELDS.size + texts + len(self.request) + len(self.answer)


class DamagedError(Exception):
    """A segment cannot be read from `offset` on. `is_torn`: by a writer that was killed in its last record."""

    def __init__(self, offset: int, *, is_torn: bool) -> None:
        super().__init__(f"unreadable from byte {offset} on")
        self.offset = offset
        self.is_torn = is_torn


class Segment:
    """A file of records. Only its writer changes it; `live` counts the rollouts that need it."""

    __slots__ = ("_fd", "_first_bytes", "live", "number", "path", "size")

    def __init__(self, path: Path, number: int, size: int) -> None:
        self.path = path
        self.number = number
        self.size = size
        self.live = 0
        self._fd = -1
        self._first_bytes = 0

    @classmethod
    def create(cls, path: Path, number: int, first: Record) -> Segment:
        """A new file with its first record.

        Raises:
            OSError: it could not be written; then it is not there.
        """
        segment = cls(path, number, 0)
        segment._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            segment.append(first)
        except BaseException:
            segment.close()
            path.unlink()
            raise
        segment._first_bytes = segment.size
        return segment

    @property
    def written(self) -> int:
        """Bytes of records after the first."""
        return self.size - self._first_bytes

    def append(self, record: Record) -> int:
        """Writes a record, whole or not at all; where it begins.

        Raises:
            OSError: the disk is full or failed.
        """
        head, body = _packed(record)
        expected = _HEAD.size + len(body)
        try:
            written = os.writev(self._fd, (head, body))
            if written != expected:
                raise OSError(errno.ENOSPC, f"{written} of {expected} bytes were written", str(self.path))
        except OSError:
            self._give_up()
            raise
        offset = self.size
        self.size = offset + expected
        return offset

    def read(self, offset: int) -> Record:
        """The record that begins there.

        Raises:
            OSError, DamagedError: it cannot be read.
        """
        with self.path.open("rb") as file:
            file.seek(offset)
            head = file.read(_HEAD.size)
            length = _HEAD.unpack(head)[0] if len(head) == _HEAD.size else 0
            return next(iter(records(head + file.read(length))))[1]

    @property
    def is_open(self) -> bool:
        """Whether records can be added; not after one failed, since a part of it may stand in the file."""
        return self._fd >= 0

    def close(self) -> None:
        """Nothing more is written."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _give_up(self) -> None:
        if self._fd >= 0:
            with suppress(OSError):
                os.ftruncate(self._fd, self.size)
            self.close()


def records(data: bytes) -> Iterator[tuple[int, Record]]:
    """The records of a segment's bytes, with where each begins.

    Raises:
        DamagedError: what follows the last one given is not a whole record.
    """
    offset, end = 0, len(data)
    while offset < end:
        if end - offset < _HEAD.size:
            raise DamagedError(offset, is_torn=True)
        length, inverse, checksum = _HEAD.unpack_from(data, offset)
        if length ^ _ALL_ONES != inverse:
            raise DamagedError(offset, is_torn=False)
        begin = offset + _HEAD.size
        if end - begin < length:
            raise DamagedError(offset, is_torn=True)
        body = data[begin : begin + length]
        if crc32(body) != checksum:
            raise DamagedError(offset, is_torn=False)
        try:
            record = _record(body)
        except (ValueError, struct.error):
            raise DamagedError(offset, is_torn=False) from None
        yield offset, record
        offset = begin + length


def moved(rollout_id: str, at: float, history: Iterable[Record]) -> Record:
    """One record that holds all of a rollout's."""
    return Record(Kind.MOVED, at, rollout_id, request=b"".join(part for record in history for part in _packed(record)))


def moved_records(offset: int, record: Record) -> Iterator[tuple[int, Record]]:
    """The records in a moved one that begins at `offset`, with where each begins in the segment."""
    begin = offset + record.size - len(record.request)
    return ((begin + inner, one) for inner, one in records(record.request))


def _packed(record: Record) -> tuple[bytes, bytes]:
    kind, at, rollout_id, key, request, answer = record
    name, call = rollout_id.encode(), key.encode()
    fields = _FIELDS.pack(kind, at, len(name), len(call), len(request))
    body = b"".join((fields, name, call, request, answer))
    length = len(body)
    return _HEAD.pack(length, length ^ _ALL_ONES, crc32(body)), body


def _record(body: bytes) -> Record:
    kind, at, name_bytes, key_bytes, request_bytes = _FIELDS.unpack_from(body)
    key = _FIELDS.size + name_bytes
    request = key + key_bytes
    answer = request + request_bytes
    return Record(
        Kind(kind),
        at,
        body[_FIELDS.size : key].decode(),
        body[key:request].decode(),
        body[request:answer],
        body[answer:],
    )
