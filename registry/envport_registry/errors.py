"""Every failure of the registry, each a class with its status and code.

    WireError
    └── RegistryError                500
        ├── BadNameError             422  not `namespace/name[@version]`, or one part of it is off
        ├── BundleError              422  a folder that cannot be packed, or a tar that is not a bundle
        ├── DigestMismatchError      422  the content is not what its digest says
        ├── UnknownEnvError          404  no environment of that name
        ├── UnknownVersionError      404  the environment has no such version
        ├── UnknownBlobError         404  no bundle with that digest
        ├── VersionExistsError       409  the version is published with other content
        ├── TokenMissingError        401  publishing needs a token, none came
        ├── TokenRefusedError        403  the token is not this hub's
        ├── UploadTimeoutError       408  the body did not arrive in time
        ├── StorageError             500  the disk said no
        │   └── NoSpaceError         507  the disk is full
        ├── HubUnreachableError      503  no answer from the hub: raised by the client only
        ├── NotAHubError             502  something else answered: raised by the client only
        └── WrongAnswerError         502  the hub answered about something else: raised by the client only

The hub raises one, it crosses as the one error body, and the client raises the same class again.
"""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING

from envport_protocol.errors import WireError, error_from_body

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from envport_protocol.messages import ErrorBody


class RegistryError(WireError):
    """Publishing, finding, pulling or running an environment failed."""

    status = 500
    code = "registry_error"


class BadNameError(RegistryError):
    """A name, namespace, version, digest or reference does not fit its grammar."""

    status = 422
    code = "bad_name"


class BundleError(RegistryError):
    """A folder cannot be packed, or bytes are not a safe and canonical bundle."""

    status = 422
    code = "bad_bundle"


class DigestMismatchError(RegistryError):
    """Content is not what its digest says. `details` has `seen` and `expected`."""

    status = 422
    code = "digest_mismatch"


class UnknownEnvError(RegistryError):
    """The hub holds no environment of that name."""

    status = 404
    code = "unknown_env"


class UnknownVersionError(RegistryError):
    """The hub holds the environment, but not that version or digest of it."""

    status = 404
    code = "unknown_version"


class UnknownBlobError(RegistryError):
    """The hub holds no bundle with that digest."""

    status = 404
    code = "unknown_blob"


class VersionExistsError(RegistryError):
    """The version is already published with other content; versions never change."""

    status = 409
    code = "version_exists"


class TokenMissingError(RegistryError):
    """Publishing needs a token and the request had none."""

    status = 401
    code = "token_missing"


class TokenRefusedError(RegistryError):
    """The request's token is not the one of this hub."""

    status = 403
    code = "token_refused"


class UploadTimeoutError(RegistryError):
    """The body of a publish did not arrive within the hub's limit."""

    status = 408
    code = "upload_timeout"


class StorageError(RegistryError):
    """The disk refused a read or a write."""

    code = "storage_error"


class NoSpaceError(StorageError):
    """The disk or the quota is full. What was begun has been removed again."""

    status = 507
    code = "no_space"


class HubUnreachableError(RegistryError):
    """The hub did not answer: refused, unknown host, or past the deadline."""

    status = 503
    code = "hub_unreachable"


class NotAHubError(RegistryError):
    """The URL answered, but not as an envport hub does."""

    status = 502
    code = "not_a_hub"


class WrongAnswerError(RegistryError):
    """The hub answered for, or sent, another environment or version than was asked for."""

    status = 502
    code = "wrong_answer"


_CLASSES: list[type[RegistryError]] = [*RegistryError.__subclasses__(), NoSpaceError]
_BY_CODE = {cls.code: cls for cls in _CLASSES}


def registry_error_from_body(status: int, body: ErrorBody) -> WireError:
    """The exception that the hub raised, from its answer. An unknown code becomes what the protocol makes of it."""
    cls = _BY_CODE.get(body.error.code)
    if cls is None:
        return error_from_body(status, body)
    return cls(body.error.message, details=body.error.details)


@contextmanager
def disk_boundary(path: Path, doing: str) -> Generator[None]:
    """Turns the disk's errors into `NoSpaceError` or `StorageError` that name `path` and what was being done."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpaceError(
                f"no space left on the disk while {doing} at {path}: nothing was kept; free some space and try again"
            ) from error
        raise StorageError(f"{error.strerror or error} while {doing} at {error.filename or path}") from error
