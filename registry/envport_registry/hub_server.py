"""The hub over HTTP: find environments, fetch their bundles, publish new versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from anyio import CapacityLimiter, to_thread
from envport_protocol.errors import InfraError, InvalidRequestError, MethodNotAllowedError, NotFoundError, WireError
from fastapi import FastAPI, Header, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from starlette.exceptions import HTTPException

from envport_registry.digest import check_digest
from envport_registry.errors import BadNameError
from envport_registry.hub_messages import DIGEST_HEADER, TAR_TYPE, EnvInfo, EnvList, PublishAnswer, VersionInfo
from envport_registry.hub_upload import UploadLimits, accept, receive
from envport_registry.names import EnvRef, check_name
from envport_registry.tokens import check_token

if TYPE_CHECKING:
    from envport_registry.store import Store

_CHECKS_AT_ONCE = 2  # each holds a whole bundle in memory, and a copy while it is compared


def create_hub(store: Store, limits: UploadLimits | None = None) -> FastAPI:
    """The hub's application on this store. Whoever opened the store closes it."""
    app = FastAPI(title="envport hub", docs_url=None, redoc_url=None, openapi_url="/openapi.json")
    _add_reading(app, store)
    _add_publishing(app, store, limits or UploadLimits())
    _add_errors(app)
    return app


def _add_reading(app: FastAPI, store: Store) -> None:
    @app.get("/v1/envs")
    def search(
        q: Annotated[str, Query(max_length=200)] = "", limit: Annotated[int, Query(ge=1, le=1000)] = 100
    ) -> EnvList:
        return EnvList(envs=store.search(q.split(), limit))

    @app.get("/v1/envs/{namespace}/{name}")
    def env(namespace: str, name: str) -> EnvInfo:
        return store.env(check_name(namespace, "namespace"), check_name(name, "name"))

    @app.get("/v1/envs/{namespace}/{name}/{version}")
    def version(namespace: str, name: str, version: str) -> VersionInfo:
        return store.version(EnvRef.parse(f"{namespace}/{name}@{version}"))

    @app.get("/v1/blobs/{digest}", response_class=FileResponse)
    def blob(digest: str) -> FileResponse:
        headers = {DIGEST_HEADER: digest, "Cache-Control": "public, max-age=31536000, immutable"}
        return FileResponse(store.blob(check_digest(digest)), media_type=TAR_TYPE, headers=headers)

    @app.get("/livez")
    def livez() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz")
    def readyz() -> dict[str, str]:
        store.check()
        return {"status": "ready", "service": "envport-hub"}


def _add_publishing(app: FastAPI, store: Store, limits: UploadLimits) -> None:
    checks = CapacityLimiter(_CHECKS_AT_ONCE)

    @app.post("/v1/envs/{namespace}/{name}/{version}", status_code=201)
    async def publish(
        request: Request,
        namespace: str,
        name: str,
        version: str,
        authorization: Annotated[str | None, Header()] = None,
        x_envport_digest: Annotated[str | None, Header()] = None,
    ) -> JSONResponse:
        await to_thread.run_sync(check_token, store, authorization)
        ref = EnvRef.parse(f"{namespace}/{name}@{version}")
        if ref.version is None:
            raise BadNameError(f"cannot publish as {version!r}: expected a version by PEP 440, for example 0.1.0")
        if x_envport_digest is None:
            raise InvalidRequestError(f"the header {DIGEST_HEADER} is missing: expected the digest of the body")
        digest = check_digest(x_envport_digest)
        part = store.new_part()
        try:
            await receive(request, part, digest, limits)
            answer: PublishAnswer = await to_thread.run_sync(accept, store, ref, digest, part, limits, limiter=checks)
        finally:
            part.unlink(missing_ok=True)
        return JSONResponse(answer.model_dump(mode="json"), status_code=201 if answer.created else 200)


def _add_errors(app: FastAPI) -> None:
    """Every failure leaves as the one error body."""

    @app.exception_handler(WireError)
    async def foreseen(_request: Request, error: WireError) -> JSONResponse:
        return _answer(error)

    @app.exception_handler(RequestValidationError)
    async def misfit(_request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return _answer(InvalidRequestError(f"the request does not fit: {where}: {first['msg']}"))

    @app.exception_handler(HTTPException)
    async def unrouted(request: Request, error: HTTPException) -> JSONResponse:
        path = request.url.path[:200]
        if error.status_code == MethodNotAllowedError.status:
            return _answer(MethodNotAllowedError(f"{request.method} is not for {path!r} on this hub"))
        return _answer(NotFoundError(f"this hub has no path {path!r}: is the URL's version or spelling off?"))

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> JSONResponse:
        # Starlette logs the traceback itself, after this answer.
        return _answer(
            InfraError(f"the hub failed in {request.url.path[:200]!r} ({type(error).__name__}); see its log")
        )


def _answer(error: WireError) -> JSONResponse:
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
    return JSONResponse(error.to_body().model_dump(mode="json"), status_code=error.status, headers=headers)
