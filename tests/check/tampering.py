"""The real app with one thing broken: requests and answers go through a function that may change, drop or make them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from .environments import TallyEnv


@dataclass(frozen=True)
class Request:
    """What came."""

    method: str
    path: str
    query: bytes
    headers: dict[str, str]
    body: bytes
    client: tuple[str, int]
    receive: Callable[[], Awaitable[dict[str, Any]]]

    @property
    def verb(self) -> str:
        return self.path.removeprefix("/v1/")

    @property
    def json(self) -> dict[str, Any]:
        """The body's fields; none where it is no JSON object."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}

    def but(self, **fields: Any) -> Request:
        """With these fields in its body."""
        return replace(self, body=json.dumps({**self.json, **fields}).encode())

    def without(self, *names: str) -> Request:
        """Without these fields in its body."""
        return replace(self, body=json.dumps({k: v for k, v in self.json.items() if k not in names}).encode())

    def by(self, token: str | None) -> Request:
        """With another token, or none."""
        others = {name: value for name, value in self.headers.items() if name != "authorization"}
        return replace(self, headers={**others, **({"authorization": f"Bearer {token}"} if token else {})})

    def named(self, **headers: str) -> Request:
        """With these headers."""
        return replace(self, headers={**self.headers, **{n.replace("_", "-"): v for n, v in headers.items()}})

    def at(self, path: str) -> Request:
        """For another path."""
        return replace(self, path=path)


@dataclass(frozen=True)
class Answer:
    """What goes out."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def but(self, **fields: Any) -> Answer:
        """With these fields in its body."""
        return self.saying({**self.json, **fields})

    def saying(self, value: Any) -> Answer:
        """With another body."""
        return replace(self, body=json.dumps(value).encode())

    def replacing(self, old: bytes, new: bytes) -> Answer:
        return replace(self, body=self.body.replace(old, new))

    def named(self, **headers: str) -> Answer:
        """With these headers."""
        return replace(self, headers={**self.headers, **{n.replace("_", "-"): v for n, v in headers.items()}})


def told(status: int, value: Any) -> Answer:
    """An answer with this JSON."""
    return Answer(status, {"content-type": "application/json"}, json.dumps(value).encode())


def failure(status: int, code: str, outcome: str = "infra_error") -> Answer:
    """A well-formed refusal."""
    message = "said by a server that is broken on purpose"
    return told(
        status, {"error": {"code": code, "message": message, "outcome": outcome, "trainable": False, "details": {}}}
    )


Ask = Callable[[Request], Awaitable[Answer]]
Broken = Callable[[Ask, Request], Awaitable[Answer]]


class Tampered:
    """An app whose requests under `paths` go through `broken`."""

    def __init__(self, app: Any, broken: Broken, paths: tuple[str, ...]) -> None:
        self.app = app
        self.desk = app.desk
        self.state = app.state
        self._broken = broken
        self._paths = paths

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(self._paths) or _is_long(scope):
            await self.app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        request = Request(
            scope["method"], scope["path"], scope["query_string"], headers, body, tuple(scope["client"]), receive
        )
        answer = await self._broken(lambda changed: self._ask(scope, changed), request)
        sent = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
        sent = [pair for pair in sent if pair[0] != b"content-length"]
        length = (b"content-length", str(len(answer.body)).encode())
        await send({"type": "http.response.start", "status": answer.status, "headers": [*sent, length]})
        await send({"type": "http.response.body", "body": answer.body})

    async def _ask(self, scope: Any, request: Request) -> Answer:
        """What the real app answers."""
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in request.headers.items()]
        length = (b"content-length", str(len(request.body)).encode())
        asked = {
            **scope,
            "method": request.method,
            "path": request.path,
            "raw_path": request.path.encode(),
            "query_string": request.query,
            "headers": [*(pair for pair in headers if pair[0] != b"content-length"), length],
            "extensions": {},
            "state": dict(scope.get("state", {})),
        }
        came: list[dict[str, Any]] = []
        bodies = [{"type": "http.request", "body": request.body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            return bodies.pop() if bodies else await request.receive()

        async def send(message: dict[str, Any]) -> None:
            came.append(message)

        await self.app(asked, receive, send)
        return Answer(
            came[0]["status"],
            {name.decode("latin-1"): value.decode("latin-1") for name, value in came[0]["headers"]},
            b"".join(message.get("body", b"") for message in came[1:]),
        )


def _is_long(scope: Any) -> bool:
    headers = dict(scope["headers"])
    return b"transfer-encoding" in headers or len(headers.get(b"content-length", b"")) > 6


@dataclass(frozen=True)
class Breaker:
    """A server that breaks one promise, and what the checks need to see it."""

    make: Callable[[], Broken] | None = None
    """Gives the function that does it; a new one for each server, for it may remember."""
    paths: tuple[str, ...] = ("/v1/",)
    env: Callable[[], Any] = TallyEnv
    config: dict[str, Any] = field(default_factory=dict)
    has_tokens: bool = False
    launches: dict[str, Any] | None = None
    """Other servers can be started too, so broken, and set by this over what the check asks for."""
    protocol: Callable[[type[Any]], type[Any]] | None = None
    also: frozenset[str] = frozenset()
    """Further checks that cannot pass on such a server."""
    is_told_alone: bool = False
    """Which further checks see it is left to chance, or takes long."""
    told: str | None = None
    """The log of the other servers."""
    timeout_s: float = 10.0
    """How long an answer may take."""

    def wrap(self, app: Any) -> Any:
        """The app, broken."""
        return app if self.make is None else Tampered(app, self.make(), self.paths)


def simply(broken: Broken) -> Callable[[], Broken]:
    """For what has nothing to remember."""
    return lambda: broken
