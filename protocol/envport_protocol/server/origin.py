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
    name of the attacker's can be bent to (DNS rebinding): an IP address or `localhost`. That holds for what a page
    reads of its own server, too, where a browser sends no `Origin`: see `_is_browser`. Plain clients may go on calling
    a server by its name, as containers do.

    Raises:
        ForbiddenError: another origin.
    """
    origin = headers.get(b"origin")
    host = headers.get(b"host", b"").decode("latin-1").lower()
    if origin is None:
        if _is_browser(headers) and not (has_tokens or _is_fixed(host)):
            raise ForbiddenError(
                f"a browser asked a server without tokens that it knows as {host[:200]!r}, and a web page could be "
                "behind that name; ask by the server's IP address or as localhost"
            )
        return
    scheme, _, asked = origin.decode("latin-1").lower().partition("://")
    if scheme not in ("http", "https") or asked != host or not (has_tokens or _is_fixed(host)):
        raise ForbiddenError(
            f"a web page of {origin.decode('latin-1')[:200]!r} asked a server that it knows as {host[:200]!r}; only "
            "pages of this server may, and without tokens only by its IP address or as localhost"
        )


def _is_browser(headers: Mapping[bytes, bytes]) -> bool:
    # What a browser sends over plain HTTP to any name but localhost, and a page can neither take out nor put in:
    # a language, and no Sec-Fetch-Mode. Of plain clients those that send a language, as Node does, send both.
    return b"accept-language" in headers and b"sec-fetch-mode" not in headers


def _is_fixed(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or bool(ip_address(name))
    except ValueError:
        return False
