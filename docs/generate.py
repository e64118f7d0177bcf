"""Write the pages that follow from the code: openapi.json, errors.md, command-line.md and train-config.md.

`make openapi` runs this. The house tests hold that each is what this would write now.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

import typer.main
from envport.check import CHECKS, PROMISES
from envport.cli import app
from envport_protocol.errors import EnvportError, WireError
from envport_protocol.messages import PROTOCOL_VERSION
from envport_protocol.server.openapi import openapi_document
from envport_trainer.alarms.settings import AlarmSettings
from envport_trainer.config import EnvSource, TrainConfig
from pydantic import BaseModel

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

DOCS = Path(__file__).parent
ERROR_MODULES = {
    "envport_protocol.errors": "Environments",
    "envport.errors": "The client",
    "envport.check.catalogue": "Checking",
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


TRAIN_CONFIG_HEAD = """\
# The configuration of a training run

Written from the code by `make openapi`.

`envport train FILE.toml` reads these keys. A flag of the same name, or `--set KEY=VALUE`, goes before the file's. An
unknown key is an error. TOML has no null: where `none` is possible, the text `"none"` stands for it.
[`examples/demo.toml`](../examples/demo.toml) is a whole one.
"""


def train_config() -> str:
    """The page on the keys of a training run: a table for the top level, one for the `[[env]]` tables."""
    top = [*_keys(TrainConfig, {"envs": "env"}), ""]
    env = ["## `[[env]]`", "", "One table for each environment.", "", *_keys(EnvSource, {}), ""]
    alarms = [
        "## `[alarms]`",
        "",
        "What warns and what stops: [alarms.md](alarms.md).",
        "",
        *_keys(AlarmSettings, {}),
        "",
    ]
    return "\n".join([TRAIN_CONFIG_HEAD, *top, *env, *alarms])


def _keys(model: type[BaseModel], toml_names: dict[str, str]) -> list[str]:
    """A table of the model's fields. `toml_names` are those that the file calls otherwise."""
    schema, meanings = model.model_json_schema(), _strings_under_fields(model)
    rows = [
        [f"`{toml_names.get(name, name)}`", _type(schema["properties"][name]), _default(field), meanings[name]]
        for name, field in model.model_fields.items()
    ]
    head = ["| key | type | default | meaning |", "|---|---|---|---|"]
    return [*head, *("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)]


def _strings_under_fields(cls: type) -> dict[str, str]:
    (definition,) = ast.parse(inspect.getsource(cls)).body
    assert isinstance(definition, ast.ClassDef)
    return {
        field.target.id: " ".join(below.value.value.split())
        for field, below in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
    }


_TYPES = {"integer": "integer", "number": "number", "string": "text", "array": "list", "boolean": "true or false"}
_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def _type(schema: dict[str, Any]) -> str:
    """What a JSON Schema asks for, in words: "integer ≥ 1", "one of `a`, `b`"."""
    if "anyOf" in schema:
        return " or ".join(_type(choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return "one of " + ", ".join(f"`{value}`" for value in schema["enum"])
    if "prefixItems" in schema:
        return "list of " + ", ".join(_type(item) for item in schema["prefixItems"])
    if "$ref" in schema.get("items", {}):
        return "tables"
    if "$ref" in schema:
        return "table"
    if "enum" in schema.get("items", {}):
        return f"list of {_type(schema['items'])}"
    if schema["type"] == "null":
        return "none"
    kind = "path" if schema.get("format") == "path" else _TYPES[schema["type"]]
    bounds = [f"{sign} {schema[key]:.10g}" for key, sign in _BOUNDS.items() if key in schema]
    return f"{kind} {' and '.join(bounds)}".strip()


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is None:
        return "none"
    if isinstance(value, BaseModel):
        return "see below"
    shown = json.dumps(str(value) if isinstance(value, Path) else value)
    return f"`{shown}`"


CHECKS_HEAD = """\
# The checks

Written from the code by `make openapi`.

`envport check URL` holds a served environment against the promises of the [protocol](protocol.md), and `envport check
FOLDER` serves the folder for it, with tokens, by two workers, nearly full, and killed in the middle. What is found is
`passed`, `failed` (exit status 1) or `not_applicable`, for a reason that lies in the environment or in how it is
reached. As a library: `await envport.check.run("http://127.0.0.1:8000")` gives a `Report`.

Give `--project FOLDER` with a URL: the environment's own code knows the ground truths that must be in no answer, and
the oracle whose answers must score best. A server that asks for tokens is asked with those in `ENVPORT_ENV_TOKEN` (the
trainer's) and `ENVPORT_AGENT_TOKEN`. It should have no other clients meanwhile: some checks count what it did, and a
server for at most 2000 rollouts is filled.

The checks send plain HTTP with bodies of their own making, not by envport's client. Arguments for tools are made from
their JSON Schemas, the same for the same `--seed`; a schema for which none can be made is called with arguments that it
refuses. Tasks are the first ones of the first split, or messages where the environment has none. So an environment
whose tools act on the world outside is called some hundred times with made-up arguments, and one whose rewards cost
money is asked for about 200.

Gold scores the maximum where the oracle's answer gets the most that the scored components can give together: the sum of
the better of weight x max and weight x min. Whatever else is tried must get less than gold, and an empty answer at most
half way from the least that they can give to gold.
"""


def checks() -> str:
    """The page on the checks: a table for each promise."""
    return "\n".join([CHECKS_HEAD, *(_promise(number, title) for number, title in PROMISES.items())])


def _promise(number: int, title: str) -> str:
    rows = [[f"`{one.name}`", one.does, one.expected, one.remedy] for one in CHECKS if one.promise == number]
    head = ["| check | what is done | expected | remedy |", "|---|---|---|---|"]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([f"## {number}. {title}", "", *head, *lines, ""])


PAGES = {
    "openapi.json": openapi,
    "check.md": checks,
    "errors.md": errors,
    "command-line.md": command_line,
    "train-config.md": train_config,
}

if __name__ == "__main__":
    for page, write in PAGES.items():
        (DOCS / page).write_text(write(), "utf-8")
