"""The first words with a server: is the URL one, is an environment there, and does it speak our protocol?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from envport_protocol.errors import NotFoundError, NotReadyError
from envport_protocol.messages import PROTOCOL_VERSION, Manifest, ProtocolRange
from pydantic import RootModel, ValidationError

from envport.errors import NotAnEnvironmentError, ProtocolError, TransportError, VersionError

if TYPE_CHECKING:
    from envport.transport import Transport


def checked_url(url: str) -> str:
    """The URL without a slash at its end.

    Raises:
        TransportError: it is no absolute http or https URL, or has a query or a fragment.
    """
    import httpx  # slow to import, and most commands never connect

    shown = without_secrets(url)
    try:
        parts = httpx.URL(url)
        parts.host.encode("idna")
    except (httpx.InvalidURL, UnicodeError) as error:
        told = "" if shown != url else f" ({error})"
        raise TransportError(shown, f"is no URL{told}; expected one such as http://127.0.0.1:8000") from None
    if parts.scheme not in ("http", "https") or not parts.host:
        raise TransportError(shown, "is no http or https URL; expected one such as http://127.0.0.1:8000")
    if parts.userinfo:
        raise TransportError(shown, "has a user or a password in it; give `http=` a client that sends them instead")
    if parts.query or parts.fragment:
        raise TransportError(shown, "has a query or a fragment; expected only host, port and, if need be, a path")
    return str(parts).rstrip("/")


def without_secrets(url: str) -> str:
    """The URL without user, password, query and fragment, be it a URL or not."""
    scheme, mark, rest = url.rpartition("://") if url.count("://") == 1 else ("", "", url)
    before, _, after = rest.rpartition("@")
    shown = "…" if re.search(r"[?#]", before) else re.split(r"[?#]", after)[0]
    return scheme + mark + shown


class JsonObject(RootModel[dict[str, Any]]):
    pass


async def fetch_manifest(transport: Transport) -> Manifest:
    """The manifest of the server, once it is ready and its protocol was found to meet ours.

    Raises:
        NotAnEnvironmentError: something answers, but no environment.
        VersionError: the server does not speak our version.
        NotReadyError: the server did not get ready within the retries.
    """
    url = transport.url
    try:
        told = (await transport.get("/v1/manifest", JsonObject)).root
        _check_version(url, told.get("protocol"))
        return Manifest.model_validate(told)
    except VersionError:
        raise
    except (ProtocolError, NotFoundError, ValidationError) as error:
        raise NotAnEnvironmentError(
            url,
            f"something answers there, but it serves no environment: {_seen(error)}. "
            "Check host, port and path; `envport serve` and `envport run` print the URL to use",
        ) from error
    except NotReadyError as error:
        raise error.afresh(f"{url}: the environment is not ready: {error.message}") from error


def _check_version(url: str, spoken: Any) -> None:
    if not isinstance(spoken, dict):
        raise ProtocolError(url, "its /v1/manifest names no protocol versions")
    spoken_range = ProtocolRange.model_validate(spoken)
    lowest, highest, ours = (_version(url, text) for text in (spoken_range.min, spoken_range.max, PROTOCOL_VERSION))
    # Versions of one major differ by what a reader may ignore.
    if not lowest[0] <= ours[0] <= highest[0]:
        side = "the server" if highest < ours else "this envport (pip install -U envport)"
        raise VersionError(
            url,
            f"the server speaks protocol {spoken_range.min} to {spoken_range.max}, this client {PROTOCOL_VERSION}; "
            f"update {side}",
        )


def _version(url: str, text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,6})\.(\d{1,6})", text)
    if match is None:
        raise ProtocolError(url, f"its protocol version is {text[:40]!r}, expected one such as {PROTOCOL_VERSION!r}")
    return int(match[1]), int(match[2])


def _seen(error: ProtocolError | NotFoundError | ValidationError) -> str:
    if isinstance(error, ValidationError):
        fault = error.errors(include_url=False, include_input=False)[0]
        return f"its /v1/manifest does not fit: {'.'.join(map(str, fault['loc']))}: {fault['msg']}"
    return f"GET /v1/manifest: {error.message}"
