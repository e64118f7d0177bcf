"""Who may ask for what: the one table of the server's paths, and whose token a request has.

The scopes are nested: what a rollout's own token may, an agent may for every rollout; a trainer may what an agent may,
and an admin what a trainer may. Tokens come as `Authorization: Bearer TOKEN` and are compared in constant time. What
they are is told nowhere: not in an error, a log or a metric.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from envport_protocol.errors import ForbiddenError, UnauthorizedError

if TYPE_CHECKING:
    from envport_protocol.config import Tokens
    from envport_protocol.hosting.rollout_key import RolloutKey


class Scope(IntEnum):
    """How far a token reaches; a higher one may all that a lower one may."""

    ANYONE = 0
    """Without a token."""
    ROLLOUT = 1
    """The rollout's own token: its tools, and nothing of another rollout."""
    AGENT = 2
    TRAINER = 3
    ADMIN = 4


NEEDED: dict[str, Scope] = {
    "/": Scope.ANYONE,
    "/livez": Scope.ANYONE,
    "/readyz": Scope.ANYONE,
    "/metrics": Scope.ANYONE,
    "/openapi.json": Scope.ANYONE,
    "/v1/manifest": Scope.ANYONE,
    "/mcp": Scope.ROLLOUT,
    "/v1/batch": Scope.ROLLOUT,
    "/v1/list_tools": Scope.ROLLOUT,
    "/v1/run_tool": Scope.ROLLOUT,
    "/v1/cancel": Scope.ROLLOUT,
    "/v1/tasks": Scope.TRAINER,
    "/v1/start_rollout": Scope.TRAINER,
    "/v1/fork_rollout": Scope.TRAINER,
    "/v1/compute_reward": Scope.TRAINER,
    "/v1/compute_group_reward": Scope.TRAINER,
    "/v1/end_rollout": Scope.TRAINER,
    "/v1/rollouts": Scope.ADMIN,
}
"""The lowest scope that may use a path. The calls of a batch are checked one by one, by the paths of their verbs."""

_SCHEME = b"bearer "


def needed_for(path: str) -> Scope:
    """The scope that a path takes, or the one above it. Where there is nothing, there is nothing to guard."""
    return NEEDED.get(path) or (NEEDED["/mcp"] if path.startswith("/mcp/") else Scope.ANYONE)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request comes from."""

    scope: Scope
    rollout_id: str | None = None
    """The one rollout that this caller may touch; None: any."""

    def check_scope(self, path: str, needed: Scope) -> None:
        """Passes when this caller may use the path.

        Raises:
            ForbiddenError: its token does not reach so far.
        """
        if self.scope < needed:
            whose = f"a token for {needed.name.lower()}" + (" or admin" if needed < Scope.ADMIN else "")
            raise ForbiddenError(
                f"{path} was asked for with {_NAMES[self.scope]}, which does not reach so far; it takes {whose}"
            )

    def check_rollout(self, path: str, rollout_id: str | None) -> None:
        """Passes when this caller may touch the rollout; None: the environment itself.

        Raises:
            ForbiddenError: its token belongs to another rollout.
        """
        if self.rollout_id is not None and self.rollout_id != rollout_id:
            asked = "for no rollout" if rollout_id is None else "for another one"
            raise ForbiddenError(
                f"{path} was asked {asked} with the token of one rollout; "
                "it takes that rollout's id, or an agent's token"
            )


_NAMES = {
    Scope.ANYONE: "no token",
    Scope.ROLLOUT: "a rollout's own token",
    Scope.AGENT: "the agent's token",
    Scope.TRAINER: "the trainer's token",
    Scope.ADMIN: "the admin's token",
}
_NOBODY = Caller(Scope.ANYONE)
_OWNER = Caller(Scope.ADMIN)
"""Whoever asks a server that has no tokens."""


class Gate:
    """Tells callers apart by their tokens."""

    def __init__(self, tokens: Tokens | None, key: RolloutKey) -> None:
        self._key = key
        self._is_open = tokens is None
        self._known: list[tuple[bytes, Caller]] = []
        if tokens is not None:
            for scope, token in (
                (Scope.TRAINER, tokens.trainer),
                (Scope.AGENT, tokens.agent),
                (Scope.ADMIN, tokens.admin),
            ):
                if token is not None:
                    self._known.append((token.get_secret_value().encode(), Caller(scope)))

    def admit(self, path: str, needed: Scope, authorization: bytes | None) -> Caller:
        """Who sent a request for `path` with this `Authorization`.

        Raises:
            UnauthorizedError: the path needs a token, and none that this server knows came.
            ForbiddenError: the token does not reach so far.
        """
        caller = self._caller(authorization)
        if caller is None:
            if needed is Scope.ANYONE:
                return _NOBODY
            raise UnauthorizedError(
                f"{path} needs a token, and "
                + ("the request had none" if authorization is None else "that of the request is none of this server's")
                + "; send `Authorization: Bearer TOKEN`"
            )
        caller.check_scope(path, needed)
        return caller

    def _caller(self, authorization: bytes | None) -> Caller | None:
        if authorization is None or authorization[:7].lower() != _SCHEME:
            return _OWNER if self._is_open else None
        token = authorization[7:].strip()
        found: Caller | None = None
        for known, caller in self._known:
            if hmac.compare_digest(known, token):
                found = caller
        if found is not None:
            return found
        rollout_id = self._rollout_of(token)
        if rollout_id is not None:
            return Caller(Scope.ROLLOUT, rollout_id)
        return _OWNER if self._is_open else None

    def _rollout_of(self, token: bytes) -> str | None:
        return self._key.rollout_of(token.decode("ascii")) if token.isascii() else None
