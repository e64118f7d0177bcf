"""The publish token: made at the hub's first start, kept in a file for its owner, known to the hub by hash only."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from typing import TYPE_CHECKING

from envport_registry.errors import StorageError, TokenMissingError, TokenRefusedError, disk_boundary

if TYPE_CHECKING:
    from pathlib import Path

    from envport_registry.store import Store

_MAX_TOKEN_BYTES = 4096
_MIN_TOKEN_CHARS = 20


def token_file_of(home: Path) -> Path:
    """Where the hub of this machine leaves its token, readable for its owner only."""
    return home / "hub" / "token"


def register_token(store: Store, file: Path) -> bool:
    """Makes the token in `file` the one that may publish; makes the file first where there is none, and says so.

    To change the token, delete the file and start the hub again.

    Raises:
        StorageError: the file cannot be read or written, or holds no token, or others may read it.
    """
    created = not file.exists()
    if created:
        _write_token(file, f"evp_{secrets.token_urlsafe(32)}")
    store.set_token_hash(_hash(read_token(file)))
    return created


def read_token(file: Path) -> str:
    """The token in the file.

    Raises:
        StorageError: it cannot be read, holds no token, or others than its owner may read it.
    """
    with disk_boundary(file, "reading the publish token"):
        mode = stat.S_IMODE(file.stat().st_mode)
        with file.open("rb") as opened:
            token = opened.read(_MAX_TOKEN_BYTES).decode("ascii", errors="replace").strip()
    if mode & 0o077:
        raise StorageError(f"the token file {file} may be read by others (mode {mode:04o}): run chmod 600 {file}")
    if len(token) < _MIN_TOKEN_CHARS or not token.isprintable() or " " in token or not token.isascii():
        raise StorageError(
            f"the token file {file} holds no token: expected one line of at least {_MIN_TOKEN_CHARS} characters; "
            "delete it and start the hub again to get a new one"
        )
    return token


def check_token(store: Store, authorization: str | None) -> None:
    """Returns where the header `Authorization: Bearer TOKEN` has this hub's token.

    Raises:
        TokenMissingError: no such header.
        TokenRefusedError: another token.
    """
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise TokenMissingError(
            "publishing needs the hub's token, the request had none: give it by --token or ENVPORT_TOKEN; the hub "
            "names its token file when it starts"
        )
    expected = store.token_hash()
    if expected is None or not hmac.compare_digest(_hash(token.strip()), expected):
        raise TokenRefusedError(
            "the token of the request is not this hub's: give the one in its token file by --token or ENVPORT_TOKEN; "
            "the hub names the file when it starts"
        )


def _write_token(file: Path, token: str) -> None:
    with disk_boundary(file, "writing the publish token"):
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f"{file.name}.{secrets.token_hex(8)}.part")
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as opened:
                opened.write(f"{token}\n")
            part.replace(file)
        finally:
            part.unlink(missing_ok=True)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
