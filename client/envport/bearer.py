"""The caller's token, before it is sent anywhere."""

from __future__ import annotations

import re

from envport_protocol.errors import InvalidRequestError


def checked_token(token: str | None) -> str | None:
    """The token.

    Raises:
        InvalidRequestError: it cannot stand in a header. The message does not repeat it.
    """
    if token is not None and not re.fullmatch(r"[!-~]{1,512}", token):
        raise InvalidRequestError("the token cannot be sent: expected 1 to 512 printable ASCII characters, no spaces")
    return token
