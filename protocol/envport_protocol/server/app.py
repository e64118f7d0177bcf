"""The HTTP server of one environment: a FastAPI app with one route for each verb."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.responses import Response
from starlette.routing import Route

from envport_protocol import messages as m
from envport_protocol.config import ServeConfig
from envport_protocol.errors import MethodNotAllowedError, NotFoundError, WireError
from envport_protocol.hosting.host import Host
from envport_protocol.hosting.observer import Observers
from envport_protocol.server.answers import error_answer, send_answer
from envport_protocol.server.batch import BatchEndpoint
from envport_protocol.server.disconnects import Disconnects
from envport_protocol.server.endpoint import Desk, Endpoint, GetEndpoint, PostEndpoint, Verb, server_failure
from envport_protocol.server.event_log import EventLog, add_event_log
from envport_protocol.server.mcp import McpEndpoint
from envport_protocol.server.metrics import Metrics, add_metrics
from envport_protocol.server.openapi import openapi_document
from envport_protocol.server.origin import check_origin
from envport_protocol.server.page import add_page
from envport_protocol.server.readiness import Readiness
from envport_protocol.server.reading import parse_query
from envport_protocol.server.request_ids import take_ids
from envport_protocol.server.scopes import NEEDED, Gate, needed_for

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from starlette.requests import Request
    from starlette.types import Message, Receive, Scope, Send

    from envport_protocol.env import BaseEnv
    from envport_protocol.hosting.line import Elsewhere
    from envport_protocol.hosting.observer import Observer

_CLOSE_TIMEOUT_S = 5.0
_MAX_TOLD = 200
"""Characters of a path that an error repeats."""


def create_app(
    env: BaseEnv,
    *,
    config: ServeConfig | None = None,
    observer: Observer | None = None,
    elsewhere: Elsewhere | None = None,
) -> EnvApp:
    """The app that serves `env`. The environment is asked for its tools and tasks once, in the background.

    `observer` is told of each event, beside the metrics and the log. `elsewhere` holds rollouts too, and with those
    here they are `max_rollouts` at most.

    Raises:
        EnvDefinitionError: `env` is no BaseEnv, or one of its methods asks for what the server does not have.
    """
    config = config or ServeConfig()
    metrics, events = Metrics(), EventLog()
    observers: list[Observer] = [metrics, events] if observer is None else [metrics, events, observer]
    app = EnvApp(Host(env, config, Observers(*observers), serves=("batch", "mcp"), elsewhere=elsewhere))
    add_metrics(app, app.desk.host, metrics)
    app.state.metrics = metrics
    add_event_log(app, events)
    return app


class EnvApp(FastAPI):
    """The app of one host. Its endpoints are called straight by their paths; FastAPI has the rest, and the 404s."""

    def __init__(self, host: Host) -> None:
        config = host.config
        self.desk = Desk(host, Readiness(host), Gate(config.tokens, host.key), Disconnects())
        self.endpoints: dict[str, Endpoint] = {one.path: one for one in _endpoints(self.desk)}
        super().__init__(
            title=host.name,
            version=config.version,
            docs_url=None,
            redoc_url=None,
            openapi_url=None,
            redirect_slashes=False,
            lifespan=_lifespan(self.desk),
            routes=[Route(one.path, one, methods=one.methods) for one in self.endpoints.values()],
            exception_handlers={404: _no_such_path, 405: _no_such_method, Exception: _failed},
        )
        self.state.host = host
        self.state.readiness = self.desk.readiness
        add_page(self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] == "http":
            endpoint = self.endpoints.get(scope["path"])
            if endpoint is not None and scope["method"] in endpoint.methods:
                await endpoint(scope, receive, send)
            else:
                await self._answer_other(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    async def _answer_other(self, scope: Scope, receive: Receive, send: Send) -> None:
        """By FastAPI: with the request's id, and only to those who may. They are `scope["state"]["caller"]`."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        request_id = take_ids(headers)
        has_begun = False

        async def send_with_id(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                message = {**message, "headers": [*message.get("headers", ()), (b"x-request-id", request_id)]}
            await send(message)

        path: str = scope["path"]
        try:
            if self.desk.host.config.tokens is None:
                check_origin(headers, has_tokens=False)
            caller = self.desk.gate.admit(path, needed_for(path), headers.get(b"authorization"))
            scope.setdefault("state", {})["caller"] = caller
            await super().__call__(scope, receive, send_with_id)
        except WireError as error:
            await send_answer(send, error_answer(error), request_id)
        except Exception as error:  # noqa: BLE001 - the boundary of the server's side
            if not has_begun:
                await send_answer(send, error_answer(server_failure(path, error)), request_id)


def verbs_of(host: Host) -> list[Verb]:
    """The verbs that are asked by `POST`, a batch's own calls among them."""
    rollout = attrgetter("rollout_id")

    def first_member(request: m.ComputeGroupRewardRequest) -> str:
        return request.members[0].rollout_id

    return [
        Verb("start_rollout", m.StartRolloutRequest, host.start_rollout, rollout),
        Verb("fork_rollout", m.ForkRolloutRequest, host.fork_rollout, rollout),
        Verb("list_tools", m.ListToolsRequest, host.list_tools, rollout),
        Verb("run_tool", m.RunToolRequest, host.run_tool, rollout, has_step_rewards=True),
        Verb("compute_reward", m.ComputeRewardRequest, host.compute_reward, rollout),
        Verb("compute_group_reward", m.ComputeGroupRewardRequest, host.compute_group_reward, first_member),
        Verb("cancel", m.CancelRequest, host.cancel, rollout),
        Verb("end_rollout", m.EndRolloutRequest, host.end_rollout, rollout),
    ]


def _endpoints(desk: Desk) -> list[Endpoint]:
    document = openapi_document(desk.host.name, desk.host.config.version, desk.host.config)

    async def manifest(_: Mapping[str, str]) -> bytes:
        return await (await desk.opened()).manifest()

    async def tasks(query: Mapping[str, str]) -> bytes:
        message = parse_query(query, m.TasksRequest)
        return await (await desk.opened()).tasks(message)

    async def rollouts(_: Mapping[str, str]) -> bytes:
        return await (await desk.opened()).open_rollouts()

    async def alive(_: Mapping[str, str]) -> bytes:
        return b'{"status":"alive"}'

    async def ready(_: Mapping[str, str]) -> bytes:
        desk.readiness.check()
        return b'{"status":"ready"}'

    async def openapi(_: Mapping[str, str]) -> bytes:
        return document

    verbs = verbs_of(desk.host)
    return [
        GetEndpoint(desk, "/v1/manifest", manifest, "manifest"),
        GetEndpoint(desk, "/v1/tasks", tasks, "tasks"),
        GetEndpoint(desk, "/v1/rollouts", rollouts, "rollouts"),
        GetEndpoint(desk, "/livez", alive),
        GetEndpoint(desk, "/readyz", ready),
        GetEndpoint(desk, "/openapi.json", openapi),
        *(PostEndpoint(desk, verb) for verb in verbs),
        BatchEndpoint(desk, verbs),
        McpEndpoint(desk),
    ]


def _lifespan(desk: Desk) -> Callable[[FastAPI], Any]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        unguarded = {getattr(route, "path", "") for route in app.routes} - NEEDED.keys()
        assert not unguarded, f"server/scopes.py does not say who may ask for {unguarded}"
        desk.readiness.begin()
        listening = asyncio.create_task(desk.disconnects.listen())
        try:
            yield
        finally:
            listening.cancel()
            await desk.readiness.stop()
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                    await desk.host.close()

    return lifespan


async def _no_such_path(request: Request, _: Exception) -> Response:
    path = request.url.path[:_MAX_TOLD]
    return _response(
        NotFoundError(f"there is nothing at {path!r}; the paths of this server are listed at /openapi.json")
    )


async def _no_such_method(request: Request, error: Exception) -> Response:
    allowed = (getattr(error, "headers", None) or {}).get("Allow", "")
    method = request.method[:_MAX_TOLD]
    response = _response(
        MethodNotAllowedError(f"{request.url.path} does not answer {method}; it answers: {allowed or 'another'}")
    )
    if allowed:
        response.headers["Allow"] = allowed
    return response


async def _failed(request: Request, error: Exception) -> Response:
    return _response(server_failure(request.url.path, error))


def _response(error: WireError) -> Response:
    answer = error_answer(error)
    return Response(answer.body, answer.status, media_type="application/json")
