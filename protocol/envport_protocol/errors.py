"""Every failure that can cross the wire, each a class with its status and code.

    EnvportError                     anything this project raises on purpose
    ├── ToolError                    the model's fault: it sees the text and goes on
    ├── EnvDefinitionError           an environment's class says something that cannot be served
    ├── ProjectError                 an environment's folder or its envport.toml is not right
    ├── ServeError                   the server cannot start: port in use, address unknown
    └── WireError                    travels as the one error body, with an HTTP status
        ├── BadRequestError          400  not HTTP, or not as this server reads it
        ├── UnauthorizedError        401  no token, or none that this server knows
        ├── ForbiddenError           403  the token's scope does not reach so far
        ├── RequestTimeoutError      408  the request did not come whole in time
        ├── MediaTypeError           415  the body is declared as something else than JSON
        ├── HeadersTooLargeError     431  headers or URL over the server's limit
        ├── InvalidRequestError      422  the message does not fit the protocol
        ├── UnknownTaskError         404  no such split, index or task id
        ├── UnknownRolloutError      404  never started here, or lost (outcome "lost")
        ├── RolloutEndedError        410  ended or expired; its id stays spent
        ├── RolloutLostError         410  a restart interrupted it, and it could not be rebuilt
        ├── CallCancelledError       409  the call was stopped by `cancel`, or since nobody waited for it
        ├── IdConflictError          409  an id used again with other arguments
        ├── BodyTooLargeError        413  request over the server's limit
        ├── NotFoundError            404  no such path
        ├── MethodNotAllowedError    405  the path exists, but not for this method
        ├── NotReadyError            503  still starting
        ├── OverloadedError          503  no room for another rollout or call
        ├── UnsupportedError         501  this environment cannot do that
        ├── CallTimeoutError         504  the call's deadline passed
        ├── EnvFailedError           500  the environment's own code raised
        └── InfraError               500  this server failed; the environment is not to blame
            └── NoThreadError             it has no thread for a blocking method

Server and client share these classes: the server raises one, `to_body` puts it on the wire, and the client raises
the same class again by `error_from_body`. Packages above this one derive their own errors from `EnvportError`.
A message says what was seen, what was expected and what to do.
"""

from __future__ import annotations

from typing import Any, Self

from envport_protocol.messages import ErrorBody, ErrorDetail, Outcome


class EnvportError(Exception):
    """Base of every error this project raises on purpose; its text is meant for a person."""


class ToolError(EnvportError):
    """Raised by a tool when the call was wrong: the model sees the text and the rollout goes on."""


class EnvDefinitionError(EnvportError):
    """An environment's class says something that cannot be served: a tool without a name, an unknown parameter."""


class ProjectError(EnvportError):
    """An environment's folder cannot be used: envport.toml is missing or wrong, or the entry point does not load."""


class ServeError(EnvportError):
    """The server cannot start: the port is in use, or the address is not of this machine."""


