"""Write the pages that follow from the code: openapi.json, errors.md and command-line.md. `make openapi` runs this.

The house tests hold that each is what this would write now.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import typer.main
from envport.cli import app
from envport_protocol.errors import EnvportError, WireError
from envport_protocol.messages import PROTOCOL_VERSION
from envport_protocol.openapi import openapi_document

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
    document = json.loads(openapi_document("An environment", PROTOCOL_VERSION))
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


COMMAND_LINE_HEAD = """\
# The command line

Written from the code by `make openapi`.

What a command reports goes to stdout, with `--json` as JSON; remarks, progress and errors go to stderr. Exit status: 0
done, 1 an error that was foreseen (one line that says what was seen, what was expected and what to do), 2 wrong usage,
130 interrupted by Ctrl-C or SIGTERM. An option that names an environment variable takes it from there when it is not
given.
"""


def command_line() -> str:
    """The page on commands: a section with a table of parameters for each."""
    commands = commands_of(typer.main.get_command(app))
    return "\n".join([COMMAND_LINE_HEAD, *(_command(name, command) for name, command in commands.items())])


def commands_of(command: Any, name: str = "envport") -> dict[str, Any]:
    """Every command that does something, by its full name. typer brings its own click, so groups go by their shape."""
    children: dict[str, Any] | None = getattr(command, "commands", None)
    if children is None:
        return {name: command}
    below = [commands_of(child, f"{name} {child_name}") for child_name, child in children.items()]
    return {leaf_name: leaf for group in below for leaf_name, leaf in group.items()}


def _command(name: str, command: Any) -> str:
    prose, *examples = re.split(r"Examples?:", inspect.cleandoc(command.help or ""))
    lines = [line.strip() for example in examples for line in example.splitlines() if line.strip()]
    hints = get_type_hints(inspect.unwrap(command.callback))
    rows = [_parameter(param, hints[param.name]) for param in command.params if "--help" not in param.opts]
    head = ["| parameter | variable | default | meaning |", "|---|---|---|---|"] if rows else []
    shown = ["```sh", *lines, "```", ""]
    return "\n".join([f"## `{name}`", "", prose.strip(), "", *shown, *head, *rows, ""])


def _parameter(param: Any, hint: Any) -> str:
    if param.param_type_name == "argument":
        label = f"`{param.metavar or param.name.upper()}`"
    else:
        label = ", ".join(f"`{opt}`" for opt in [*param.opts, *param.secondary_opts])
    default = param.default
    shown = "" if default is None or default is False or callable(default) else f"`{default}`"
    variable = f"`{param.envvar}`" if param.envvar else ""
    choices = [f"`{choice}`" for choice in get_args(hint)] if get_origin(hint) is Literal else []
    meaning = " ".join([param.help or "", *([f"One of {', '.join(choices)}."] if choices else [])])
    cells = [label, variable, shown, meaning.strip()]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


PAGES = {"openapi.json": openapi, "errors.md": errors, "command-line.md": command_line}

if __name__ == "__main__":
    for page, write in PAGES.items():
        (DOCS / page).write_text(write(), "utf-8")
