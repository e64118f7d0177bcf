"""Which web pages may ask: this server's own, so that none that a user happens to visit acts in their name."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from envport_protocol.errors import ForbiddenError

if TYPE_CHECKING:
    from collections.abc import Mapping


def check_origin(headers: Mapping[bytes, bytes], *, has_tokens: bool) -> None:
    """Passes where no foreign web page can be behind the request.

    Browsers send `Origin` with every POST, nobody else needs to, so this leaves plain clients alone whatever the host
    is called. A page may come from this server itself. Where no token is asked for, its address must be one that no
    name of the attacker's can be bent to (DNS rebinding): an IP address or `localhost`.

    Raises:
        ForbiddenError: another origin.
    """
    origin = headers.get(b"origin")
    if origin is None:
        return
    host = headers.get(b"host", b"").decode("latin-1").lower()
    scheme, _, asked = origin.decode("latin-1").lower().partition("://")
    if scheme not in ("http", "https") or asked != host or not (has_tokens or _is_fixed(host)):
        raise ForbiddenError(
            f"a web page of {origin.decode('latin-1')[:200]!r} asked a server that it knows as {host[:200]!r}; only "
            "pages of this server may, and without tokens only by its IP address or as localhost"
        )


def _is_fixed(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or bool(ip_address(name))
    except ValueError:
        return False
