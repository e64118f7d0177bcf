"""A user's own releases: a JSONL file of `{"text": ..., "event": {...}}` rows as tasks.

Labels made by hand are taken as they are, and read tolerantly: values joined by `;`, empty strings and `??` for
unknown, other spellings of a province, leaders above the total. A province label that names no province becomes
unknown. The raw labels are kept beside what was read from them. What cannot be read at all is an error that names file,
line and what was expected.

Rows are split by the digest of their text, so the rows of one release, however many incidents it tells, stay together.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, cast

from envport_protocol import EnvTask

from envport_extraction.errors import DatasetError
from envport_extraction.events import EVENT_TYPES, Event, FieldError, read_event
from envport_extraction.gazetteer import canonical_province
from envport_extraction.prompt import task_messages
from envport_extraction.tasks import text_sha256

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MAX_LINE_CHARS: Final = 200_000
MAX_ROWS: Final = 1_000_000
_SHAPE: Final = 'expected {"text": "...", "event": {"start_date": "2012-03-01", ...}}'


class ProvinceStatus(StrEnum):
    """What the province label was."""

    CANONICAL = "canonical"
    OTHER_SPELLING = "other spelling"
    UNKNOWN = "unknown"
    NOT_A_PROVINCE = "not a province"


@dataclass(frozen=True)
class Row:
    """One row of the file."""

    text: str
    raw: Mapping[str, Any]
    """The labels as they stand in the file, never changed."""
    event: Event
    """The labels as they are scored; provinces by canonical name."""
    province_status: ProvinceStatus
    line: int
    """Where the row stands in the file, from 1."""
    digest: str
    """Digest of the text."""


def load_rows(path: Path) -> list[Row]:
    """Every row of the file; blank lines are passed over.

    Raises:
        DatasetError: the file cannot be read, holds no row, or a row cannot be a task.
    """
    rows: list[Row] = []
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    rows.append(_read_row(line, number, f"{path}:{number}"))
                if len(rows) > MAX_ROWS:
                    raise DatasetError(f"{path} has more than {MAX_ROWS} rows; split the file")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"cannot read the data file {path}: {error}; expected a JSONL file in UTF-8") from error
    if not rows:
        raise DatasetError(f"{path} holds no rows; {_SHAPE} on each line")
    return rows


def split_rows(rows: list[Row], eval_share: float) -> tuple[list[Row], list[Row]]:
    """Training and evaluation rows, by the text's digest. A row stays in its split when others come or go."""
    train = [row for row in rows if not _is_held_out(row, eval_share)]
    return train, [row for row in rows if _is_held_out(row, eval_share)]


def row_tasks(rows: list[Row]) -> list[EnvTask]:
    """The rows as tasks. Ids are made of the text's digest and the line, so they are stable."""
    return [
        EnvTask(
            f"row-{row.digest[:16]}-{row.line}",
            messages=task_messages(row.text),
            ground_truth=row.event.to_json(),
            metadata={"source": "data", "line": row.line, "text_sha256": row.digest},
        )
        for row in rows
    ]


def _is_held_out(row: Row, eval_share: float) -> bool:
    return int(row.digest[:8], 16) < eval_share * 2**32


def _read_row(line: str, number: int, where: str) -> Row:
    if len(line) > MAX_LINE_CHARS:
        raise DatasetError(f"{where}: the line has {len(line)} characters; the limit is {MAX_LINE_CHARS}")
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{where}: not JSON ({error}); {_SHAPE}") from error
    if not isinstance(row, dict):
        raise DatasetError(f"{where}: a JSON {type(row).__name__}; {_SHAPE}")
    fields = cast("dict[str, Any]", row)
    text, labels = fields.get("text"), fields.get("event")
    if not isinstance(text, str) or not text.strip():
        raise DatasetError(f'{where}: "text" is {_short(text)}; {_SHAPE}')
    if _has_half_character(text):
        raise DatasetError(f'{where}: "text" is {_short(text)}, with half of a UTF-16 pair; expected whole characters')
    if not isinstance(labels, dict):
        raise DatasetError(f'{where}: "event" is {_short(labels)}; {_SHAPE}')
    raw = cast("dict[str, Any]", labels)
    return _label_row(text, raw, number, where)


def _label_row(text: str, raw: dict[str, Any], number: int, where: str) -> Row:
    try:
        event = read_event(raw)
    except FieldError as error:
        raise DatasetError(f"{where}: {error}") from error
    strangers = [name for name in event.event_type if name not in EVENT_TYPES]
    if strangers:
        raise DatasetError(f"{where}: event_type is {strangers[0]!r}; expected one or more of {', '.join(EVENT_TYPES)}")
    real = tuple(name for name in event.province if canonical_province(name))
    return Row(
        text=text,
        raw=raw,
        event=replace(event, province=real),
        province_status=_province_status(raw.get("province"), event.province, real),
        line=number,
        digest=text_sha256(text),
    )


def _province_status(raw: Any, read: tuple[str, ...], real: tuple[str, ...]) -> ProvinceStatus:
    if not read:
        return ProvinceStatus.UNKNOWN
    if real != read:
        return ProvinceStatus.NOT_A_PROVINCE
    written = raw if isinstance(raw, list) else [raw]
    return ProvinceStatus.CANONICAL if written == list(real) else ProvinceStatus.OTHER_SPELLING


def _has_half_character(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
