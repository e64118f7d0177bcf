"""The OpenAPI document of the protocol, made from the message classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import orjson
from pydantic.json_schema import models_json_schema

from envport_protocol import messages as m

if TYPE_CHECKING:
    from pydantic import BaseModel

_POSTS: dict[str, tuple[type[BaseModel], type[BaseModel]]] = {
    "start_rollout": (m.StartRolloutRequest, m.StartRolloutAnswer),
    "fork_rollout": (m.ForkRolloutRequest, m.StartRolloutAnswer),
    "list_tools": (m.ListToolsRequest, m.ListToolsAnswer),
    "run_tool": (m.RunToolRequest, m.RunToolAnswer),
    "compute_reward": (m.ComputeRewardRequest, m.ComputeRewardAnswer),
    "compute_group_reward": (m.ComputeGroupRewardRequest, m.ComputeGroupRewardAnswer),
    "cancel": (m.CancelRequest, m.CancelAnswer),
    "end_rollout": (m.EndRolloutRequest, m.EndRolloutAnswer),
}
_MODELS: list[type[BaseModel]] = [
    m.Manifest,
    m.TaskPage,
    m.ErrorBody,
    m.OpenRollouts,
    m.BatchRequest,
    m.BatchLine,
    *(model for pair in _POSTS.values() for model in pair),
]
_REF = "#/components/schemas/"


def openapi_document(title: str, version: str) -> bytes:
    """The document as JSON."""
    mode: Literal["validation"] = "validation"
    _, schemas = models_json_schema([(model, mode) for model in _MODELS], ref_template=_REF + "{model}")
    paths: dict[str, Any] = {
        "/v1/manifest": {"get": _operation("manifest", m.Manifest)},
        "/v1/tasks": {"get": {**_operation("tasks", m.TaskPage), "parameters": _query(m.TasksRequest)}},
    }
    for verb, (request, answer) in _POSTS.items():
        body = {"required": True, "content": _content(request)}
        paths[f"/v1/{verb}"] = {"post": {**_operation(verb, answer), "requestBody": body}}
    for probe in ("livez", "readyz"):
        paths[f"/{probe}"] = {"get": _operation(probe, None)}
    return orjson.dumps(
        {
            "openapi": "3.1.0",
            "info": {"title": title, "version": version, "x-envport-protocol": m.PROTOCOL_VERSION},
            "paths": paths,
            "components": {"schemas": schemas["$defs"]},
        }
    )


def _operation(verb: str, answer: type[BaseModel] | None) -> dict[str, Any]:
    good: dict[str, Any] = {"description": "Done"}
    if answer is not None:
        good["content"] = _content(answer)
    bad = {"description": "Failed; the body says whose fault it was", "content": _content(m.ErrorBody)}
    return {"operationId": verb, "responses": {"200": good, "default": bad}}


def _content(model: type[BaseModel]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REF + model.__name__}}}


def _query(model: type[BaseModel]) -> list[dict[str, Any]]:
    schema = model.model_json_schema()
    return [
        {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": field}
        for name, field in schema["properties"].items()
    ]
