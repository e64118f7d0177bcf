"""A run of the checks: which ones, against what, and what it leaves behind."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from envport import check
from envport.check import Access, Status, UnknownCheckError
from envport.check.prometheus import read_samples
from envport.check.wire import Reply
from envport.errors import NotAnEnvironmentError, TransportError
from envport_protocol.errors import ProjectError, UnauthorizedError

from .conftest import AGENT, TRAINER
from .environments import TallyEnv


class SlowEnv(TallyEnv):
    """Its starts take their time."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = asyncio.Event()

    async def start_rollout(self, rollout_id, task, seed):
        super().start_rollout(rollout_id, task, seed)
        self.begun.set()
        await asyncio.sleep(0.2)


def open_rollouts(url: str) -> float:
    answer = httpx.get(f"{url}/metrics")
    return read_samples(Reply("", 200, answer.headers, answer.content, 0.0)).sum("envport_rollouts_open")


async def test_only_the_checks_that_were_asked_for_run_in_their_own_order(serve):
    url = serve(TallyEnv, {}).url
    told: list[str] = []
    report = await check.run(url, only=["nan_is_refused", "start_repeats"], on_check=told.append)
    assert [(one.name, one.status) for one in report.findings] == [
        ("start_repeats", Status.PASSED),
        ("nan_is_refused", Status.PASSED),
    ]
    assert told == ["start_repeats", "nan_is_refused"]
    assert (report.target, report.environment, report.protocol) == (url, "TallyEnv", "1.0 to 1.1")


async def test_a_check_that_does_not_exist_is_told_with_the_nearest():
    with pytest.raises(UnknownCheckError, match="there is no check 'start_repeat'; did you mean 'start_repeats'"):
        await check.run("http://127.0.0.1:9", only=["start_repeat"])


async def test_a_url_where_nothing_listens_is_told():
    with pytest.raises(TransportError, match="is an environment served there"):
        await check.run("http://127.0.0.1:9")


async def test_something_else_than_an_environment_is_told(serve):
    url = serve(TallyEnv, {}).url
    with pytest.raises(NotAnEnvironmentError, match="404"):
        await check.run(f"{url}/elsewhere")


async def test_a_folder_without_an_environment_is_told(tmp_path):
    with pytest.raises(ProjectError, match=r"has no envport\.toml"):
        await check.run(tmp_path)


async def test_a_server_with_tokens_is_not_checked_without_them(serve):
    url = serve(TallyEnv, {"tokens": {"trainer": TRAINER, "agent": AGENT}}).url
    with pytest.raises(UnauthorizedError, match="give the trainer's by ENVPORT_ENV_TOKEN"):
        await check.run(url)
    with pytest.raises(UnauthorizedError, match="not for the one given"):
        await check.run(url, access=Access("a-token-of-another-server"))


async def test_no_rollout_is_left_open(serve):
    url = serve(TallyEnv, {"max_rollouts": 300}).url
    await check.run(url, only=["duplicates_in_flight_join", "hundreds_of_rollouts_fit", "fork_repeats"])
    assert open_rollouts(url) == 0.0


async def test_no_rollout_is_left_open_by_a_run_that_was_interrupted(serve):
    env = SlowEnv()
    url = serve(lambda: env, {}).url
    running = asyncio.create_task(check.run(url, only=["hundreds_of_rollouts_fit"]))
    while not env.begun.is_set():
        await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert open_rollouts(url) == 0.0


async def test_an_answer_that_nobody_foresaw_fails_its_check_and_not_the_run(serve, monkeypatch):
    async def stumbles(probe):
        return {}["no such field"]

    names = ("start_repeats", "end_repeats")
    found = [one for one in check.CHECKS if one.name in names]
    broken = (check.Check("stumbles", 1, "Stumbles.", "no", "no.", stumbles), *found)
    monkeypatch.setattr("envport.check.running.chosen", lambda only: broken)
    report = await check.run(serve(TallyEnv, {}).url)
    assert [one.status for one in report.findings] == [Status.FAILED, Status.PASSED, Status.PASSED]
    assert report.findings[0].seen == "an answer has not the form of the protocol (KeyError: 'no such field')"
