"""What a caller gives, as bytes: what JSON has no word for is not sent."""

from __future__ import annotations

import math

import pytest
from envport.requests import encode
from envport_protocol.errors import InvalidRequestError
from envport_protocol.messages import RunToolRequest


def request(value: object) -> RunToolRequest:
    return RunToolRequest(rollout_id="r", call_id="c", tool_name="t", arguments={"x": value})


@pytest.mark.parametrize("value", [math.nan, math.inf, {"deep": [-math.inf]}])
def test_numbers_without_json_are_refused_and_not_turned_into_null(value: object):
    with pytest.raises(InvalidRequestError, match="was not sent, it cannot be written as JSON"):
        encode(request(value))


@pytest.mark.parametrize("value", [None, "null", [None, 1.5]])
def test_null_is_sent_where_it_is_meant(value: object):
    assert b"null" in encode(request(value))
