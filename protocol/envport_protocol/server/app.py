"""The HTTP server of one environment: a FastAPI app with one route for each verb."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from envport_protocol.config import ServeConfig
from envport_protocol.errors import (
    BodyTooLargeError,
    InfraError,
    MethodNotAllowedError,
    NotFoundError,
    NotReadyError,
    WireError,
)
from envport_protocol.hosting.host import Host
from envport_protocol.messages import (
    ComputeRewardRequest,
    EndRolloutRequest,
    ListToolsRequest,
    RunToolRequest,
    StartRolloutRequest,
    TasksRequest,
)
from envport_protocol.server.openapi import openapi_document
from envport_protocol.server.reading import parse_body, parse_fields, read_body

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from envport_protocol.env import BaseEnv

log = logging.getLogger("envport.protocol")

M = TypeVar("M", bound=BaseModel)

_WAIT_FOR_READY_S = 1.0
_CLOSE_TIMEOUT_S = 5.0
_STOP_TIMEOUT_S = 5.0
"""How long a cancelled background task may take: the author's code in it may not listen."""


def create_app(env: BaseEnv, *, config: ServeConfig | None = None) -> FastAPI:
    """The app that serves `env`. The environment is asked for its tools and tasks once, in the background.

    `app.state.readiness` is its Readiness.

    Raises:
        EnvDefinitionError: `env` is no BaseEnv, or one of its methods asks for what the server does not have.
    """
    config = config or ServeConfig()
    host = Host(env, config)
    readiness = Readiness(host)
    app = FastAPI(
        title=host.name,
        version=config.version,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=_lifespan(host, readiness),
        exception_handlers={404: _no_such_path, 405: _no_such_method},
    )
    app.state.readiness = readiness
    app.state.host = host

    def get(path: str, respond: Callable[[Request], Awaitable[bytes]]) -> None:
        app.add_route(path, _guarded(respond), methods=["GET"], include_in_schema=False)

    def post(verb: str, model: type[M], answer: Callable[[M], Awaitable[bytes]]) -> None:
        async def respond(request: Request) -> bytes:
            message = parse_body(await read_body(request, config.max_body_bytes), model)
            await readiness.wait()
            host.use_threads()
            return await answer(message)

        app.add_route(f"/v1/{verb}", _guarded(respond), methods=["POST"], include_in_schema=False)

    async def manifest(_: Request) -> bytes:
        await readiness.wait()
        return await host.manifest()

    async def tasks(request: Request) -> bytes:
        message = parse_fields(dict(request.query_params), TasksRequest)
        await readiness.wait()
        host.use_threads()
        return await host.tasks(message)

    async def alive(_: Request) -> bytes:
        return b'{"status":"alive"}'

    async def ready(_: Request) -> bytes:
        readiness.check()
        return b'{"status":"ready"}'

    document = openapi_document(host.name, config.version)

    async def openapi(_: Request) -> bytes:
        return document

    get("/v1/manifest", manifest)
    get("/v1/tasks", tasks)
    post("start_rollout", StartRolloutRequest, host.start_rollout)
    post("list_tools", ListToolsRequest, host.list_tools)
    post("run_tool", RunToolRequest, host.run_tool)
    post("compute_reward", ComputeRewardRequest, host.compute_reward)
    post("end_rollout", EndRolloutRequest, host.end_rollout)
    get("/livez", alive)
    get("/readyz", ready)
    get("/openapi.json", openapi)
    return app


class Readiness:
    """Whether the environment has been prepared. The preparation begins with the first question about it."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._preparation: asyncio.Task[None] | None = None
        self._sweeper: asyncio.Task[None] | None = None

    def begin(self) -> asyncio.Task[None]:
        """The preparation, now under way."""
        if self._preparation is None:
            self._preparation = asyncio.create_task(self._host.prepare())
            self._sweeper = asyncio.create_task(self._host.sweep())
        return self._preparation

    def check(self) -> None:
        """Passes when the environment can serve.

        Raises:
            NotReadyError: it is still starting, or its start failed.
        """
        preparation = self.begin()
        if not preparation.done():
            raise NotReadyError("the environment is still starting; try again in a moment")
        error = None if preparation.cancelled() else preparation.exception()
        if error is not None:
            raise NotReadyError(f"the environment could not start: {error}") from error

    async def wait(self) -> None:
        """Like `check`, but gives a start under way a second to finish."""
        preparation = self.begin()
        if not preparation.done():
            await asyncio.wait({preparation}, timeout=_WAIT_FOR_READY_S)
        self.check()

    async def stop(self) -> None:
        """Ends the background tasks."""
        for task in (self._preparation, self._sweeper):
            if task is not None:
                task.cancel()
                await asyncio.wait({task}, timeout=_STOP_TIMEOUT_S)


def _lifespan(host: Host, readiness: Readiness) -> Callable[[FastAPI], Any]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        readiness.begin()
        try:
            yield
        finally:
            await readiness.stop()
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                    await host.close()

    return lifespan


def _guarded(respond: Callable[[Request], Awaitable[bytes]]) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that answers every failure by the one error body."""

    async def endpoint(request: Request) -> Response:
        try:
            return Response(await respond(request), media_type="application/json")
        except WireError as error:
            return error_response(error)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        except Exception as error:  # the boundary of the server's side
            log.exception("%s %s failed", request.method, request.url.path)
            failed = InfraError(
                f"the server failed with {type(error).__name__}; its log has the traceback. Try again, or report it"
            )
            return error_response(failed)

    return endpoint


def error_response(error: WireError) -> Response:
    """The one error body with its status. A 503 says when to come again; after a 413 the connection is closed."""
    headers: dict[str, str] = {}
    if error.status == 503:
        headers["Retry-After"] = "1"
    if isinstance(error, BodyTooLargeError):
        headers["Connection"] = "close"
    return Response(error.to_body().model_dump_json(), error.status, headers, "application/json")


async def _no_such_path(request: Request, _: Exception) -> Response:
    return error_response(
        NotFoundError(f"there is nothing at {request.url.path!r}; the paths of this server are listed at /openapi.json")
    )


async def _no_such_method(request: Request, error: Exception) -> Response:
    allowed = (getattr(error, "headers", None) or {}).get("Allow", "")
    response = error_response(
        MethodNotAllowedError(
            f"{request.url.path} does not answer {request.method}; it answers: {allowed or 'another'}"
        )
    )
    if allowed:
        response.headers["Allow"] = allowed
    return response
