"""What a server's URL carries for that server alone, a user, a password and a query, kept out of messages and logs."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, unquote_plus

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterable

HIDDEN = "…"
_LEAST_CHARS = 4
"""Of what is hidden wherever it stands; less is hidden only where it is a word, and in a query is no secret."""


class Scrubber:
    """Takes out of a server's own words what of `address` is secret, and `others`, for a server may echo a request."""

    def __init__(self, address: httpx.URL, others: Iterable[str] = ()) -> None:
        query = address.query.decode("ascii")
        values = [value for _, value in parse_qsl(query)] + re.split("[&=]", query)
        names = [name for name, _ in parse_qsl(query, keep_blank_values=True)]
        told = [value for value in values if len(value) >= _LEAST_CHARS and value not in names]
        user = address.userinfo.decode("ascii")
        secrets = {query, unquote_plus(query), user, unquote(user), *user.split(":", 1), *told, *others}
        secrets |= {address.username, address.password}
        longest_first = sorted(secrets - {""}, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_as_pattern, longest_first))) if longest_first else None

    def __call__(self, text: str) -> str:
        """`text` with an ellipsis in place of each."""
        return self._pattern.sub(HIDDEN, text) if self._pattern else text


def keep_out_of_logs() -> None:
    """Have httpx log its requests' URLs without user, password and query from now on. A second call does nothing."""
    logging.getLogger("httpx").addFilter(_bare_urls)


def _bare_urls(record: logging.LogRecord) -> bool:
    if isinstance(record.args, tuple):
        record.args = tuple(_bare(value) if isinstance(value, httpx.URL) else value for value in record.args)
    return True


def _bare(url: httpx.URL) -> httpx.URL:
    return url.copy_with(username=None, password=None, query=None, fragment=None)


def _as_pattern(secret: str) -> str:
    return re.escape(secret) if len(secret) >= _LEAST_CHARS else rf"(?<!\w){re.escape(secret)}(?!\w)"
