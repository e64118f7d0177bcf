"""A server without tokens is for its own machine."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from envport_protocol.errors import ServeError

if TYPE_CHECKING:
    import socket

    from envport_protocol.config import ServeConfig


def refuse_open(listener: socket.socket, config: ServeConfig, *, allow_open: bool) -> None:
    """Returns where the bound socket may be served: there are tokens, only this machine reaches it, or it was allowed.

    Raises:
        ServeError: others reach it, and there are no tokens.
    """
    address = listener.getsockname()[0]
    if config.tokens is not None or allow_open or ipaddress.ip_address(address).is_loopback:
        return
    raise ServeError(
        f"other machines can reach {address}, and no token is set: everybody there could run tools and read rewards. "
        "Set ENVPORT_TRAINER_TOKEN (for agents ENVPORT_AGENT_TOKEN, for you ENVPORT_ADMIN_TOKEN) to 16 characters or "
        "more, such as `openssl rand -hex 32` makes; or listen on 127.0.0.1; or, where nobody else can reach it, say "
        "--no-auth"
    )
