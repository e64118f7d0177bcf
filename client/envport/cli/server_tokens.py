"""The bearer tokens of a server, by environment variables alone: a command line is seen by all users of a machine."""

from __future__ import annotations

import os

import typer
from envport_protocol.config import Tokens
from envport_protocol.server.privacy import hide_process

_SCOPES = {"trainer": "ENVPORT_TRAINER_TOKEN", "agent": "ENVPORT_AGENT_TOKEN", "admin": "ENVPORT_ADMIN_TOKEN"}
_CHARS = (16, 512)


def given_tokens() -> dict[str, str]:
    """The variables of tokens that are set and not empty.

    Raises:
        typer.BadParameter: one has a length that `Tokens` would refuse or a character that no header can carry, or two
            are the same. Their text is not shown.
    """
    given = {name: value for name in _SCOPES.values() if (value := os.environ.get(name))}
    low, high = _CHARS
    for name, value in given.items():
        if not low <= len(value) <= high:
            raise typer.BadParameter(
                f"{name} has {len(value)} characters, expected {low} to {high}, such as `openssl rand -hex 32` makes"
            )
        if not (value.isascii() and value.isprintable() and " " not in value):
            raise typer.BadParameter(
                f"{name} has characters that no Authorization header can carry; expected letters, digits and signs"
            )
    if len(set(given.values())) != len(given):
        raise typer.BadParameter(f"{' and '.join(given)} must differ: each scope needs a token of its own")
    return given


def take_tokens() -> Tokens | None:
    """The tokens; None where there are none.

    The variables are unset, so that no tool's program inherits them, and the process is hidden, see `hide_process`.
    """
    given = given_tokens()
    for name in _SCOPES.values():
        os.environ.pop(name, None)
    if not given:
        return None
    hide_process()
    return Tokens.model_validate({scope: given[name] for scope, name in _SCOPES.items() if name in given})
