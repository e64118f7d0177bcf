"""A tool's answer as the bytes that are kept and sent."""

from __future__ import annotations

from typing import Any

import orjson

from envport_protocol.results import run_tool_answer

_WITHOUT_REWARDS = (b',"rewards":{},"done":false}', b',"rewards":{},"done":true}')
_BEFORE_TEXT, _AFTER_TEXT = run_tool_answer("|").model_dump_json().encode().split(b'"|"')


def tool_body(result: Any) -> bytes:
    """`run_tool_answer`, written as JSON. Plain text, which most tools give, takes the short way.

    Raises:
        TypeError, ValueError: the value has no JSON form, or a step reward is not finite.
    """
    if type(result) is str:
        return _BEFORE_TEXT + orjson.dumps(result) + _AFTER_TEXT
    answer = run_tool_answer(result)
    return answer.__pydantic_serializer__.to_json(answer)


def without_step_rewards(body: bytes) -> bytes:
    """The body of a tool's answer as an agent is told it: no step rewards."""
    if body.endswith(_WITHOUT_REWARDS):
        return body
    return orjson.dumps(orjson.loads(body) | {"rewards": {}})
