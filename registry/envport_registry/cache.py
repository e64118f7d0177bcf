"""The environments on this machine: unpacked once, under their digest, never changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import platformdirs

from envport_registry.bundle import PART_PREFIX, Bundle, remove_stale, unpack, verify_folder
from envport_registry.digest import digest_hex
from envport_registry.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path


def default_home() -> Path:
    """Where envport keeps its files when ENVPORT_HOME says nothing: the user's data folder of this system."""
    return platformdirs.user_data_path("envport")


@dataclass(frozen=True, slots=True)
class Cache:
    """The pulled environments under `home`, each in `envs/sha256-HEX`."""

    home: Path

    def folder(self, digest: str) -> Path:
        """Where the environment of this digest lies, or would."""
        return self.home / "envs" / f"sha256-{digest_hex(digest)}"

    def find(self, digest: str) -> Bundle | None:
        """The environment of this digest, verified now; None where it was never pulled.

        Raises:
            DigestMismatchError: the folder was changed since.
        """
        folder = self.folder(digest)
        return verify_folder(folder, digest) if folder.exists() else None

    def add(self, bundle: Bundle) -> Path:
        """Unpacks the bundle and returns its folder. Two processes may add the same one at once.

        Raises:
            StorageError: the disk refused; nothing is left behind.
        """
        folder = self.folder(bundle.digest)
        remove_stale((self.home / "envs").glob(f"{PART_PREFIX}*"))
        try:
            unpack(bundle.tar, folder)
        except StorageError:
            if not folder.exists():
                raise
            # Another process was first. What lies there must still be the same.
            verify_folder(folder, bundle.digest)
        return folder
