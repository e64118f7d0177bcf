"""What a caller gives, as the protocol's requests: ids made here, dicts taken for messages, misfits told at once."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import orjson
from envport_protocol.errors import InvalidRequestError
from envport_protocol.messages import Message
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence


def new_id() -> str:
    """An id that no other client makes."""
    return uuid.uuid4().hex


def as_messages(messages: Sequence[Message | Mapping[str, Any]]) -> list[Message]:
    """The messages as `Message`; dicts are those of the OpenAI API.

    Raises:
        pydantic.ValidationError: one of them is no message.
    """
    return [Message.model_validate(message) for message in messages]


@contextmanager
def boundary(path: str) -> Generator[None]:
    """Turns a request that does not fit the protocol into InvalidRequestError, before anything is sent."""
    try:
        yield
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, fault['loc'])) or 'the request'}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False)
        ]
        raise InvalidRequestError(f"{path} was not sent: {'; '.join(faults)}") from error


def encode(request: BaseModel) -> bytes:
    """The body of a request, as JSON.

    Raises:
        InvalidRequestError: a value in it has no JSON, such as an object or half a UTF-16 pair.
    """
    try:
        return orjson.dumps(request.model_dump(mode="json", exclude_defaults=True))
    except (PydanticSerializationError, orjson.JSONEncodeError) as error:
        text = f"{type(request).__name__} was not sent, it cannot be written as JSON: {error}"
        raise InvalidRequestError(text) from error
