"""The OpenAPI document of the protocol, made from the message classes, the table of scopes and the error classes."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal

import orjson
from pydantic.json_schema import models_json_schema

from envport_protocol import errors as e
from envport_protocol import messages as m
from envport_protocol.config import ServeConfig
from envport_protocol.server.openapi_examples import BATCH, EXAMPLES
from envport_protocol.server.scopes import NEEDED, Scope

if TYPE_CHECKING:
    from collections.abc import Iterable

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

_HTTP = (400, 408, 431)
"""Whatever is asked."""
_TOKEN = (401, 403)
_BODY = (413, 415, 422)
_ENV = (500, 503, 504)
"""Where the environment's code may run."""
_ROLLOUT = (404, 409, 410, *_ENV)
_MORE: dict[str, tuple[int, ...]] = {
    "manifest": (500, 503),
    "tasks": (404, 422, *_ENV),
    "rollouts": (500, 503),
    "fork_rollout": (*_ROLLOUT, 501),
    "batch": (500, 503),
    "readyz": (503,),
}
"""Over the above, by operation."""


def openapi_document(title: str, version: str, config: ServeConfig | None = None) -> bytes:
    """The document as JSON, of a server with this config; None: one with tokens, and the rest by default."""
    mode: Literal["validation"] = "validation"
    _, schemas = models_json_schema([(model, mode) for model in _MODELS], ref_template=_REF + "{model}")
    definitions = schemas["$defs"]
    _sharpen(definitions, (config or ServeConfig()).max_batch)
    is_open = config is not None and config.tokens is None
    paths: dict[str, Any] = {
        "/v1/manifest": {"get": _get("manifest", m.Manifest)},
        "/v1/tasks": {"get": {**_get("tasks", m.TaskPage), "parameters": [*_query(m.TasksRequest), *_HEADERS]}},
        **{f"/v1/{verb}": {"post": _post(verb)} for verb in _POSTS},
        "/v1/batch": {"post": _batch()},
        "/v1/rollouts": {"get": _get("rollouts", m.OpenRollouts)},
        "/livez": {"get": _probe("livez", "alive")},
        "/readyz": {"get": _probe("readyz", "ready")},
        "/metrics": {"get": _text("metrics", "text/plain", "application/openmetrics-text")},
        "/openapi.json": {"get": _schemaless("openapi", "application/json", {"type": "object"})},
        "/": {"get": _text("page", "text/html")},
    }
    for path, methods in paths.items():
        for operation in methods.values():
            operation["x-envport-scope"] = NEEDED[path].name.lower()
            operation["security"] = _security(NEEDED[path], is_open=is_open)
    info = {"title": title, "version": version, "x-envport-protocol": m.PROTOCOL_VERSION}
    components = {
        "schemas": definitions,
        "responses": {_name(status): _failure(status) for status in sorted(_by_status())},
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
    }
    return orjson.dumps({"openapi": "3.1.0", "info": info, "paths": paths, "components": components})


def _get(name: str, answer: type[BaseModel]) -> dict[str, Any]:
    return _schemaless(name, "application/json", {"$ref": _REF + answer.__name__}, answer.__doc__)


def _post(verb: str) -> dict[str, Any]:
    request, answer = _POSTS[verb]
    asked, answered = EXAMPLES[verb]
    good = _content("application/json", {"$ref": _REF + answer.__name__}, answered)
    body = _content("application/json", {"$ref": _REF + request.__name__}, asked)
    statuses = (*_HTTP, *_TOKEN, *_BODY, *_MORE.get(verb, _ROLLOUT))
    return {
        **_operation(verb, good, statuses, request.__doc__),
        "requestBody": {"required": True, "content": body},
    }


def _batch() -> dict[str, Any]:
    asked, line = BATCH
    told = "Lines of JSON, one BatchLine for each call, in the order in which they are done"
    good = _content("application/x-ndjson", {"type": "string", "description": told}, orjson.dumps(line).decode() + "\n")
    good["application/x-ndjson"]["x-envport-line"] = {"$ref": _REF + m.BatchLine.__name__}
    body = _content("application/json", {"$ref": _REF + m.BatchRequest.__name__}, asked)
    statuses = (*_HTTP, *_TOKEN, *_BODY, *_MORE["batch"])
    return {
        **_operation("batch", good, statuses, m.BatchRequest.__doc__),
        "requestBody": {"required": True, "content": body},
    }


