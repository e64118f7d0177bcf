"""What a caller gives, as the protocol's requests: ids made here, dicts taken for messages, misfits told at once."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson
from envport_protocol.errors import InvalidRequestError
from envport_protocol.messages import ComputeRewardRequest, Message
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

Completion: TypeAlias = "str | Sequence[Message | Mapping[str, Any]]"
"""What the model wrote in a rollout: its last text, or all messages after the first ones."""


def new_id() -> str:
    """An id that no other client makes."""
    return os.urandom(16).hex()


def new_id_beside(rollout_id: str) -> str:
    """An id that no other client makes, of a rollout that the server holds together with `rollout_id`."""
    return f"{rollout_id.partition('.')[0]}.{new_id()}"


def as_messages(messages: Sequence[Message | Mapping[str, Any]]) -> list[Message]:
    """The messages as `Message`; dicts are those of the OpenAI API.

    Raises:
        pydantic.ValidationError: one of them is no message.
    """
    return [Message.model_validate(message) for message in messages]


def as_completion(completion: Completion) -> str | list[Message]:
    """The completion as the protocol has it.

    Raises:
        pydantic.ValidationError: a message in it is none.
    """
    return completion if isinstance(completion, str) else as_messages(completion)


def reward_request(rollout_id: str, completion: Completion, ground_truth: Any) -> ComputeRewardRequest:
    """The request for the reward of one rollout.

    Raises:
        InvalidRequestError: it does not fit the protocol.
    """
    with boundary("compute_reward"):
        return ComputeRewardRequest(
            rollout_id=rollout_id, completion=as_completion(completion), ground_truth=ground_truth
        )


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
        InvalidRequestError: a value in it has no JSON, such as an object, NaN or half a UTF-16 pair.
    """
    try:
        body = orjson.dumps(request.model_dump(mode="json", exclude_defaults=True))
        if b"null" in body:  # pydantic writes NaN and the infinities so; the standard library refuses them
            json.dumps(request.model_dump(exclude_defaults=True), allow_nan=False, default=str)
        return body
    except (PydanticSerializationError, orjson.JSONEncodeError, ValueError) as error:
        text = f"{type(request).__name__} was not sent, it cannot be written as JSON: {error}"
        raise InvalidRequestError(text) from error
