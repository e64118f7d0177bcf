"""Reading a request: never more than the limit, then JSON, then the message it should be."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from envport_protocol.errors import BodyTooLargeError, InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

M = TypeVar("M", bound=BaseModel)

_MAX_PROBLEMS = 5
_MAX_DEPTH = 100
_READ_TIMEOUT_S = 60.0


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The body, read only as far as the limit, whatever its headers say.

    Raises:
        BodyTooLargeError: it is longer.
        InvalidRequestError: it did not all come in time.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise _too_large(max_bytes)
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(_READ_TIMEOUT_S):
            async for chunk in request.stream():
                size += len(chunk)
                if size > max_bytes:
                    raise _too_large(max_bytes)
                chunks.append(chunk)
    except TimeoutError:
        raise InvalidRequestError(
            f"only {size} bytes of the request body came within {_READ_TIMEOUT_S:g} s; send it again"
        ) from None
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def parse_body(body: bytes, model: type[M]) -> M:
    """The message in a body.

    Raises:
        InvalidRequestError: not JSON, nested too deep, or not this message.
    """
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError(
            f"the body is not JSON: {error}; expected a {model.__name__} as JSON in UTF-8"
        ) from error
    if body.count(b"[") + body.count(b"{") > _MAX_DEPTH and _depth_is_over(fields, _MAX_DEPTH):
        raise InvalidRequestError(f"the body is nested deeper than {_MAX_DEPTH} levels; nest it less deep")
    return parse_fields(fields, model)


def parse_fields(fields: object | Mapping[str, str], model: type[M]) -> M:
    """The message of these fields.

    Raises:
        InvalidRequestError: unknown, missing or wrong fields. Their values are not repeated: one may be a ground truth.
    """
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        problems = [
            {"field": ".".join(map(str, problem["loc"])), "problem": problem["msg"].removeprefix("Value error, ")}
            for problem in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        told = "; ".join(
            f"{problem['field']}: {problem['problem']}" if problem["field"] else problem["problem"]
            for problem in problems[:_MAX_PROBLEMS]
        )
        known = ", ".join(model.model_fields)
        raise InvalidRequestError(
            f"not a {model.__name__}: {told}. Its fields are: {known}", details={"problems": problems[:_MAX_PROBLEMS]}
        ) from error


def _depth_is_over(value: Any, max_depth: int) -> bool:
    level = [value]
    for _ in range(max_depth + 1):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
        if not inner:
            return False
        level = inner
    return True


def _too_large(max_bytes: int) -> BodyTooLargeError:
    return BodyTooLargeError(
        f"the request body is longer than the {max_bytes} bytes that this server reads; send less",
        details={"max_body_bytes": max_bytes},
    )
