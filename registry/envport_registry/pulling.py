"""From a hub to this machine, verified."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from envport_registry.bundle import read_bundle
from envport_registry.cache import Cache
from envport_registry.digest import compare_digests, digest_of
from envport_registry.errors import DigestMismatchError, UnknownVersionError
from envport_registry.hub_client import HubClient
from envport_registry.names import EnvRef, check_version

if TYPE_CHECKING:
    from pathlib import Path

    import httpx
    from envport_protocol.project import ProjectConfig

    from envport_registry.hub_client import Progress
    from envport_registry.hub_messages import VersionInfo


@dataclass(frozen=True, slots=True)
class PulledEnv:
    """An environment in the cache. Check it again by `verify_folder(folder, digest)` right before it is run."""

    folder: Path
    digest: str
    config: ProjectConfig
    ref: EnvRef
    """With its version, also where none was asked for."""


def pull(
    ref: EnvRef | str,
    hub_url: str,
    home: Path,
    *,
    on_progress: Progress | None = None,
    http: httpx.Client | None = None,
) -> PulledEnv:
    """The environment in the cache under `home`, fetched where it is not there; its content is verified either way.

    A reference by digest that is in the cache needs no hub.

    Raises:
        BadNameError: `ref` names no environment.
        UnknownEnvError, UnknownVersionError: the hub does not have it.
        DigestMismatchError: what the hub sent, or what lies in the cache, is not what was published.
        StorageError: the disk refused; nothing half-written is left.
        WireError: what else the hub answered, or that it did not.
    """
    ref = EnvRef.parse(ref) if isinstance(ref, str) else ref
    cache = Cache(home)
    if ref.digest is not None and (bundle := cache.find(ref.digest)) is not None:
        if bundle.config.name != ref.name:
            raise UnknownVersionError(
                f"the digest {ref.digest} is that of an environment named {bundle.config.name!r}, not {ref.name!r}: "
                "check the reference"
            )
        pulled = replace(ref, version=check_version(bundle.config.version), digest=None)
        return PulledEnv(cache.folder(bundle.digest), bundle.digest, bundle.config, pulled)
    with HubClient(hub_url, http=http) as hub:
        info = hub.version(ref)
        _check_answer(ref, info, hub_url)
        bundle = cache.find(info.digest)
        if bundle is None:
            bundle = read_bundle(_fetch(hub, info, on_progress))
            cache.add(bundle)
    pulled = EnvRef(info.namespace, info.name, info.version)
    return PulledEnv(cache.folder(info.digest), info.digest, bundle.config, pulled)


def _check_answer(ref: EnvRef, info: VersionInfo, hub_url: str) -> None:
    """A pin holds even against the hub."""
    if ref.digest is not None and info.digest != ref.digest:
        raise DigestMismatchError(
            f"the hub at {hub_url} answered for {ref} with another digest: seen {info.digest}, expected {ref.digest}; "
            "do not use this hub",
            details={"seen": info.digest, "expected": ref.digest},
        )


def _fetch(hub: HubClient, info: VersionInfo, on_progress: Progress | None) -> bytes:
    tar = hub.download(info, on_progress)
    remedy = (
        f"the copy at {hub.url} is damaged or was changed: have its owner publish the same folder again, which puts "
        "it right; nothing was kept"
    )
    what = f"the bundle of {info.namespace}/{info.name}@{info.version}"
    compare_digests(digest_of(tar), info.digest, what, remedy)
    return tar
