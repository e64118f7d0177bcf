"""What every refusal must look like, and what every good answer must."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from envport_protocol.messages import Outcome

from envport.check.definition import BrokenError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envport.check.wire import Reply

_FIELDS = {"code": str, "message": str, "outcome": str, "trainable": bool, "details": dict}
_MIN_MESSAGE = 10


def good(reply: Reply) -> Any:
    """The value of an answer that must be a 200 with JSON.

    Raises:
        BrokenError: it is not.
    """
    if reply.status != 200:
        raise BrokenError(f"{reply.told}; expected 200")
    return reply.json


def refused(reply: Reply, status: int, code: str, outcome: Outcome | None = None) -> dict[str, Any]:
    """What the error body holds of an answer that must be this refusal.

    Raises:
        BrokenError: another status, code or outcome, or no error body.
    """
    if reply.status != status:
        raise BrokenError(f"{reply.told}; expected {status} {code}")
    error = error_body(reply)
    if error["code"] != code:
        raise BrokenError(f"{reply.told}; expected the code {code}")
    if outcome is not None and error["outcome"] != outcome:
        raise BrokenError(f"{reply.told}; expected the outcome {outcome}")
    return error


def same(first: Reply, again: Reply) -> None:
    """Passes where a repeat was answered as the first time.

    Raises:
        BrokenError: it was not.
    """
    if first.answer != again.answer:
        raise BrokenError(f"first {first.told}; the repeat: {again.told}")


def all_same(replies: Sequence[Reply]) -> None:
    """Passes where all were answered alike.

    Raises:
        BrokenError: they were not.
    """
    for reply in replies[1:]:
        same(replies[0], reply)


def error_body(reply: Reply) -> dict[str, Any]:
    """What the one error body holds.

    Raises:
        BrokenError: it is another body.
    """
    kind = reply.headers.get("content-type", "no content type")
    if not kind.startswith("application/json"):
        raise BrokenError(f"{reply.told}, as {kind}; expected the error body as application/json")
    error = _only_field(reply)
    for name, field_type in _FIELDS.items():
        if not isinstance(error.get(name), field_type):
            raise BrokenError(f"{reply.told}: error.{name} is {error.get(name)!r}; expected {field_type.__name__}")
    if error["outcome"] not in set(Outcome) - {Outcome.OK} or error["trainable"]:
        raise BrokenError(f"{reply.told}: an error is never ok and never trainable")
    if len(error["message"]) < _MIN_MESSAGE or "Traceback" in error["message"]:
        raise BrokenError(f"{reply.told}: the message does not tell a person what was seen and what to do")
    return error


def _only_field(reply: Reply) -> dict[str, Any]:
    body = reply.json
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict) or len(body) != 1:
        raise BrokenError(f'{reply.told}: expected {{"error": {{…}}}} and nothing else')
    return error
