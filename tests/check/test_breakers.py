"""Each check fails on a server that breaks what it checks, and only those that must fail with it do."""

from __future__ import annotations

import pytest
from envport import check
from envport.check.promises import deadlines, http, tracing

from .breakers import BREAKERS
from .conftest import ADMIN, AGENT, TRAINER, launcher_of

CONFIG = {"max_rollouts": 200, "max_queued": 4, "queue_timeout_s": 0.5, "request_timeout_s": 1.0, "orphan_grace_s": 1.0}
TOKENS = {"trainer": TRAINER, "agent": AGENT, "admin": ADMIN}
COSTLY = {
    "full_server_says_when_to_come_again",
    "start_in_line_comes_in",
    "hundreds_of_rollouts_fit",
    "batch_streams_as_calls_are_done",
    "every_connection_finds_every_rollout",
    "livez_answers_while_all_else_runs",
    "slow_requests_are_ended",
    "idle_rollouts_expire",
    "rollouts_outlive_a_kill",
    "without_a_journal_rollouts_are_lost",
}
QUICK = [one.name for one in check.CHECKS if one.name not in COSTLY]


@pytest.fixture
def short_patience(monkeypatch):
    monkeypatch.setattr(deadlines, "_ORPHANS_END_WITHIN_S", 0.5)
    monkeypatch.setattr(http, "_SLOW_WITHIN_S", 2.0)
    monkeypatch.setattr(tracing, "_LOGGED_WITHIN_S", 0.2)


def test_every_check_has_a_server_that_breaks_it():
    assert sorted(BREAKERS) == sorted(one.name for one in check.CHECKS)


@pytest.mark.parametrize("name", BREAKERS)
async def test_a_server_that_breaks_it_fails_the_check_and_no_other(name, serve, short_patience):
    breaker = BREAKERS[name]
    config = {**CONFIG, **breaker.config, **({"tokens": TOKENS} if breaker.has_tokens else {})}
    server = serve(breaker.env, config, breaker.wrap, breaker.protocol)
    url = server.url.replace("127.0.0.1", "0.0.0.0") if name == "server_beyond_loopback_asks_for_tokens" else server.url
    launcher = None
    if breaker.launches is not None:
        launcher = launcher_of(breaker.env, {"request_timeout_s": 1.0, **breaker.launches}, breaker.wrap, breaker.told)
    report = await check.run(
        url,
        project=breaker.env(),
        only=[name] if breaker.is_told_alone else [name, *QUICK],
        access=server.access,
        launcher=launcher,
        timeout_s=breaker.timeout_s,
    )
    assert {finding.name for finding in report.failed} == {name} | breaker.also, report.table()
