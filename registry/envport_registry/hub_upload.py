"""Receiving a bundle: bounded in size and time, hashed while it comes, checked before anybody can see it."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from envport_protocol.errors import BodyTooLargeError, InvalidRequestError
from starlette.requests import ClientDisconnect

from envport_registry.bundle import read_bundle
from envport_registry.digest import compare_digests
from envport_registry.errors import BundleError, UploadTimeoutError, disk_boundary
from envport_registry.hub_messages import PublishAnswer, VersionInfo
from envport_registry.names import version_key
from envport_registry.store import utc_now
from envport_registry.ustar import BundleLimits

if TYPE_CHECKING:
    from pathlib import Path

    from fastapi import Request

    from envport_registry.names import EnvRef
    from envport_registry.store import Store


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """What one publish may take."""

    bundle: BundleLimits = field(default_factory=BundleLimits)
    timeout_s: float = 600.0
    """For the whole body: the largest bundle at 0.2 MB/s."""


async def receive(request: Request, part: Path, expected_digest: str, limits: UploadLimits) -> int:
    """Writes the request's body to the file `part` and returns its size in bytes, once the digest was found right.

    Raises:
        BodyTooLargeError: more bytes than allowed, announced or seen; reading stops there.
        UploadTimeoutError: the body did not arrive in time.
        DigestMismatchError: the body is not what its digest says.
        StorageError: the disk refused.
    """
    max_bytes = limits.bundle.max_bytes
    announced = request.headers.get("content-length")
    if announced is not None and announced.isdecimal() and int(announced) > max_bytes:
        raise _too_large(f"{announced} bytes", max_bytes)
    try:
        async with asyncio.timeout(limits.timeout_s):
            size, digest = await _write_body(request, part, max_bytes)
    except ClientDisconnect as error:
        raise InvalidRequestError("the client went away before the whole bundle had arrived") from error
    except TimeoutError as error:
        raise UploadTimeoutError(
            f"the bundle did not arrive within {limits.timeout_s:g} s: publish again over a faster connection"
        ) from error
    compare_digests(digest, expected_digest, "the bundle as it arrived", "it was changed on the way: publish again")
    return size


def accept(store: Store, ref: EnvRef, digest: str, part: Path, limits: UploadLimits) -> PublishAnswer:
    """Checks the received bundle and publishes it as `ref`, which has a version.

    Raises:
        BundleError: it is no safe and canonical bundle, or it is of another name or version.
        VersionExistsError: the version is published with other content.
        StorageError: the disk refused; nothing is published.
    """
    with disk_boundary(part, "checking a bundle on the hub"):
        bundle = read_bundle(part.read_bytes(), limits.bundle)
    config = bundle.config
    assert ref.version is not None, "the route has a version"
    if config.name != ref.name or version_key(config.version) != version_key(ref.version):
        raise BundleError(
            f"the bundle's envport.toml says {config.name} {config.version}, the request says {ref.name} "
            f"{ref.version}: publish it under its own name and version"
        )
    info = VersionInfo(
        namespace=ref.namespace,
        name=ref.name,
        version=ref.version,
        digest=digest,
        size_bytes=len(bundle.tar),
        summary=config.summary or "",
        licence=config.licence,
        published_at=utc_now(),
    )
    created, standing = store.publish(info, part)
    return PublishAnswer(created=created, published=standing)


async def _write_body(request: Request, part: Path, max_bytes: int) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with disk_boundary(part, "receiving a bundle on the hub"), part.open("wb") as file:
        async for chunk in request.stream():
            size += len(chunk)
            if size > max_bytes:
                raise _too_large("more", max_bytes)
            digest.update(chunk)
            file.write(chunk)
    if size == 0:
        raise InvalidRequestError("the request has no body: expected the bundle's tar bytes")
    return size, f"sha256:{digest.hexdigest()}"


def _too_large(seen: str, max_bytes: int) -> BodyTooLargeError:
    return BodyTooLargeError(
        f"the bundle has {seen}, this hub takes at most {max_bytes} bytes: leave out what is not needed by "
        ".envportignore, and let the environment download large data"
    )
