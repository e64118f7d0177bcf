"""Whether an environment is still the one that the run began with."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from envport import ProtocolError, TransportError
from envport_protocol.errors import WireError

from envport_trainer.errors import EnvironmentChangedError

if TYPE_CHECKING:
    from envport.client import EnvClient

logger = logging.getLogger(__name__)


async def check_unchanged(env: EnvClient) -> None:
    """Returns where the environment has the digest that it had when the run connected, or does not answer now.

    Raises:
        EnvironmentChangedError: another version, or another environment, is served there by now.
    """
    began = env.manifest
    try:
        now = await env.current_manifest()
    except (TransportError, ProtocolError, WireError) as error:
        logger.debug("%s could not be asked who it is: %s", env.url, error)
        return
    if (now.name, now.digest) != (began.name, began.digest):
        raise EnvironmentChangedError(
            f"{env.url} served {began.name} {began.version} ({began.digest or 'no digest'}) when the run connected, "
            f"and serves {now.name} {now.version} ({now.digest or 'no digest'}) now: rewards before and after "
            "would not be comparable. Serve the earlier version again and go on with --resume, or begin a new run "
            "from this one's model with another --output"
        )
