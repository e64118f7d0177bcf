"""Whether an environment is there, told once for all rollouts that notice it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from envport.client import EnvClient
    from envport_protocol.errors import EnvportError

logger = logging.getLogger(__name__)


class Presence:
    """What was told about one environment. Its rollouts share it, see `presence_of`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._away_since: float | None = None
        self._loss_told = False

    def away(self, error: EnvportError, patience_s: float) -> None:
        """It starts no rollout; each waits `patience_s` for it."""
        if self._away_since is None:
            self._away_since = asyncio.get_running_loop().time()
            logger.warning(
                "%s is away, waiting up to %.0f s for it; Ctrl-C is safe, and --resume goes on with a training: %s",
                self._url,
                patience_s,
                error,
            )

    def lost(self, error: EnvportError) -> None:
        """It lost a rollout that it had started."""
        if not self._loss_told:
            self._loss_told = True
            logger.warning("%s lost a rollout, trying again: %s", self._url, error)

    def back(self) -> None:
        """It started a rollout."""
        if self._away_since is not None:
            gone_s = asyncio.get_running_loop().time() - self._away_since
            logger.warning("%s is back after %.0f s", self._url, gone_s)
        self._away_since, self._loss_told = None, False


_KNOWN: WeakKeyDictionary[EnvClient, Presence] = WeakKeyDictionary()


def presence_of(env: EnvClient) -> Presence:
    """The one of this client of an environment."""
    return _KNOWN.setdefault(env, Presence(env.url))
