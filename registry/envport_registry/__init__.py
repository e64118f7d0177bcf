"""Publish, find, pull and run environments."""

from __future__ import annotations

from envport_registry.bundle import Bundle, pack, unpack, verify_folder
from envport_registry.cache import Cache, default_home
from envport_registry.errors import RegistryError
from envport_registry.hub_client import HubClient
from envport_registry.hub_messages import EnvInfo, VersionInfo
from envport_registry.names import EnvRef
from envport_registry.publishing import Published, publish
from envport_registry.pulling import PulledEnv, pull

__all__ = [
    "Bundle",
    "Cache",
    "EnvInfo",
    "EnvRef",
    "HubClient",
    "Published",
    "PulledEnv",
    "RegistryError",
    "VersionInfo",
    "default_home",
    "pack",
    "publish",
    "pull",
    "unpack",
    "verify_folder",
]
