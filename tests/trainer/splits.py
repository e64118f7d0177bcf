"""A client of an environment that has splits and nothing else."""

from __future__ import annotations

from envport.client import EnvClient
from envport_protocol.messages import Manifest, Split


class SplitEnv(EnvClient):
    """Its manifest has the splits that it is given, with their sizes; nothing is served."""

    def __init__(self, url: str = "http://env", **sizes: int | None) -> None:
        super().__init__(url, timeout_s=None, retry_for_s=0.0, http=None)
        self._sizes = sizes

    @property
    def manifest(self) -> Manifest:
        splits = [Split(name=name, size=size) for name, size in self._sizes.items()]
        return Manifest(name="split", version="1", splits=splits)
