"""An environment's folder as one file: packed the same everywhere, checked before anything is believed, unpacked whole
or not at all."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from envport_protocol.errors import ProjectError
from envport_protocol.project import CONFIG_FILE, load_project

from envport_registry.digest import compare_digests, digest_of
from envport_registry.errors import BundleError, DigestMismatchError, StorageError, disk_boundary
from envport_registry.ignore import IGNORE_FILE, IgnoreRules
from envport_registry.paths import check_clashes, check_path
from envport_registry.ustar import BundleLimits, Entry, read_tar, tar_size, write_tar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from envport_protocol.project import ProjectConfig

PART_PREFIX = ".part-"
"""Of folders that are being written; one that is found later was left by a process that was killed."""

_STALE_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Bundle:
    """A packed environment. Equal folders give equal bytes, so `digest` names the content."""

    tar: bytes
    digest: str
    config: ProjectConfig


def pack(folder: Path, limits: BundleLimits | None = None) -> Bundle:
    """The bundle of an environment's folder, without build products and what `.envportignore` names.

    Raises:
        BundleError: links, special files, files with secrets, names that do not travel, or over a limit.
        StorageError: a file cannot be read.
    """
    config = load_project(folder)
    with disk_boundary(folder, "reading the environment"):
        ignore_file = folder / IGNORE_FILE
        text = ignore_file.read_text(encoding="utf-8", errors="replace") if ignore_file.is_file() else ""
    tar = _pack_files(folder, IgnoreRules.parse(text), limits or BundleLimits())
    return Bundle(tar, digest_of(tar), config)


def verify_folder(folder: Path, digest: str) -> Bundle:
    """The bundle of an unpacked environment, after its content was found to be what `digest` says.

    Every file counts, also those that packing would leave out: a stray `.pyc` would be run as well.

    Raises:
        DigestMismatchError: a file was changed, added or removed since it was pulled.
    """
    remedy = (
        f"it was changed after it was pulled: delete that folder and pull again, to change it use `--out`: {folder}"
    )
    try:
        tar = _pack_files(folder, IgnoreRules(), BundleLimits())
    except (BundleError, StorageError) as error:
        # Something stands there that no bundle can hold, or cannot be read: the same as changed content.
        raise DigestMismatchError(
            f"the environment in the cache cannot be verified: {error.message}; expected {digest}; {remedy}",
            details={"seen": None, "expected": digest},
        ) from error
    compare_digests(digest_of(tar), digest, "the environment in the cache", remedy)
    return read_bundle(tar)


def read_bundle(tar: bytes, limits: BundleLimits | None = None) -> Bundle:
    """The bundle that came as bytes, checked through and through; nothing of it is run or unpacked.

    Raises:
        BundleError: it is no safe and canonical bundle, or its envport.toml is missing or off.
    """
    entries = {entry.path: entry for entry in read_tar(tar, limits or BundleLimits())}
    if CONFIG_FILE not in entries:
        raise BundleError(f"the bundle has no {CONFIG_FILE} at its top: it is not an environment")
    return Bundle(tar, digest_of(tar), _read_config(entries[CONFIG_FILE].content))


def unpack(tar: bytes, into: Path) -> None:
    """Writes the bundle's files as the new folder `into`, whole or not at all.

    Raises:
        BundleError: the bytes are no safe bundle; nothing is written.
        StorageError: `into` exists and is not empty, or the disk refused; nothing is left behind.
    """
    entries = read_tar(tar, BundleLimits())
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise StorageError(f"{into} exists and is not an empty folder: name another, or delete it")
    with disk_boundary(into, "unpacking the environment"):
        into.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=PART_PREFIX, dir=into.parent))
        try:
            for entry in entries:
                _write_entry(part, entry)
            part.chmod(0o755)
            part.rename(into)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise


def remove_stale(parts: Iterable[Path]) -> None:
    """Removes those files and folders that a killed process left half written more than a day ago."""
    for part in parts:
        with suppress(FileNotFoundError):
            if part.lstat().st_mtime < time.time() - _STALE_S:
                shutil.rmtree(part, ignore_errors=True) if part.is_dir() else part.unlink()


def _read_config(content: bytes) -> ProjectConfig:
    with tempfile.TemporaryDirectory(prefix="envport-") as scratch:
        path = Path(scratch) / CONFIG_FILE
        with disk_boundary(path, "reading a bundle"):
            path.write_bytes(content)
        try:
            return load_project(path.parent)
        except ProjectError as error:
            raise BundleError(str(error).replace(str(path), f"the bundle's {CONFIG_FILE}")) from error


def _write_entry(root: Path, entry: Entry) -> None:
    path = root / entry.path
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, entry.content)
    path.chmod(0o755 if entry.executable else 0o644)


def write_file(path: Path, content: bytes) -> None:
    """Writes a new file; it is an error when something of that name is there."""
    with path.open("xb") as file:
        file.write(content)


def _pack_files(folder: Path, rules: IgnoreRules, limits: BundleLimits) -> bytes:
    with disk_boundary(folder, "reading the environment"):
        paths = list(_walk(folder, "", rules))
        if len(paths) > limits.max_files:
            raise BundleError(f"{folder} has {len(paths)} files, at most {limits.max_files} are allowed; {_SMALLER}")
        check_clashes(paths)
        if CONFIG_FILE not in paths:
            raise BundleError(f"{IGNORE_FILE} leaves out {CONFIG_FILE}: a bundle needs it")
        sizes = [(folder / path).lstat().st_size for path in paths]
        if tar_size(sizes) > limits.max_bytes:
            raise BundleError(
                f"{folder} makes a bundle of {tar_size(sizes)} bytes, at most {limits.max_bytes} are allowed; "
                f"{_SMALLER}"
            )
        tar = write_tar([_read_entry(folder, path) for path in paths])
    if len(tar) > limits.max_bytes:
        raise BundleError(f"{folder} grew while it was packed: pack it again when nothing writes there")
    return tar


_SMALLER = f"leave out what is not needed by {IGNORE_FILE}, and let the environment download large data"


def _walk(folder: Path, inside: str, rules: IgnoreRules) -> Iterator[str]:
    """The relative paths of all regular files that are not ignored; refuses everything that is no file or folder."""
    with os.scandir(folder / inside) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        path = inside + entry.name
        if rules.match(path, folder=entry.is_dir(follow_symlinks=False)):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(folder, f"{path}/", rules)
            continue
        if not entry.is_file(follow_symlinks=False):
            what = "a symbolic link" if entry.is_symlink() else "a device, a pipe or a socket"
            raise BundleError(
                f"{str(folder / path)!r} is {what}: a bundle holds regular files only; replace it by a copy, or name "
                f"it in {IGNORE_FILE}"
            )
        check_path(path)
        yield path


def _read_entry(folder: Path, path: str) -> Entry:
    # Not following links: between the walk and this read the file may have been swapped for one.
    descriptor = os.open(folder / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise BundleError(
                f"{str(folder / path)!r} is no regular file any more: pack again when nothing writes there"
            )
        return Entry(path, file.read(), executable=bool(mode & stat.S_IXUSR))
