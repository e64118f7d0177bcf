"""Tools are what the manifest says, with schemas that a model's provider can read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from envport.check.definition import BrokenError, NotApplicableError, check
from envport.check.expectations import good

if TYPE_CHECKING:
    from envport.check.probe import Probe

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@check(
    promise=8,
    expected="the tools of a rollout are among those of the manifest, and list_tools says the same as the start",
    remedy="list_tools must give the environment every tool that a rollout can have.",
)
async def tools_are_those_of_the_manifest(probe: Probe) -> str:
    """Compares the tools of the manifest, of list_tools with and without a rollout, and of starts."""
    declared = probe.manifest.get("tools", [])
    rollout = await probe.start()
    started = good(rollout.started)["tools"]
    if good(await rollout.list_tools())["tools"] != started:
        raise BrokenError("list_tools of the rollout differs from its start")
    if good(await probe.wire.post("list_tools", {}))["tools"] != declared:
        raise BrokenError("list_tools differs from the manifest")
    if started and not declared:
        raise NotApplicableError(
            "the environment says its tools for each rollout only, so the manifest cannot have them"
        )
    strange = [tool["name"] for tool in started if tool not in declared]
    if strange:
        raise BrokenError(f"the rollout has the tool {strange[0]!r}, and the manifest not, or otherwise")
    return f"{len(declared)} tools, {len(started)} of them in the rollout"


@check(
    promise=8,
    expected="each a JSON Schema 2020-12 of type object, and a name of up to 64 letters, digits and _ . -",
    remedy="Mend the tool's parameters or its name; @tool derives both from a typed method.",
)
async def tool_schemas_are_valid(probe: Probe) -> str:
    """Checks the name and the schema of each tool."""
    tools = probe.manifest.get("tools", []) or good((await probe.start()).started)["tools"]
    if not tools:
        raise NotApplicableError("the environment has no tools")
    for tool in tools:
        _check(tool)
    if len({tool["name"] for tool in tools}) != len(tools):
        raise BrokenError("two tools have one name")
    return f"{len(tools)} tools with valid schemas"


def _check(tool: dict[str, Any]) -> None:
    if not _NAME.fullmatch(tool["name"]):
        raise BrokenError(f"a tool has the name {tool['name']!r}")
    schema = tool["parameters"]
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise BrokenError(f"the schema of {tool['name']!r}: {error.message:.200}") from error
    if schema.get("type", "object") != "object" or not isinstance(schema, dict):
        raise BrokenError(f"the parameters of {tool['name']!r} are of type {schema.get('type')!r}")
