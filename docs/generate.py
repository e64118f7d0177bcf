"""Write the pages that follow from the code: docs/openapi.json and docs/errors.md. `make openapi` runs this.

The house tests hold that both are what this would write now.
"""

from __future__ import annotations

import importlib
import inspect
import json
from pathlib import Path

from envport_protocol import BaseEnv
from envport_protocol.errors import EnvportError, WireError
from envport_protocol.server import create_app

DOCS = Path(__file__).parent
ERROR_MODULES = {
    "envport_protocol.errors": "Environments",
    "envport.errors": "The client",
    "envport.cli.extras": "The command line",
    "envport_registry.errors": "The hub, bundles and names",
    "envport_registry.runner.errors": "Running",
    "envport_trainer.errors": "Training and evaluation",
}
ERRORS_HEAD = """\
# Errors

Written from the code by `make openapi`.

Each error that this project raises on purpose derives from `EnvportError` and says what was seen, what was expected
and what to do; its class says whose fault it is. The `envport` command prints the message as one line on stderr and
exits with status 1.

Errors with a code cross the wire in the [one error body](protocol.md#errors): a server raises the class, and its
client raises the same class again.
"""


def openapi() -> str:
    """The OpenAPI document of an environment's server, keys sorted."""
    document = create_app(BaseEnv()).openapi()
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def errors() -> str:
    """The page on errors: a table for each module that has some."""
    return "\n".join([ERRORS_HEAD, *(_section(module, title) for module, title in ERROR_MODULES.items())])


def errors_of(module: str) -> list[type[EnvportError]]:
    """The error classes that a module defines, in its order."""
    classes = [value for value in vars(importlib.import_module(module)).values() if inspect.isclass(value)]
    return [cls for cls in classes if issubclass(cls, EnvportError) and cls.__module__ == module]


def _section(module: str, title: str) -> str:
    rows = [_row(cls) for cls in errors_of(module)]
    head = ["| class | status | code | outcome | when |", "|---|---|---|---|---|"]
    return "\n".join([f"## {title}", "", f"`{module}`", "", *head, *rows, ""])


def _row(cls: type[EnvportError]) -> str:
    when = " ".join((cls.__doc__ or "").split())
    wire = f"{cls.status} | `{cls.code}` | `{cls.outcome}`" if issubclass(cls, WireError) else "- | - | -"
    return f"| `{cls.__name__}` | {wire} | {when} |"


if __name__ == "__main__":
    (DOCS / "openapi.json").write_text(openapi(), "utf-8")
    (DOCS / "errors.md").write_text(errors(), "utf-8")
