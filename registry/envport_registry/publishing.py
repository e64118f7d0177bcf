"""From a folder to a hub."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from envport_registry.bundle import pack
from envport_registry.errors import BadNameError
from envport_registry.hub_client import HubClient
from envport_registry.names import EnvRef, check_name, check_version

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from envport_registry.hub_client import Progress


@dataclass(frozen=True, slots=True)
class Published:
    """What stands on the hub now."""

    ref: EnvRef
    digest: str
    created: bool
    """False where the same content was published before."""
    size_bytes: int


def publish(
    folder: Path,
    hub_url: str,
    token: str | None,
    namespace: str | None = None,
    *,
    on_progress: Progress | None = None,
    http: httpx.Client | None = None,
) -> Published:
    """Packs the environment's folder and publishes it under the name and version of its envport.toml.

    Raises:
        BundleError: the folder cannot be published.
        BadNameError: neither `namespace` nor envport.toml names a namespace.
        WireError: what the hub answered, or that it did not.
    """
    with HubClient(hub_url, token=token, http=http) as hub:
        bundle = pack(folder)
        space = namespace or bundle.config.namespace
        if space is None:
            raise BadNameError(f"{folder} has no namespace: give --namespace, or write `namespace` into envport.toml")
        ref = EnvRef(
            check_name(space, "namespace"), check_name(bundle.config.name, "name"), check_version(bundle.config.version)
        )
        answer = hub.publish(ref, bundle, on_progress)
    return Published(ref, answer.published.digest, answer.created, answer.published.size_bytes)
