"""The log of a server: a line for each record on a terminal, a JSON object for each elsewhere.

What clients send may stand in a record. So control characters are escaped, no record can look like two, and whatever
looks like a secret is taken out: a last line of defence, since nothing here logs one on purpose.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TextIO
from urllib.parse import quote

from envport_protocol.server.request_ids import request_id, traceparent

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from envport_protocol.config import ServeConfig

LogFormat = Literal["auto", "text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

REDACTED = "[redacted]"

_CHATTY = ("httpx", "mcp")
"""Libraries that write a line for each call at INFO."""

_TOKENS = r"rollout\.[A-Za-z0-9_-]{43}\.[A-Za-z0-9._:-]+|(?<=Bearer )\S+|(?<=bearer )\S+"
"""A rollout's own token, and whatever stands where a token should."""

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters of every kind, those that turn the direction of text or begin a line, and halves of a pair."""

_SHORT_ID = 12
_STANDARD = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "color_message"})
"""What every record has, or uvicorn adds for its own colours; the rest was given by `extra`."""


def configure_logging(
    log_format: LogFormat = "auto",
    level: LogLevel = "info",
    *,
    secrets: Collection[str] = (),
    stream: TextIO | None = None,
) -> None:
    """Every record of this process goes to `stream` (None: stderr) in one form; a second call replaces the first.

    "auto" is text on a terminal and JSON elsewhere. `level` is that of this project; other code's DEBUG is never
    written, since libraries put headers there. `secrets` are not written, whoever logs them.
    """
    written = stream or sys.stderr
    is_text = log_format == "text" or (log_format == "auto" and written.isatty())
    handler = _Handler(written)
    handler.setFormatter(TextFormatter() if is_text else JsonFormatter())
    handler.addFilter(Redaction(secrets))
    number = logging.getLevelNamesMapping()[level.upper()]
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(max(number, logging.INFO))
    logging.getLogger("envport").setLevel(number)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    logging.captureWarnings(True)


def secrets_of(config: ServeConfig) -> list[str]:
    """The tokens and the key of a configuration, for `configure_logging`."""
    tokens = config.tokens
    given = [tokens.trainer, tokens.agent, tokens.admin] if tokens is not None else []
    return [secret.get_secret_value() for secret in (*given, config.rollout_secret) if secret is not None]


class _Handler(logging.StreamHandler[TextIO]):
    """The one that `configure_logging` added."""


class Redaction(logging.Filter):
    """Takes the secrets, rollout tokens and bearer tokens out of every record, its traceback and its extra fields."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        spellings = {spelling for secret in secrets for spelling in _spellings(secret)}
        known = [re.escape(spelling) for spelling in sorted(spellings, key=len, reverse=True)]
        self._pattern = re.compile("|".join([*known, _TOKENS]))

    def filter(self, record: logging.LogRecord) -> bool:
        """Keeps every record, without its secrets."""
        record.msg, record.args = self._without(_message(record)), None
        record.exc_text, record.stack_info = self._without(_failure(record) or "") or None, None
        for name, value in extras(record).items():
            plain = _plain(value)
            setattr(record, name, self._without(plain) if isinstance(plain, str) else plain)
        return True

    def _without(self, text: str) -> str:
        return self._pattern.sub(REDACTED, text)


class JsonFormatter(logging.Formatter):
    """One JSON object in one line of ASCII. Fields without a value are left out."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        trace_id, span_id = trace_ids()
        fields: dict[str, Any] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "pid": record.process,
            "message": _message(record),
            "request_id": request_id.get(),
            "trace_id": trace_id,
            "span_id": span_id,
            "exception": _failure(record),
        }
        given = {f"extra_{name}" if name in fields else name: _plain(value) for name, value in extras(record).items()}
        present = {name: value for name, value in fields.items() if value is not None}
        return json.dumps(present | given).replace("\x7f", "\\u007f")


class TextFormatter(logging.Formatter):
    """One line for a person; a traceback follows it, each of its lines indented."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, and the traceback."""
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S.%f")[:-3]
        asked_by = request_id.get()
        tail = f"  [{escaped(asked_by[-_SHORT_ID:])}]" if asked_by else ""
        line = f"{time} {record.levelname:<7} {escaped(_message(record))}{tail}"
        failure = _failure(record)
        return "\n".join([line, *(f"    {escaped(part)}" for part in failure.split("\n"))]) if failure else line


def trace_ids() -> tuple[str, str] | tuple[None, None]:
    """The trace and span id of the request at hand, as 32 and 16 hexadecimal digits."""
    parts = _TRACEPARENT.match(traceparent.get() or "")
    return (parts[1], parts[2]) if parts else (None, None)


def extras(record: logging.LogRecord) -> dict[str, Any]:
    """The fields that were given by `extra`."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def escaped(text: str) -> str:
    """The text with its control characters as `\\xNN` or `\\uNNNN`: it stays in its line and moves no cursor."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001 - a wrong log line must not fail the call that writes it
        return f"{_text(record.msg)} (its arguments do not fit: {type(error).__name__})"


def _failure(record: logging.LogRecord) -> str | None:
    if record.exc_info and not record.exc_text:
        record.exc_text = logging.Formatter().formatException(record.exc_info)
    return "\n".join(part for part in (record.exc_text, record.stack_info) if part) or None


def _plain(value: Any) -> str | float | None:
    """A JSON value: finite numbers, truth and text as they are, anything else as its text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float | None) else _text(value)


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - as above
        return f"{type(value).__name__} without a text: {type(error).__name__}"


def _spellings(secret: str) -> set[str]:
    """The ways in which a secret is written in messages, JSON, reprs and URLs."""
    return {secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], quote(secret, safe="")}
