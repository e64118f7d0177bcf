"""What is said of a body that does not fit, however much of it does not."""

from __future__ import annotations

import pytest
from envport_protocol import messages as m
from envport_protocol.errors import InvalidRequestError
from envport_protocol.server.reading import parse_fields

USER = {"role": "user", "content": "?"}


def refusal(fields, model):
    with pytest.raises(InvalidRequestError) as caught:
        parse_fields(fields, model)
    return caught.value.message, caught.value.details


def test_the_first_five_problems_are_told():
    message, details = refusal({str(number): 1 for number in range(9)}, m.EndRolloutRequest)
    told = [
        {"field": "rollout_id", "problem": "Field required"},
        *({"field": str(number), "problem": "Extra inputs are not permitted"} for number in range(4)),
    ]
    assert details == {"problems": told}
    assert message.startswith("not a EndRolloutRequest: rollout_id: Field required; 0: Extra inputs")


def test_of_very_many_problems_the_number_is_told():
    assert refusal({str(number): 1 for number in range(10_000)}, m.EndRolloutRequest) == (
        "not a EndRolloutRequest: 10001 of its values are wrong or unknown. Its fields are: rollout_id",
        {},
    )


@pytest.mark.parametrize(
    ("model", "fields", "most"),
    [
        (m.BatchRequest, lambda n: {"calls": [{"id": "a", "verb": "cancel", "body": {}}] * n}, 1024),
        (
            m.ComputeGroupRewardRequest,
            lambda n: {"group_id": "g", "members": [{"rollout_id": "r", "completion": ""}] * n},
            1024,
        ),
        (m.StartRolloutRequest, lambda n: {"rollout_id": "r", "messages": [USER] * n}, 10_000),
        (m.ComputeRewardRequest, lambda n: {"rollout_id": "r", "completion": [USER] * n}, 10_000),
        (
            m.ComputeRewardRequest,
            lambda n: {"rollout_id": "r", "completion": [{"role": "assistant", "tool_calls": [{}] * n}]},
            10_000,
        ),
    ],
)
def test_a_list_has_a_length_that_it_may_not_exceed(model, fields, most):
    parse_fields(fields(most), model)
    message, _ = refusal(fields(most + 1), model)
    assert f"List should have at most {most} items" in message
