"""One path over HTTP: who may ask, what was asked, the host's answer.

An endpoint is a plain ASGI app, and the server calls it past FastAPI's middleware, routing and response classes, which
cost more than all that is done here.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl

import orjson

from envport_protocol.errors import InfraError, NotReadyError, WireError
from envport_protocol.hosting.tool_body import without_step_rewards
from envport_protocol.server.answers import WHOLE, Answer, Header, error_answer, send_answer
from envport_protocol.server.disconnects import ClientGoneError
from envport_protocol.server.origin import check_origin
from envport_protocol.server.reading import parse_fields, parse_json, read_body
from envport_protocol.server.request_ids import take_ids
from envport_protocol.server.scopes import NEEDED, Scope

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from pydantic import BaseModel
    from starlette.types import Receive, Send
    from starlette.types import Scope as AsgiScope

    from envport_protocol.hosting.host import Host
    from envport_protocol.server.disconnects import Disconnects
    from envport_protocol.server.readiness import Readiness
    from envport_protocol.server.scopes import Caller, Gate

log = logging.getLogger("envport.protocol")

_NOTHING: dict[str, Any] = {}
_TRAINER = Scope.TRAINER
_PASSED_ON = (b"authorization", b"x-request-id", b"traceparent")


class Router(Protocol):
    """Knows which of several workers holds a rollout."""

    def check(self, message: BaseModel) -> None:
        """Passes where one worker holds all rollouts of a message.

        Raises:
            InvalidRequestError: it does not.
        """
        ...

    async def forward(self, rollout_id: str, path: str, body: bytes, headers: list[Header]) -> Answer | None:
        """The answer of the worker that holds the rollout; None: this one does.

        `headers`: those of authorization, request id and traceparent, as far as they came.

        Raises:
            WireError: it cannot be asked.
        """
        ...


@dataclass(frozen=True, slots=True)
class Verb:
    """A `POST`: the message that it takes, and the host's method that answers it."""

    name: str
    model: type[BaseModel]
    ask: Callable[[Any], Awaitable[bytes]]
    rollout_of: Callable[[Any], str | None]
    """The rollout that a message is about."""
    has_step_rewards: bool = False
    """The answer may have some, which an agent is not told."""

    @property
    def path(self) -> str:
        """Where it is asked."""
        return f"/v1/{self.name}"


@dataclass(slots=True)
class Asked:
    """A request without its body. `begun` is by `perf_counter`."""

    scope: AsgiScope
    headers: dict[bytes, bytes]
    receive: Receive
    send: Send
    request_id: bytes
    begun: float
    is_answered: bool = False
    """The answer has begun."""


@dataclass(slots=True)
class Desk:
    """What all endpoints of a server share."""

    host: Host
    readiness: Readiness
    gate: Gate
    disconnects: Disconnects
    router: Router | None = None
    is_stopping: bool = False
    """Whatever still waits is cancelled, and told so."""

    async def answer(
        self, verb: Verb, path: str, fields: Any, caller: Caller, asked: Asked, body: bytes | None = None
    ) -> Answer:
        """What the message of these fields is answered. `body`: as it came, if it came alone.

        Raises:
            WireError: the answer is its one error body.
        """
        message = parse_fields(fields, verb.model)
        if caller.rollout_id is not None:
            caller.check_rollout(path, verb.rollout_of(message))
        if self.router is not None:
            self.router.check(message)
            rollout_id = verb.rollout_of(message)
            if rollout_id is not None:
                passed_on = [(name, asked.headers[name]) for name in _PASSED_ON if name in asked.headers]
                answer = await self.router.forward(rollout_id, path, body or orjson.dumps(fields), passed_on)
                if answer is not None:
                    return answer
        await self.opened()
        body = await verb.ask(message)
        if verb.has_step_rewards and caller.scope < _TRAINER:
            body = without_step_rewards(body)
        return Answer(200, body)

    async def opened(self) -> Host:
        """The host, ready to be asked from this context.

        Raises:
            NotReadyError: it is not.
        """
        if not self.readiness.is_reached:
            await self.readiness.wait()
        self.host.use_threads()
        return self.host


class Endpoint:
    """A path with its methods. `name` is what the observer is told; None where nothing is."""

    methods = frozenset({"GET", "HEAD"})
    refuses_pages = False
    """Foreign web pages are refused where there are tokens, too."""

    def __init__(self, desk: Desk, path: str, name: str | None = None) -> None:
        self.path = path
        self.needed: Scope = NEEDED[path]
        self._desk = desk
        self._name = name

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answers one request, whatever happens."""
        begun = perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        request_id = take_ids(headers)
        asked = Asked(scope, headers, receive, send, request_id, begun)
        try:
            is_open = self._desk.host.config.tokens is None
            if (b"origin" in headers or b"accept-language" in headers) and (is_open or self.refuses_pages):
                check_origin(headers, has_tokens=not is_open)
            caller = self._desk.gate.admit(self.path, self.needed, headers.get(b"authorization"))
            answer = await self.respond(caller, asked)
        except WireError as error:
            answer = error_answer(error)
        except ClientGoneError:
            return
        except asyncio.CancelledError:
            if not self._desk.is_stopping or asked.is_answered:
                raise
            answer = error_answer(NotReadyError("the server is stopping; ask again when it runs again"))
        except Exception as error:  # noqa: BLE001 - the boundary of the server's side
            answer = error_answer(server_failure(self.path, error))
        if self._name is not None:
            self._desk.host.observer.answered(self._name, answer.status, perf_counter() - begun)
        if not answer.body:
            return
        whole = scope.get("extensions", _NOTHING).get(WHOLE)
        await (whole or send_answer)(send, answer, request_id)

    async def respond(self, caller: Caller, asked: Asked) -> Answer:
        """The answer; one without a body was sent already.

        Raises:
            WireError: the answer is its one error body.
            ClientGoneError: there is nobody to answer.
        """
        raise NotImplementedError


class GetEndpoint(Endpoint):
    """`GET`: the answer to a query."""

    def __init__(
        self,
        desk: Desk,
        path: str,
        ask: Callable[[Mapping[str, str]], Coroutine[object, object, bytes]],
        name: str | None = None,
    ) -> None:
        super().__init__(desk, path, name)
        self._ask = ask

    async def respond(self, caller: Caller, asked: Asked) -> Answer:
        """The body that its function gives for the query."""
        query = dict(parse_qsl(asked.scope["query_string"].decode("latin-1"), keep_blank_values=True))
        guarded = self._desk.disconnects.guarded
        return Answer(200, await guarded(self._ask(query), asked.receive, asked.begun))


class PostEndpoint(Endpoint):
    """`POST /v1/{verb}`."""

    methods = frozenset({"POST"})

    def __init__(self, desk: Desk, verb: Verb) -> None:
        super().__init__(desk, verb.path, verb.name)
        self._verb = verb
        self._config = desk.host.config

    async def respond(self, caller: Caller, asked: Asked) -> Answer:
        """The host's answer."""
        desk, verb = self._desk, self._verb
        body = await read_body(
            asked.receive, asked.headers, self._config.max_body_bytes, self._config.request_timeout_s
        )
        answering = desk.answer(verb, self.path, parse_json(body, verb.model.__name__), caller, asked, body)
        return await desk.disconnects.guarded(answering, asked.receive, asked.begun)


def server_failure(path: str, error: Exception) -> InfraError:
    """What is told of a failure of the server's own code; its log has the rest."""
    log.error("%s failed", path, exc_info=error)
    return InfraError(
        f"the server failed with {type(error).__name__}; its log has the traceback. Try again, or report it"
    )