def _probe(name: str, status: str) -> dict[str, Any]:
    told = {"type": "object", "properties": {"status": {"const": status}}, "required": ["status"]}
    return _schemaless(name, "application/json", told)


def _text(name: str, *media_types: str) -> dict[str, Any]:
    good = {media_type: {"schema": {"type": "string"}} for media_type in media_types}
    return _operation(name, good, _HTTP, None)


def _schemaless(name: str, media_type: str, schema: dict[str, Any], told: str | None = None) -> dict[str, Any]:
    token = _TOKEN if NEEDED.get(f"/v1/{name}", Scope.ANYONE) > Scope.ANYONE else ()
    return _operation(name, _content(media_type, schema), (*_HTTP, *token, *_MORE.get(name, ())), told)


def _operation(name: str, good: dict[str, Any], statuses: Iterable[int], told: str | None) -> dict[str, Any]:
    first, _, rest = (told or "").strip().partition("\n")
    texts = {"summary": first, "description": " ".join(rest.split())}
    answered = {"description": "Done", "headers": {"X-Request-Id": _REQUEST_ID}, "content": good}
    return {
        "operationId": name,
        **{key: text for key, text in texts.items() if text},
        "parameters": _HEADERS,
        "responses": {
            "200": answered,
            **{str(status): {"$ref": f"#/components/responses/{_name(status)}"} for status in sorted({*statuses})},
        },
    }


def _content(media_type: str, schema: dict[str, Any], example: Any = None) -> dict[str, Any]:
    return {media_type: {"schema": schema} | ({} if example is None else {"example": example})}


def _security(needed: Scope, *, is_open: bool) -> list[dict[str, list[str]]]:
    if needed is Scope.ANYONE:
        return []
    return [{"token": []}, {}] if is_open else [{"token": []}]


_REQUEST_ID = {"description": "As it was sent, or one made here", "schema": {"type": "string"}}
_HEADERS: list[dict[str, Any]] = [
    {
        "name": "X-Request-Id",
        "in": "header",
        "description": "1 to 128 printable ASCII characters without spaces; echoed, and in the server's log",
        "schema": {"type": "string"},
    },
    {"name": "traceparent", "in": "header", "description": "W3C trace context", "schema": {"type": "string"}},
]
_FAILURE_HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"schema": {"const": "Bearer"}}},
    503: {"Retry-After": {"description": "Seconds", "schema": {"type": "string"}}},
}


def _by_status() -> dict[int, list[type[e.WireError]]]:
    found: dict[int, list[type[e.WireError]]] = {}
    for error in e.WireError.__subclasses__():
        if error.__module__ == e.__name__ and error.status != HTTPStatus.METHOD_NOT_ALLOWED:
            found.setdefault(error.status, []).append(error)
    return found


def _name(status: int) -> str:
    return "".join(word.capitalize() for word in HTTPStatus(status).name.split("_"))


def _failure(status: int) -> dict[str, Any]:
    errors = _by_status()[status]
    body = {
        "allOf": [{"$ref": _REF + m.ErrorBody.__name__}],
        "properties": {"error": {"properties": {"code": {"enum": [error.code for error in errors]}}}},
    }
    told = "; ".join(f"`{error.code}`: {' '.join((error.__doc__ or '').split())}" for error in errors)
    example = errors[0]("What was seen, what was expected, what to do.").to_body().model_dump(mode="json")
    return {
        "description": told,
        "headers": {"X-Request-Id": _REQUEST_ID, **_FAILURE_HEADERS.get(status, {})},
        "content": _content("application/json", body, example),
    }


def _query(model: type[BaseModel]) -> list[dict[str, Any]]:
    schema = model.model_json_schema()
    return [
        {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": field}
        for name, field in schema["properties"].items()
    ]


def _sharpen(definitions: dict[str, Any], max_batch: int) -> None:
    """Adds what is checked and pydantic does not tell."""
    definitions["BatchRequest"]["properties"]["calls"]["maxItems"] = max_batch
    definitions["StartRolloutRequest"]["oneOf"] = [
        _naming(task_id={"type": "string"}),
        _naming(split={"type": "string"}, index={"type": "integer"}),
        _naming("ground_truth", messages={"type": "array"}),
    ]


def _naming(*optional: str, **required: dict[str, str]) -> dict[str, Any]:
    """One way to name a task: these fields, these perhaps, and none of the other ways'."""
    ways = ("task_id", "split", "index", "messages", "ground_truth")
    others = {name: {"type": "null"} for name in ways if name not in required and name not in optional}
    return {"required": [*required], "properties": {**required, **others}}
