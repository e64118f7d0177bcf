"""Which paths may stand in a bundle: they stay inside their folder on every system, and no two can be confused."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from envport_registry.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAX_PATH_BYTES = 255
_SECRETS = frozenset({".env", ".netrc", ".pypirc", ".git-credentials", "id_rsa", "id_ed25519", "id_ecdsa"})
_HARMLESS = frozenset({".env.example", ".env.sample", ".env.template"})


def check_path(path: str) -> None:
    """Returns where `path` may stand in a bundle.

    Raises:
        BundleError: absolute, with `..`, `.` or an empty part, a backslash, a control character or bytes that are no
            UTF-8, too long, or the usual name of a file with secrets.
    """
    shown = repr(path[:300])
    if path.startswith("/"):
        raise BundleError(f"the path {shown} is absolute: a bundle's paths are relative to its folder")
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise BundleError(f"the path {shown} has a part '..', '.' or nothing: a bundle's paths stay in its folder")
    if any(ord(char) < 32 or char == "\x7f" or char == "\\" or "\ud800" <= char <= "\udfff" for char in path):
        raise BundleError(
            f"the path {shown} has a backslash, a control character or bytes that are not UTF-8: rename the file"
        )
    if len(path.encode()) > _MAX_PATH_BYTES:
        raise BundleError(
            f"the path {shown} has {len(path.encode())} bytes, at most {_MAX_PATH_BYTES} are allowed: use shorter names"
        )
    for part in parts:
        if part in _SECRETS or (part.startswith(".env.") and part not in _HARMLESS):
            raise BundleError(
                f"{shown} usually holds secrets and is not published: delete it, or name it in .envportignore"
            )


def check_clashes(paths: Iterable[str]) -> None:
    """Returns where no two paths are equal, differ only in case or Unicode form, or are file and folder at once.

    Raises:
        BundleError: two clash; names both.
    """
    files: dict[str, str] = {}
    folders: dict[str, str] = {}
    for path in paths:
        if files.get(_folded(path)) == path:
            raise BundleError(f"the path {path!r} stands twice in the bundle")
        _claim(files, path)
        parts = path.split("/")
        for depth in range(1, len(parts)):
            _claim(folders, "/".join(parts[:depth]))
    for folded in files.keys() & folders.keys():
        raise BundleError(
            f"{files[folded]!r} is a file and {folders[folded]!r} a folder of the same name in the bundle"
        )


def _claim(seen: dict[str, str], path: str) -> None:
    other = seen.setdefault(_folded(path), path)
    if other != path:
        raise BundleError(
            f"the paths {other!r} and {path!r} differ only in case or Unicode form, and are one file on some systems: "
            "rename one"
        )


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