class WireError(EnvportError):
    """A failure with a place in the protocol. Subclasses fix `status`, `code` and `outcome`."""

    status: int = 500
    code: str = "error"
    outcome: Outcome = Outcome.INFRA_ERROR
    request_id: str | None = None
    """On the client's side: the `X-Request-Id` of the answer, by which the server's log has it."""

    def __init__(self, message: str, *, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = details or {}

    def afresh(self, message: str | None = None) -> Self:
        """The same error, never raised, with another message if one is given.

        A raised one keeps the frames it went through, and the author's objects in them. A subclass may be made by
        other arguments than this class, so its constructor is not called.
        """
        copy = type(self).__new__(type(self))
        copy.message = getattr(self, "message", str(self)) if message is None else message
        copy.args = (copy.message,)
        copy.details = getattr(self, "details", {})
        copy.status, copy.code, copy.outcome = self.status, self.code, self.outcome
        copy.request_id = self.request_id
        return copy

    def to_body(self) -> ErrorBody:
        """The one error body. A failed call is never something to learn from, so `trainable` is false."""
        return ErrorBody(
            error=ErrorDetail(
                code=self.code, message=self.message, outcome=self.outcome, trainable=False, details=self.details
            )
        )


class InvalidRequestError(WireError):
    """The message does not fit the protocol: unknown field, missing field, wrong type, not JSON."""

    status = 422
    code = "invalid_request"


class BadRequestError(WireError):
    """What came is not HTTP, or not as this server reads it."""

    status = 400
    code = "bad_request"


class UnauthorizedError(WireError):
    """The request has no token, or none that this server knows."""

    status = 401
    code = "unauthorized"


class ForbiddenError(WireError):
    """The token is known, but its scope does not reach to this call or this rollout."""

    status = 403
    code = "forbidden"


class RequestTimeoutError(WireError):
    """The request did not come whole in time; nothing was done."""

    status = 408
    code = "request_timeout"


class MediaTypeError(WireError):
    """The body is declared as something else than JSON."""

    status = 415
    code = "unsupported_media_type"


class HeadersTooLargeError(WireError):
    """The headers or the URL are over the server's limit."""

    status = 431
    code = "headers_too_large"


class UnsupportedError(WireError):
    """This environment cannot do that; its manifest's capabilities say what it can."""

    status = 501
    code = "unsupported"


class NotFoundError(WireError):
    """No such path on this server."""

    status = 404
    code = "not_found"


class MethodNotAllowedError(WireError):
    """The path exists, but not for this HTTP method."""

    status = 405
    code = "method_not_allowed"


class UnknownTaskError(WireError):
    """No such split, index or task id in this environment."""

    status = 404
    code = "unknown_task"


class UnknownRolloutError(WireError):
    """This server does not hold the rollout: it was never started here, or a restart lost it."""

    status = 404
    code = "unknown_rollout"
    outcome = Outcome.LOST


class RolloutEndedError(WireError):
    """The rollout was ended or expired; its id cannot be used again."""

    status = 410
    code = "rollout_ended"
    outcome = Outcome.LOST


class RolloutLostError(WireError):
    """A restart of the server interrupted the rollout, and it could not be rebuilt."""

    status = 410
    code = "rollout_lost"
    outcome = Outcome.LOST


class CallCancelledError(WireError):
    """The call was stopped by `cancel`, or because every client that waited for it went away."""

    status = 409
    code = "cancelled"
    outcome = Outcome.CANCELLED


class IdConflictError(WireError):
    """A client-made id came again with other arguments."""

    status = 409
    code = "id_conflict"


class BodyTooLargeError(WireError):
    """The request body is over the server's limit."""

    status = 413
    code = "body_too_large"


class NotReadyError(WireError):
    """The environment is still starting, or its start failed."""

    status = 503
    code = "not_ready"


class OverloadedError(WireError):
    """The server has no room for another rollout or call. `details` has how many it holds and how many wait."""

    status = 503
    code = "overloaded"
    outcome = Outcome.OVERLOADED


class CallTimeoutError(WireError):
    """The call's deadline passed on the server; the call was stopped."""

    status = 504
    code = "timeout"
    outcome = Outcome.TIMEOUT


class EnvFailedError(WireError):
    """The environment's own code raised something other than ToolError, or answered nonsense."""

    status = 500
    code = "env_error"
    outcome = Outcome.ENV_ERROR


class InfraError(WireError):
    """The server itself failed."""

    status = 500
    code = "infra_error"


class NoThreadError(InfraError):
    """There is no thread for a blocking method: the server stops, or the machine gives none."""


_BY_CODE: dict[str, type[WireError]] = {cls.code: cls for cls in WireError.__subclasses__()}


def error_from_body(status: int, body: ErrorBody) -> WireError:
    """The exception that a server raised, from its answer. An unknown code becomes a plain `WireError`.

    That one has the body's outcome and code, and the answer's status.
    """
    cls = _BY_CODE.get(body.error.code)
    if cls is None:
        error = WireError(f"{body.error.message} (HTTP {status}, code {body.error.code!r})")
        error.status, error.code, error.outcome = status, body.error.code, body.error.outcome
    else:
        error = cls(body.error.message)
    error.details = body.error.details
    return error
