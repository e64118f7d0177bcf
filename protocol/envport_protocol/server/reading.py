"""Reading a request: never more than the limit, then JSON, then the message it should be."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from envport_protocol.errors import BodyTooLargeError, InvalidRequestError, MediaTypeError, RequestTimeoutError
from envport_protocol.server.disconnects import ClientGoneError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive

M = TypeVar("M", bound=BaseModel)

_MAX_PROBLEMS = 5
_MAX_FOUND = 5000
"""Problems of a body among which the first are looked for: all of them become dicts at once."""
_MAX_TOLD = 200
"""Characters of what a client sent that an error repeats."""
_MAX_DEPTH = 100
_DIGITS = bytes(48 if 48 <= byte <= 57 else 32 for byte in range(256))
_LONG_NUMBER = b"0" * 19
"""What digits in a row become by _DIGITS; a shorter integer fits into 64 bits."""
_is_integer = re.compile(r"-?[0-9]{1,18}").fullmatch
_JSON_TYPES = (b"application/json", b"application/json; charset=utf-8")


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], max_bytes: int, timeout_s: float) -> bytes:
    """The body, read only as far as the limit, whatever its headers say.

    The server's connection bounds the wait for the first part of it, this the wait for the rest.

    Raises:
        MediaTypeError: it is declared as something else than JSON.
        BodyTooLargeError: it is longer.
        RequestTimeoutError: it did not all come in time.
        ClientGoneError: it never will.
    """
    media_type = headers.get(b"content-type")
    if media_type is not None and media_type not in _JSON_TYPES:
        _check_media_type(media_type)
    coding = headers.get(b"content-encoding")
    if coding is not None:
        _check_coding(coding)
    declared = headers.get(b"content-length")
    if declared is not None and len(declared) > 6 and declared.isdigit() and int(declared) > max_bytes:
        raise too_large(max_bytes)
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGoneError
    body: bytes = message.get("body", b"")
    if message.get("more_body", False):
        body = await _read_on(receive, body, max_bytes, timeout_s)
    if len(body) > max_bytes:
        raise too_large(max_bytes)
    return body


async def _read_on(receive: Receive, begun: bytes, max_bytes: int, timeout_s: float) -> bytes:
    chunks, size = [begun], len(begun)
    try:
        async with asyncio.timeout(timeout_s):
            more = True
            while more and size <= max_bytes:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGoneError
                chunks.append(message.get("body", b""))
                size += len(chunks[-1])
                more = message.get("more_body", False)
    except TimeoutError:
        raise RequestTimeoutError(
            f"only {size} bytes of the request body came within {timeout_s:g} s; send it again"
        ) from None
    return b"".join(chunks)


def parse_json(body: bytes, expected: str, *, may_be_deep: bool = False) -> Any:
    """The JSON value of a body in which a message of the name `expected` should be.

    With `may_be_deep` its parts are left for `check_depth`.

    Raises:
        InvalidRequestError: not JSON, nested too deep, or with a number that a double or 64 bits cannot hold.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError(f"the body is not JSON: {error}; expected a {expected} as JSON in UTF-8") from error
    if not may_be_deep and body.count(b"[") + body.count(b"{") > _MAX_DEPTH:
        check_depth(value)
    if _LONG_NUMBER in body.translate(_DIGITS):
        _refuse_huge_integers(body)
    return value


def check_depth(value: Any) -> None:
    """Passes where a body of this JSON value is not nested too deep.

    Raises:
        InvalidRequestError: it is.
    """
    if _depth_is_over(value, _MAX_DEPTH):
        raise InvalidRequestError(f"the body is nested deeper than {_MAX_DEPTH} levels; nest it less deep")


def parse_query(query: Mapping[str, str], model: type[M]) -> M:
    """The message in a query, whose numbers are text.

    Raises:
        InvalidRequestError: unknown, missing or wrong fields.
    """
    integers = {name for name, field in model.model_fields.items() if field.annotation is int}
    fields = {name: int(text) if name in integers and _is_integer(text) else text for name, text in query.items()}
    return parse_fields(fields, model)


def parse_fields(fields: object, model: type[M]) -> M:
    """The message of these fields, each of just the type that it should have.

    Raises:
        InvalidRequestError: unknown, missing or wrong fields. Their values are not repeated: one may be a ground truth.
    """
    try:
        message: M = model.__pydantic_validator__.validate_python(fields, strict=True)
    except ValidationError as error:
        raise _misfit(error, model) from error
    return message


def _misfit(error: ValidationError, model: type[BaseModel]) -> InvalidRequestError:
    if error.error_count() > _MAX_FOUND:
        return InvalidRequestError(
            f"not a {model.__name__}: {error.error_count()} of its values are wrong or unknown. "
            f"Its fields are: {', '.join(model.model_fields)}"
        )
    problems = [
        {
            "field": ".".join(map(str, problem["loc"]))[:_MAX_TOLD],
            "problem": problem["msg"].removeprefix("Value error, "),
        }
        for problem in error.errors(include_url=False, include_input=False, include_context=False)[:_MAX_PROBLEMS]
    ]
    told = "; ".join(
        f"{problem['field']}: {problem['problem']}" if problem["field"] else problem["problem"] for problem in problems
    )
    known = ", ".join(model.model_fields)
    return InvalidRequestError(
        f"not a {model.__name__}: {told}. Its fields are: {known}", details={"problems": problems}
    )


def _check_media_type(media_type: bytes) -> None:
    kind, *parameters = media_type.decode("latin-1").lower().replace('"', "").replace(" ", "").split(";")
    charsets = {parameter for parameter in parameters if parameter.startswith("charset=")}
    if kind != "application/json" or charsets - {"charset=utf-8"}:
        raise MediaTypeError(
            f"the body is declared as {media_type.decode('latin-1')[:_MAX_TOLD]!r}; expected application/json, in UTF-8"
        )


def _check_coding(coding: bytes) -> None:
    if coding.lower() != b"identity":
        raise MediaTypeError(
            f"the body is declared to be encoded by {coding.decode('latin-1')[:_MAX_TOLD]!r}; send it as it is"
        )


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


def _refuse_huge_integers(body: bytes) -> None:
    # orjson reads them as floats, and so as other numbers than were sent.
    try:
        json.loads(body, parse_int=_integer_of_64_bits)
    except RecursionError:
        raise InvalidRequestError("the body is nested too deep; nest it less deep") from None


def _integer_of_64_bits(digits: str) -> int:
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**64:
        _refuse_integer(digits)
    return int(digits)


def _refuse_integer(digits: str) -> NoReturn:
    raise InvalidRequestError(
        f"the body has the integer {digits[:20]}{'…' * (len(digits) > 20)}, which 64 bits cannot hold; send it as text"
    )


def too_large(max_bytes: int) -> BodyTooLargeError:
    """The error of a body over the limit."""
    return BodyTooLargeError(
        f"the request body is longer than the {max_bytes} bytes that this server reads; send less",
        details={"max_body_bytes": max_bytes},
    )
