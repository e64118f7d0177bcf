"""The folder of a journal: private to its user, open to one process at a time, with a key that stays."""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from envport_protocol.errors import ServeError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

_SECRET_BYTES = 32
_LOCK_PATIENCE_S = 3.0
"""Workers whose server was killed take a moment to notice, and the next server may be faster."""
_LOCK_PAUSE_S = 0.05


def locked_folder(folder: Path) -> int:
    """The descriptor that holds the folder's lock until it is closed or the process ends. Makes the folder.

    Raises:
        ServeError: another process holds it, and goes on doing so; or it is no folder for a journal alone.
        OSError: the folder cannot be made or is another user's.
    """
    _make_private(folder)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + _LOCK_PATIENCE_S
        while not _has_locked(lock):
            if time.monotonic() >= deadline:
                raise ServeError(
                    f"another server has the journal {folder} open; stop it, or choose another folder for this one"
                )
            time.sleep(_LOCK_PAUSE_S)
    except BaseException:
        os.close(lock)
        raise
    return lock


def journal_secret(folder: Path) -> bytes:
    """The 32 random bytes that this folder keeps, made at the first time. Needs no lock.

    Raises:
        ServeError: they can be neither read nor written, or it is no folder for a journal alone.
    """
    path = folder / "key"
    with journal_boundary(folder):
        _make_private(folder)
        if not path.exists():
            _make_secret(path)
        secret = path.read_bytes()
    if len(secret) != _SECRET_BYTES:
        raise ServeError(f"{path} has {len(secret)} bytes, not {_SECRET_BYTES}: delete it, and a new key is made")
    return secret


@contextmanager
def journal_boundary(folder: Path) -> Generator[None]:
    """Failures of the disk become ServeError."""
    try:
        yield
    except OSError as error:
        raise ServeError(
            f"the journal {folder} cannot be used: {error}; expected a folder that belongs to this user and can be "
            "written: choose another, or serve without a journal"
        ) from error


def _make_private(folder: Path) -> None:
    """Makes the folder, or shuts others out of one that is empty or a journal's. Others' folders stay as they are.

    Raises:
        ServeError: it has other things in it, and other users can read them.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    mode = folder.stat().st_mode
    if not mode & 0o077:
        return
    key = folder / "key"
    is_journal = key.is_file() and key.stat().st_size == _SECRET_BYTES
    if mode & stat.S_ISVTX or not (is_journal or not any(folder.iterdir())):
        raise ServeError(
            f"the folder {folder} is open to other users and not for a journal alone; a journal holds ground truths. "
            f"Give a folder of its own, such as {folder / 'journal'}, which is then made for this user only"
        )
    folder.chmod(0o700)


def _has_locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _make_secret(path: Path) -> None:
    part = path.with_name(f"key.{secrets.token_hex(8)}.part")
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
