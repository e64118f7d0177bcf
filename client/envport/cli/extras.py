"""The optional parts of envport: asked for when a command needs them, with the `pip install` when one is missing."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from envport_protocol.errors import EnvportError

if TYPE_CHECKING:
    from types import ModuleType


class MissingExtraError(EnvportError):
    """A command needs a package that comes with an extra of envport, and it is not installed."""


def require(module: str, extra: str) -> ModuleType:
    """The imported `module`, which `pip install 'envport[extra]'` brings.

    Call it in the body of a command, before the typed import: `require("docker", "docker")`.

    Raises:
        MissingExtraError: the module, or a package that it imports, is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.split(".")[0].startswith("envport"):
            raise
        raise MissingExtraError(
            f"this command needs the package {missing.name!r}, which is not installed: pip install 'envport[{extra}]'"
        ) from missing
