"""A token that the environment does not take ends the run at once: another try would hear the same."""

from __future__ import annotations

import pytest
from envport_protocol.errors import ForbiddenError, UnauthorizedError
from envport_trainer.rollouts.attempts import attempt_task
from envport_trainer.rollouts.playing import RolloutSpec


@pytest.mark.parametrize("error", [UnauthorizedError("no token"), ForbiddenError("an agent's token")])
async def test_a_refused_token_is_told_at_once(error: Exception):
    class Closed:
        url = "http://closed.example"
        starts = 0

        async def start_rollout(self, **_: object) -> None:
            self.starts += 1
            raise error

    async def attempt(_: object) -> None:
        raise AssertionError

    env = Closed()
    with pytest.raises(type(error), match=str(error)):
        await attempt_task(env, RolloutSpec(split="train", index=0, seed=0), 5, attempt)
    assert env.starts == 1
