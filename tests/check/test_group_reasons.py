"""Reasons in the rewards of a group are held to what those of a single rollout are."""

from __future__ import annotations

from envport import check

from .breakers.answering import on_answer
from .tampering import Breaker

CHECK = "group_rewards_are_one_for_each_member"


async def test_a_reason_that_is_too_long_in_a_groups_answer_is_found(serve):
    def lengthened(answer):
        members = answer.json["answers"]
        members[1]["rewards"]["right"]["reason"] = "x" * 2001
        return answer.but(answers=members)

    breaker = Breaker(on_answer("compute_group_reward", lengthened))
    server = serve(breaker.env, {}, breaker.wrap, breaker.protocol)
    report = await check.run(server.url, project=breaker.env(), only=[CHECK], access=server.access)
    assert [finding.name for finding in report.failed] == [CHECK]
    assert "the reason of 'right' is text of 2001 characters" in report.table()
