"""From a hub to this machine, verified."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from envport_registry.bundle import read_bundle
from envport_registry.cache import Cache
from envport_registry.digest import compare_digests, digest_of
from envport_registry.errors import DigestMismatchError, UnknownVersionError, WrongAnswerError
from envport_registry.hub_client import HubClient
from envport_registry.names import EnvRef, check_version, version_key

if TYPE_CHECKING:
    from pathlib import Path

    import httpx
    from envport_protocol.project import ProjectConfig

    from envport_registry.bundle import Bundle
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
        WrongAnswerError: the hub answered for, or sent, another environment or version.
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
        cached = cache.find(info.digest)
        bundle = cached or read_bundle(_fetch(hub, info, on_progress))
        _check_bundle(bundle, info, hub_url)
        if cached is None:
            cache.add(bundle)
    pulled = EnvRef(info.namespace, info.name, info.version)
    return PulledEnv(cache.folder(info.digest), info.digest, bundle.config, pulled)


def _check_answer(ref: EnvRef, info: VersionInfo, hub_url: str) -> None:
    """What was asked for holds even against the hub.

    Raises:
        DigestMismatchError, WrongAnswerError: it answered for something else.
    """
    other_version = ref.version is not None and version_key(info.version) != version_key(ref.version)
    if (info.namespace, info.name) != (ref.namespace, ref.name) or other_version:
        raise WrongAnswerError(
            f"the hub at {hub_url} was asked for {ref} and answered for "
            f"{EnvRef(info.namespace, info.name, info.version)}: do not use this hub"
        )
    if ref.digest is not None and info.digest != ref.digest:
        raise DigestMismatchError(
            f"the hub at {hub_url} answered for {ref} with another digest: seen {info.digest}, expected {ref.digest}; "
            "do not use this hub",
            details={"seen": info.digest, "expected": ref.digest},
        )


def _check_bundle(bundle: Bundle, info: VersionInfo, hub_url: str) -> None:
    """The name and version inside the bundle are those that the hub gives its digest."""
    inside = bundle.config
    if inside.name != info.name or version_key(inside.version) != version_key(info.version):
        raise WrongAnswerError(
            f"the hub at {hub_url} gives {EnvRef(info.namespace, info.name, info.version)} the bundle of "
            f"{inside.name} {inside.version}, by its envport.toml: do not use this hub; nothing was kept"
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
