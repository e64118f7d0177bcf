"""Versions: the server says what it is and speaks, and refuses what it does not know."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from envport.check.definition import BrokenError, check
from envport.check.expectations import good, refused

if TYPE_CHECKING:
    from envport.check.probe import Probe
    from envport.check.wire import Reply

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_VERSION = re.compile(r"(\d{1,6})\.(\d{1,6})")


@check(
    promise=8,
    expected="protocol.min and protocol.max as major.minor, min not above max, major version 1 among them",
    remedy="The server must tell the range of protocol versions that it speaks; this envport speaks version 1.",
)
async def protocol_range_is_sane(probe: Probe) -> str:
    """Reads the protocol range of the manifest."""
    spoken = probe.manifest["protocol"]
    ends = [_VERSION.fullmatch(str(spoken.get(end))) for end in ("min", "max")]
    if ends[0] is None or ends[1] is None:
        raise BrokenError(f"the range is {spoken}")
    low, high = ((int(end[1]), int(end[2])) for end in ends if end)
    if low > high or not low[0] <= 1 <= high[0]:
        raise BrokenError(f"the range is {spoken}")
    return f"{spoken['min']} to {spoken['max']}"


@check(
    promise=8,
    expected="a name, a version, a digest of the form sha256:… or null; twice the same bytes",
    remedy="Set name and version in envport.toml. A digest comes from publishing: serve what was pulled.",
)
async def manifest_says_what_is_served(probe: Probe) -> str:
    """Reads the manifest twice."""
    first, again = await probe.wire.get("/v1/manifest"), await probe.wire.get("/v1/manifest")
    manifest = good(first)
    if first.body != again.body:
        raise BrokenError("two readings differ")
    for field in ("name", "version"):
        if not isinstance(manifest.get(field), str) or not manifest[field]:
            raise BrokenError(f"{field} is {manifest.get(field)!r}")
    digest = manifest.get("digest")
    if digest is not None and not _DIGEST.fullmatch(str(digest)):
        raise BrokenError(f"digest is {digest!r}")
    return f"{manifest['name']} {manifest['version']}, digest {digest}"


@check(
    promise=8,
    expected="422 invalid_request for each request, with the name of the field",
    remedy="The server must refuse a field that it does not know: it may be of a later version, and matter.",
)
async def unknown_request_fields_are_refused(probe: Probe) -> str:
    """Sends each request with a field more than it has."""
    rollout = await probe.start()
    (call,) = probe.calls(1)
    requests: dict[str, dict[str, Any]] = {
        "start_rollout": probe.start_body(),
        "list_tools": {},
        "run_tool": call.body(rollout.id, "c"),
        "compute_reward": {"rollout_id": rollout.id, "completion": "An answer."},
        "end_rollout": {"rollout_id": rollout.id},
    }
    if probe.can("fork"):
        requests["fork_rollout"] = {"rollout_id": rollout.id, "new_rollout_id": f"{rollout.id}.fork"}
    if probe.can("cancel"):
        requests["cancel"] = {"rollout_id": rollout.id, "call_id": "c"}
    for verb, body in requests.items():
        error = refused(await probe.wire.post(verb, {**body, "field_of_tomorrow": 1}), 422, "invalid_request")
        if "field_of_tomorrow" not in error["message"]:
            raise BrokenError(f"{verb}: the message does not name the field: {error['message']!r}")
    return f"422 for {', '.join(requests)}"


@check(
    promise=8,
    expected="404 not_found",
    remedy="The server must not answer under the path of a protocol that it does not speak.",
)
async def later_protocols_are_not_found(probe: Probe) -> str:
    """Asks under /v2 and /v99."""
    for path in ("/v2/manifest", "/v99/manifest"):
        refused(await probe.wire.get(path), 404, "not_found")
    return "404 not_found"


@check(
    promise=8,
    expected="each answer valid by the schema that /openapi.json has for it",
    remedy="The server's answers and its own description of them must agree; both come from the message classes.",
)
async def answers_fit_the_openapi_document(probe: Probe) -> str:
    """Validates an answer of each verb, and an error, by the server's own OpenAPI document."""
    document = good(await probe.wire.get("/openapi.json"))
    rollout = await probe.start()
    (call,) = probe.calls(1)
    replies = [
        await probe.wire.get("/v1/manifest"),
        rollout.started,
        await rollout.list_tools(),
        await rollout.run_tool(call),
        await rollout.score("An answer."),
        await rollout.end(),
        await rollout.run_tool(call),
    ]
    if probe.splits:
        replies.append(await probe.wire.get("/v1/tasks", split=probe.splits[0]["name"], limit=2))
    for reply in replies:
        method, path = reply.request.lower().split()
        _validate(document, document["paths"][path][method]["responses"], reply)
    return f"{len(replies)} answers fit"


def _validate(document: dict[str, Any], responses: dict[str, Any], reply: Reply) -> None:
    described = responses.get(str(reply.status), responses.get("default"))
    if described is None:
        raise BrokenError(f"/openapi.json describes no {reply.status} of {reply.request}")
    if "$ref" in described:
        described = document["components"]["responses"][described["$ref"].rpartition("/")[2]]
    schema = described["content"]["application/json"]["schema"]
    root = {"components": document["components"], "allOf": [schema]}
    error = best_match(Draft202012Validator(root).iter_errors(reply.json))
    if error is not None:
        place = ".".join(map(str, error.absolute_path)) or "the answer"
        raise BrokenError(f"{reply.told}: {place}: {error.message:.200}")
