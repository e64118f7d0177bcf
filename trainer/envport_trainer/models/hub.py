"""Whether the hub of models can be asked at all, so that no name is tried for a minute without a network."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass


def hub_is_away() -> str | None:
    """Why no request can reach the hub of models; None where one may, and where the user forbade to ask it."""
    from huggingface_hub import constants

    url = urlsplit(constants.ENDPOINT)
    host = url.hostname or ""
    proxied = url.scheme in getproxies() and not proxy_bypass(host)
    if constants.HF_HUB_OFFLINE or proxied:
        return None
    try:
        socket.getaddrinfo(host, url.port or 443)
    except OSError as error:
        return f"the name {host} cannot be resolved: {error.strerror or error}"
    return None
