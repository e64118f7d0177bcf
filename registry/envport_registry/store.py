"""What is published: SQLite says which versions there are, a folder of blobs holds their bundles.

A version is inserted and its blob put in place in one transaction, so a reader sees neither without the other, and of
two publishes of one version at once the database's unique constraint lets exactly one win.
"""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import UniqueConstraint, create_engine, event, select
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from envport_registry.bundle import remove_stale
from envport_registry.digest import digest_hex
from envport_registry.errors import (
    NoSpaceError,
    StorageError,
    UnknownBlobError,
    UnknownEnvError,
    UnknownVersionError,
    VersionExistsError,
    disk_boundary,
)
from envport_registry.hub_messages import EnvInfo, VersionInfo
from envport_registry.names import EnvRef, default_version, newest_first, version_key

if TYPE_CHECKING:
    from collections.abc import Iterable

_BUSY_TIMEOUT_MS = 10_000
_PART_SUFFIX = ".part"


class _Base(DeclarativeBase):
    pass


class _Version(_Base):
    __tablename__ = "versions"
    __table_args__ = (UniqueConstraint("namespace", "name", "version_key"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    namespace: Mapped[str]
    name: Mapped[str]
    version: Mapped[str]
    version_key: Mapped[str]
    digest: Mapped[str] = mapped_column(index=True)
    size_bytes: Mapped[int]
    summary: Mapped[str]
    licence: Mapped[str | None]
    published_at: Mapped[datetime]


class _Token(_Base):
    """The publish token: one row, and only its SHA-256."""

    __tablename__ = "token"

    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str]


class Store:
    """The hub's data folder: `hub.sqlite3` and `blobs/sha256/HEX`. Safe to use from several threads."""

    def __init__(self, data: Path) -> None:
        """Opens or creates the folder.

        Raises:
            StorageError: it cannot be written, or `hub.sqlite3` is no database of a hub.
        """
        self.blobs = data / "blobs" / "sha256"
        with disk_boundary(data, "opening the hub's data folder"):
            self.blobs.mkdir(parents=True, exist_ok=True)
            remove_stale(self.blobs.glob(f"*{_PART_SUFFIX}"))
        self._engine = create_engine(f"sqlite:///{data / 'hub.sqlite3'}")
        event.listen(self._engine, "connect", _set_up_connection)
        try:
            _Base.metadata.create_all(self._engine)
        except Exception as error:  # boundary: the driver's errors are many, and all mean the same here
            self._engine.dispose()
            raise StorageError(
                f"{data / 'hub.sqlite3'} cannot be opened as the hub's database ({error.__cause__ or error}): is the "
                "folder another program's, or not writable? name another with --data"
            ) from error

    def close(self) -> None:
        """Closes the database's connections."""
        self._engine.dispose()

    def check(self) -> None:
        """Returns where the database answers and the blobs' folder can be written.

        Raises:
            StorageError: one of the two does not hold.
        """
        try:
            with Session(self._engine) as session:
                session.execute(select(_Version.id).limit(1)).all()
        except OperationalError as error:
            raise StorageError(f"the hub's database does not answer: {error.orig}") from error
        if not os.access(self.blobs, os.W_OK):
            raise StorageError(f"the hub's folder {self.blobs} cannot be written: give the hub's user the right to")

    def search(self, words: Iterable[str], limit: int) -> list[VersionInfo]:
        """The default version of each environment in whose name or summary every word stands, by name."""
        full_name = _Version.namespace + "/" + _Version.name
        query = select(full_name).distinct()
        for word in words:
            query = query.where((full_name + " " + _Version.summary).icontains(word, autoescape=True))
        with Session(self._engine) as session:
            names = session.scalars(query.order_by(full_name).limit(limit)).all()
            rows = session.scalars(select(_Version).where(full_name.in_(names))).all()
        by_name: dict[str, list[_Version]] = {name: [] for name in names}
        for row in rows:
            by_name[f"{row.namespace}/{row.name}"].append(row)
        return [_info(_default(rows)) for rows in by_name.values()]

    def env(self, namespace: str, name: str) -> EnvInfo:
        """The environment with all its versions, highest first.

        Raises:
            UnknownEnvError: nothing is published under that name.
        """
        with Session(self._engine) as session:
            rows = session.scalars(select(_Version).filter_by(namespace=namespace, name=name)).all()
        if not rows:
            raise UnknownEnvError(
                f"no environment {namespace}/{name} on this hub: `envport search` lists what there is"
            )
        by_version = {row.version: row for row in rows}
        versions = [_info(by_version[version]) for version in newest_first(by_version)]
        return EnvInfo(namespace=namespace, name=name, default=_default(rows).version, versions=versions)

    def version(self, ref: EnvRef) -> VersionInfo:
        """The version that `ref` means.

        Raises:
            UnknownEnvError: nothing is published under that name.
            UnknownVersionError: not that version, or not that digest.
        """
        env = self.env(ref.namespace, ref.name)
        wanted = ref.version or (None if ref.digest else env.default)
        for info in env.versions:
            if info.digest == ref.digest or (wanted and version_key(info.version) == version_key(wanted)):
                return info
        shown = ", ".join(info.version for info in env.versions[:10])
        raise UnknownVersionError(
            f"{ref.full_name} has no version {ref.version or ref.digest} on this hub: it has {shown}"
            + (f" and {len(env.versions) - 10} older ones" if len(env.versions) > 10 else "")
        )

    def blob(self, digest: str) -> Path:
        """The file of the bundle with this digest.

        Raises:
            UnknownBlobError: the hub does not hold it.
        """
        path = self.blobs / digest_hex(digest)
        if not path.is_file():
            raise UnknownBlobError(
                f"this hub holds no bundle with the digest {digest}: if one of its versions has it, the file was lost, "
                "and publishing the same folder again puts it right"
            )
        return path

    def new_part(self) -> Path:
        """A new empty file beside the blobs, for an upload; whoever asks for it removes it or publishes it."""
        with disk_boundary(self.blobs, "receiving a bundle on the hub"):
            descriptor, path = tempfile.mkstemp(suffix=_PART_SUFFIX, dir=self.blobs)
            os.close(descriptor)
        return Path(path)

    def publish(self, info: VersionInfo, part: Path) -> tuple[bool, VersionInfo]:
        """Publishes the bundle in the file `part`, whose digest was checked; says whether it is new, and what stands.

        The same content again is no change, but puts a damaged or lost blob right.

        Raises:
            VersionExistsError: the version is published with other content.
            StorageError: the disk refused; nothing is published.
        """
        row = _Version(**info.model_dump(), version_key=version_key(info.version))
        blob = self.blobs / digest_hex(info.digest)
        try:
            with Session(self._engine, expire_on_commit=False) as session, session.begin():
                session.add(row)
                session.flush()
                _move(part, blob)
            return True, info
        except IntegrityError:
            standing = self.version(EnvRef(info.namespace, info.name, info.version))
        except OperationalError as error:
            if "full" in str(error.orig):
                raise NoSpaceError(
                    f"no space left for the hub's database beside {self.blobs}: nothing was kept; free some space and "
                    "publish again"
                ) from error
            raise StorageError(f"the hub's database refused the publish: {error.orig}; try again") from error
        if standing.digest != info.digest:
            raise VersionExistsError(
                f"{info.namespace}/{info.name}@{standing.version} is already published with other content: seen "
                f"{info.digest}, published is {standing.digest}; versions never change, so raise `version` in "
                "envport.toml and publish again",
                details={"seen": info.digest, "expected": standing.digest},
            )
        _move(part, blob)
        return False, standing

    def set_token_hash(self, sha256: str) -> None:
        """Makes this the hash of the one token that may publish."""
        with Session(self._engine) as session, session.begin():
            session.merge(_Token(id=1, sha256=sha256))

    def token_hash(self) -> str | None:
        """The SHA-256 of the publish token, in hexadecimal; None before the hub's first start."""
        with Session(self._engine) as session:
            return session.scalar(select(_Token.sha256))


def utc_now() -> datetime:
    """The time now, UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


def _set_up_connection(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.close()


def _move(part: Path, blob: Path) -> None:
    """Puts a finished upload in its place so that it survives a power cut."""
    with disk_boundary(blob, "storing a bundle on the hub"):
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(blob)
        folder = os.open(blob.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _default(rows: Iterable[_Version]) -> _Version:
    by_version = {row.version: row for row in rows}
    version = default_version(by_version)
    assert version is not None, "an environment on the hub has at least one version"
    return by_version[version]


def _info(row: _Version) -> VersionInfo:
    return VersionInfo(
        namespace=row.namespace,
        name=row.name,
        version=row.version,
        digest=row.digest,
        size_bytes=row.size_bytes,
        summary=row.summary,
        licence=row.licence,
        published_at=row.published_at.replace(tzinfo=UTC),
    )
