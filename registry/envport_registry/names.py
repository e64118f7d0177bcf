"""What an environment is called: `namespace/name`, `namespace/name@version` or `namespace/name@sha256:…`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envport_protocol.project import NAME_PATTERN
from packaging.utils import canonicalize_version
from packaging.version import InvalidVersion, Version

from envport_registry.digest import check_digest
from envport_registry.errors import BadNameError

if TYPE_CHECKING:
    from collections.abc import Iterable

_REF = re.compile(r"(?P<namespace>[^/@]*)/(?P<name>[^/@]*)(?:@(?P<pin>[^/@]*))?")
_NAME = re.compile(NAME_PATTERN)
_MAX_VERSION_CHARS = 64


@dataclass(frozen=True, slots=True)
class EnvRef:
    """A name to look up. At most one of `version` and `digest` is set; with neither, the highest release is meant."""

    namespace: str
    name: str
    version: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> EnvRef:
        """The reference that `text` writes.

        Raises:
            BadNameError: `text` has another form, or its namespace, name, version or digest is off; says which.
        """
        match = _REF.fullmatch(text)
        if match is None:
            raise BadNameError(
                f"{text[:200]!r} does not name an environment: expected NAMESPACE/NAME, NAMESPACE/NAME@VERSION or "
                "NAMESPACE/NAME@sha256:DIGEST, for example envport/extraction@0.1.0"
            )
        namespace, name = check_name(match["namespace"], "namespace"), check_name(match["name"], "name")
        pin: str | None = match["pin"]
        if pin is None:
            return cls(namespace, name)
        if pin.startswith("sha256:"):
            return cls(namespace, name, digest=check_digest(pin))
        return cls(namespace, name, version=check_version(pin))

    @property
    def full_name(self) -> str:
        """`namespace/name`, without version or digest."""
        return f"{self.namespace}/{self.name}"

    def __str__(self) -> str:
        pin = self.version or self.digest
        return self.full_name if pin is None else f"{self.full_name}@{pin}"


def check_name(text: str, what: str) -> str:
    """`text` itself; `what` is 'name' or 'namespace'.

    Raises:
        BadNameError: it is not 1 to 63 of a-z, 0-9 and -, with a letter or digit first.
    """
    if not _NAME.fullmatch(text):
        raise BadNameError(
            f"{text[:100]!r} is not a {what}: expected 1 to 63 characters of a-z, 0-9 and '-', beginning with a "
            "letter or a digit"
        )
    return text


def check_version(text: str) -> str:
    """The version in PEP 440's normal form: `v1.0-RC1` gives `1.0rc1`.

    Raises:
        BadNameError: it is no version by PEP 440.
    """
    try:
        if len(text) > _MAX_VERSION_CHARS:
            raise InvalidVersion(text)
        return str(Version(text))
    except InvalidVersion as error:
        raise BadNameError(
            f"{text[:100]!r} is not a version: expected one by PEP 440 of at most {_MAX_VERSION_CHARS} characters, "
            "for example 0.1.0 or 1.0rc1"
        ) from error


def version_key(version: str) -> str:
    """The same text for versions that PEP 440 counts as equal: `1.0` and `1.0.0` both give `1`."""
    return canonicalize_version(version)


def newest_first(versions: Iterable[str]) -> list[str]:
    """The versions by PEP 440's order, highest first."""
    return sorted(versions, key=Version, reverse=True)


def default_version(versions: Iterable[str]) -> str | None:
    """The highest version that is no pre-release; the highest pre-release where there is nothing else."""
    ordered = newest_first(versions)
    releases = [version for version in ordered if not Version(version).is_prerelease]
    return next(iter(releases or ordered), None)
