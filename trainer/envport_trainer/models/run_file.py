"""Settings of a run as the TOML file that `envport train` reads."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def as_toml(settings: Mapping[str, Any]) -> str:
    """`settings`, JSON values by the names of `TrainConfig`, as TOML; those that are None are left out."""
    values = {name: value for name, value in settings.items() if name != "envs"}
    envs = [("[[env]]", env) for env in settings.get("envs", [])]
    return "\n\n".join(block for block in (*_blocks("", values), *(_table(*env) for env in envs)) if block) + "\n"


def _blocks(place: str, values: Mapping[str, Any]) -> Iterator[str]:
    """The table `place`, then those within it; plain keys come first, or they would belong to another table."""
    yield _table(f"[{place}]" if place else "", values)
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _blocks(f"{place}.{_text(name)}" if place else _text(name), value)


def _table(header: str, values: Mapping[str, Any]) -> str:
    plain = {name: value for name, value in values.items() if not isinstance(value, dict) and value is not None}
    lines = [f"{name} = {_value(value)}" for name, value in plain.items()]
    return "\n".join([header, *lines] if header and lines else lines)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return _text(str(value))


def _text(value: str) -> str:
    """A basic string: JSON's escapes are TOML's too, but for one character that JSON leaves as it is."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
