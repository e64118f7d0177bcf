"""Good servers pass every check that applies to them."""

from __future__ import annotations

from pathlib import Path

from envport import check
from envport.check import Status

from .conftest import AGENT, TRAINER, launcher_of
from .environments import BareEnv, LeastEnv, TallyEnv

EXTRACTION = Path(__file__).parents[2] / "envs/extraction"
SMALL = {"max_rollouts": 200, "max_queued": 4, "queue_timeout_s": 0.5, "request_timeout_s": 1.0, "orphan_grace_s": 1.0}
GUARDED = {**SMALL, "tokens": {"trainer": TRAINER, "agent": AGENT}}


def unused(report) -> set[str]:
    return {finding.name for finding in report.findings if finding.status is Status.NOT_APPLICABLE}


async def test_an_environment_with_all_that_there_is_passes(serve):
    server = serve(TallyEnv, GUARDED)
    report = await check.run(
        server.url, project=TallyEnv(), access=server.access, launcher=launcher_of(TallyEnv, {"request_timeout_s": 1.0})
    )
    assert report.failed == (), report.table()
    assert unused(report) == {"fork_is_refused_where_there_is_none"}
    print(report.table())


async def test_the_least_environment_passes(serve):
    server = serve(LeastEnv, SMALL)
    report = await check.run(server.url)
    assert report.failed == (), report.table()
    print(report.table())


async def test_an_environment_without_tools_passes(serve):
    server = serve(BareEnv, SMALL)
    report = await check.run(server.url)
    assert report.failed == (), report.table()
