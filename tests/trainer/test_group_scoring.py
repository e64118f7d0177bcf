"""Where an environment compares the rollouts of a group, they are scored together: all, some, or none of them."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import envport
import pytest
from envport.client import EnvClient
from envport_protocol import BaseEnv, EnvTask
from envport_protocol.config import ServeConfig
from envport_trainer.config import EnvSource, TrainConfig
from envport_trainer.errors import NotScoredError, PromptTooLongError, TrainerError
from envport_trainer.evaluation.evaluate import evaluate, sampled, served
from envport_trainer.evaluation.openai import OpenAiModel
from envport_trainer.rollouts.group_room import GroupRoom, check_room
from envport_trainer.training import train

from . import fake_openai as fake
from .bytewise import byte_chat
from .scripted import ScriptedSampler
from .test_pipeline import LongPromptEnv, Script, rewards
from .test_rollouts import LIMITS, FailsAt, NumberEnv, call, says

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from envport_protocol.messages import ComputeRewardAnswer
    from envport_trainer.types import Sample, SampleRequest, Trajectory


class RankEnv(NumberEnv):
    """The reward is the share of the group whose number is lower; a rollout alone has none."""

    def __init__(self) -> None:
        super().__init__()
        self.groups: list[list[str]] = []
        self.ended_before: list[int] = []
        """How many rollouts had ended when each group was scored."""

    def compute_reward(self, completion: str) -> dict[str, float | None]:
        raise AssertionError("a rollout was scored alone")

    def compute_group_reward(self, rollout_ids: list[str], completions: list[str]) -> list[dict[str, float | None]]:
        self.groups.append(rollout_ids)
        self.ended_before.append(len(self.ended))
        self.fail("compute_group_reward")
        numbers = [None if text == "none" else float(text.split()[-1]) for text in completions]
        known = [number for number in numbers if number is not None]
        if len(known) < 2:
            return [{"rank": None}] * len(numbers)
        return [
            {"rank": None if number is None else sum(other < number for other in known) / (len(known) - 1)}
            for number in numbers
        ]


@pytest.fixture
def env() -> RankEnv:
    return RankEnv()


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envport_trainer.rollouts.attempts._RETRY_EVERY_S", 0.0)


async def within(work: Any, seconds: float = 30) -> Any:
    return await asyncio.wait_for(work, seconds)


# What a group gets


async def test_the_members_of_a_group_are_scored_in_one_call_while_all_are_open(serve_env, env):
    counted: list[Trajectory] = []
    async with envport.connect(serve_env(env)) as client:
        script = Script(client, [["3", "1", "2"], ["5", "6", "4"]])
        step = await script.collect(wanted=2, max_refills=0, on_rollout=counted.append)
    assert rewards(step.groups) == [[1.0, 0.0, 0.5], [0.5, 1.0, 0.0]]
    assert [t.rewards for t in step.groups[0]] == [{"rank": 1.0}, {"rank": 0.0}, {"rank": 0.5}]
    assert sorted(map(sorted, env.groups)) == sorted(sorted(t.rollout_id for t in group) for group in step.groups)
    assert [len({name.partition(".")[0] for name in group}) for group in env.groups] == [1, 1]
    assert env.groups[0][0].partition(".")[0] != env.groups[1][0].partition(".")[0]
    assert sorted(name.partition(".")[2] for name in env.groups[0]) == ["0", "1", "2"]
    assert env.ended_before[0] == 0
    assert sorted(env.ended) == sorted(env.started)
    assert (len(counted), script.sampler.open, step.failures) == (6, 0, [])


class WaveSampler(ScriptedSampler):
    """Answers when every open rollout has asked, and never before."""

    def __init__(self, say: Callable[[int, SampleRequest], str]) -> None:
        super().__init__(byte_chat(), say)
        self._asked = 0
        self._moved = asyncio.Condition()
        self._waves = 0

    async def sample(self, request: SampleRequest) -> Sample:
        async with self._moved:
            self._asked += 1
            wave = self._waves
            self._moved.notify_all()
            await self._moved.wait_for(lambda: self._waves > wave or self._asked == self.open)
            if self._waves == wave:
                self._waves, self._asked = wave + 1, 0
                self._moved.notify_all()
        return await super().sample(request)

    @asynccontextmanager
    async def rollout(self) -> AsyncIterator[None]:
        async with super().rollout():
            yield
        async with self._moved:
            self._moved.notify_all()


async def test_a_member_that_waits_for_its_group_keeps_no_wave_waiting(serve_env, env):
    """One member is done at once, its siblings only after three turns more, each in a wave of its own."""
    turns = {"": call("look", at="a"), "A a.": call("look", at="b"), "A b.": call("look", at="c"), "A c.": "1"}
    first: list[int] = []

    def say(_: int, request: SampleRequest) -> str:
        text = byte_chat().tokenizer.decode(list(request.prompt_ids), skip_special_tokens=False)
        if not first or request.seed in first:
            first.append(request.seed)
            return "2"
        answers = [answer for answer in turns if answer and answer in text]
        return turns[answers[-1] if answers else ""]

    async with envport.connect(serve_env(env)) as client:
        script = Script(client, [["", "", ""]])
        script.sampler = WaveSampler(say)
        step = await within(script.collect(wanted=1, max_refills=0))
    assert sorted(rewards(step.groups)[0]) == [0.0, 0.0, 1.0]
    assert sorted(t.tool_calls for t in step.groups[0]) == [0, 3, 3]
    assert script.sampler.open == 0


async def test_a_member_that_fails_is_begun_anew_while_the_others_wait(serve_env, env):
    env.fail = FailsAt("start_rollout", times=2)
    async with envport.connect(serve_env(env)) as client:
        step = await Script(client, [["3", "1", "2"]]).collect(wanted=1, max_refills=0)
    assert rewards(step.groups) == [[1.0, 0.0, 0.5]]
    assert (len(env.groups), len(env.started), step.failures) == (1, 5, [])


# What it does not get


async def test_a_member_that_keeps_failing_is_dropped_and_the_others_are_scored(serve_env, env):
    env.fail = FailsAt("look", times=3)
    async with envport.connect(serve_env(env)) as client:
        script = Script(client, [[call("look", at="x"), "1", "2"]])
        step = await within(script.collect(wanted=1, max_refills=0))
    assert rewards(step.groups) == [[0.0, 1.0]]
    assert [str(failure).partition(" failed ")[2][:7] for failure in step.failures] == ["3 times"]
    assert [len(group) for group in env.groups] == [2]
    assert sorted(env.ended) == sorted(env.started)


async def test_a_group_whose_members_are_all_dropped_is_not_scored(serve_env):
    class LongRankEnv(LongPromptEnv, RankEnv):
        pass

    env = LongRankEnv()
    async with envport.connect(serve_env(env)) as client:
        step = await Script(client, [["0", "1"], ["0", "1"]]).collect(wanted=1, max_refills=1)
    assert rewards(step.groups) == [[0.0, 1.0]]
    assert [type(failure) for failure in step.failures] == [PromptTooLongError] * 2
    assert len(env.groups) == 1


async def test_a_member_without_a_reward_is_dropped_alone_and_not_begun_anew(serve_env, env):
    async with envport.connect(serve_env(env)) as client:
        step = await Script(client, [["3", "none", "2"]]).collect(wanted=1, max_refills=0)
    assert rewards(step.groups) == [[1.0, 0.0]]
    assert [str(failure) for failure in step.failures] == [
        "compared with its group, the environment gave no reward (outcome ok)"
    ]
    assert (len(env.started), len(env.groups)) == (3, 1)


async def test_a_group_that_could_not_be_compared_is_dropped_and_another_is_drawn(serve_env, env, caplog):
    env.fail = FailsAt("compute_group_reward", times=1)
    async with envport.connect(serve_env(env)) as client:
        script = Script(client, [["3", "1", "2"], ["1", "2", "3"]])
        step = await script.collect(wanted=1, max_refills=1)
    assert rewards(step.groups) == [[0.0, 0.5, 1.0]]
    assert (step.flat, step.started, step.dropped, script.asked) == ([], 2, 3, [0, 1])
    assert {type(failure) for failure in step.failures} == {NotScoredError}
    reason = r"the 3 rollouts of a group could not be compared: .*compute_group_reward raised RuntimeError"
    assert re.search(reason, str(step.failures[0]))
    assert [len(group) for group in env.groups] == [3, 3]  # none was begun anew
    assert sorted(env.ended) == sorted(env.started)
    assert sum("dropped, not scored" in record.getMessage() for record in caplog.records) == 3


class LosesAMember(EnvClient):
    """A member of the first group is gone when the group is scored, as after a restart."""

    lost: bool = False

    async def compute_group_reward(self, completions: Sequence[Any], **options: Any) -> list[ComputeRewardAnswer]:
        if not self.lost:
            self.lost = True
            await completions[1][0].end()
        return await super().compute_group_reward(completions, **options)


async def test_a_group_that_lost_a_waiting_member_is_dropped_and_another_is_drawn(serve_env, env):
    async with LosesAMember(serve_env(env), timeout_s=None, retry_for_s=0.0, http=None) as client:
        step = await Script(client, [["3", "1"], ["1", "2"]]).collect(wanted=1, max_refills=1)
    assert rewards(step.groups) == [[0.0, 1.0]]
    assert [type(failure) for failure in step.failures] == [NotScoredError] * 2
    assert (len(env.groups), len(env.started)) == (1, 4)


# While it waits


class Touches(EnvClient):
    """Counts the touches of each rollout, and sets `enough` when one was touched seven times: twice the idle limit."""

    def __init__(self, url: str) -> None:
        super().__init__(url, timeout_s=None, retry_for_s=0.0, http=None)
        self.counts: dict[str | None, int] = {}
        self.enough = asyncio.Event()

    async def list_tools(self, rollout_id: str | None = None) -> list[Any]:
        self.counts[rollout_id] = self.counts.get(rollout_id, 0) + 1
        if self.counts[rollout_id] >= 7:
            self.enough.set()
        return await super().list_tools(rollout_id)


async def test_a_member_is_kept_open_while_it_waits(serve_env, env):
    async with Touches(serve_env(env, ServeConfig(idle_timeout_s=0.6))) as client:

        class Slow(ScriptedSampler):
            async def sample(self, request: SampleRequest) -> Sample:
                answer = await super().sample(request)
                if len(self.requests) == 2:
                    await client.enough.wait()
                return answer

        script = Script(client, [["1", "2"]])
        script.sampler = Slow(byte_chat(), script.sampler._say)
        step = await within(script.collect(wanted=1, max_refills=0))
    assert rewards(step.groups) == [[0.0, 1.0]]
    assert len(env.started) == 2


@pytest.mark.parametrize("place", ["waiting", "being compared"])
async def test_cancelling_a_step_ends_the_rollouts_of_its_groups(serve_env, env, place):
    loop, there, release = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def hold(entered: str) -> None:
        if entered == ("look" if place == "waiting" else "compute_group_reward"):
            loop.call_soon_threadsafe(there.set)
            release.wait(20)

    env.fail = hold
    async with envport.connect(serve_env(env)) as client:
        texts = [call("look", at="x"), "1", "2"] if place == "waiting" else ["0", "1", "2"]
        script = Script(client, [texts])
        work = asyncio.create_task(script.collect(wanted=1, max_refills=0))
        await within(there.wait())
        while place == "waiting" and script.sampler.open > 1:
            await asyncio.sleep(0.01)
        work.cancel()
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await within(work)
        assert sorted(env.ended) == sorted(env.started)
        assert (len(env.started), script.sampler.open) == (3, 0)


# The room that it needs


async def test_groups_of_which_not_all_fit_are_played_one_after_the_other(serve_env, env):
    """A member of the first group is begun anew when the members of the others have long asked for their rollouts."""
    env.fail = FailsAt("look", times=1)
    async with envport.connect(serve_env(env, ServeConfig(max_rollouts=3))) as client:
        script = Script(client, [[call("look", at="x") + " 9", "1", "2"], ["1", "2", "3"], ["4", "5", "6"]])
        script.sampler._say = _after_a_turn(script.sampler._say)
        step = await within(script.collect(wanted=3, max_refills=0), seconds=20)
    assert rewards(step.groups) == [[1.0, 0.0, 0.5], [0.0, 0.5, 1.0], [0.0, 0.5, 1.0]]
    assert (step.failures, len(env.started)) == ([], 10)


async def test_a_group_that_finds_no_room_gives_way_and_is_begun_again(serve_env, env):
    """Another client holds what the manifest promises; each of two groups gets a part of the rest, and none all."""
    env.fail = FailsAt("look", times=1)
    url = serve_env(env, ServeConfig(max_rollouts=6, queue_timeout_s=0.05))
    async with envport.connect(url) as other, EnvClient(url, timeout_s=None, retry_for_s=0.3, http=None) as client:
        held = [await other.start_rollout(split="train", index=0) for _ in range(2)]
        script = Script(client, [[call("look", at="x") + " 9", "1", "2"], ["1", "2", "3"]])
        script.sampler._say = _after_a_turn(script.sampler._say)
        step = await within(script.collect(wanted=2, max_refills=0))
        for rollout in held:
            await rollout.end()
    assert rewards(step.groups) == [[1.0, 0.0, 0.5], [0.0, 0.5, 1.0]]
    assert [len(group) for group in env.groups] == [3, 3]
    assert step.failures == []
    assert sorted(env.ended) == sorted(env.started)


def _after_a_turn(say: Callable[[int, SampleRequest], str]) -> Callable[[int, SampleRequest], str]:
    """What `say` says to the first request of a rollout, and a number after a tool."""

    def said(number: int, request: SampleRequest) -> str:
        try:
            return say(number, request)
        except KeyError:
            return "9"

    return said


async def test_the_last_group_of_all_waits_where_it_is_and_the_others_give_way():
    room = GroupRoom(9)
    async with room.place(3) as first, room.place(3) as second, room.place(3) as third:
        assert [third.gives_way(), third.gives_way(), second.gives_way(), first.gives_way()] == [
            True,
            True,
            True,
            False,
        ]
        assert room.size == 3
    assert (room.held, room.giving_back) == (0, 0)


async def test_the_room_grows_again_by_each_group_that_was_played():
    room = GroupRoom(9)
    async with room.place(3), room.place(3) as second:
        assert second.gives_way()
    assert room.size == 9


async def test_a_group_waits_until_all_its_members_fit():
    room = GroupRoom(7)
    begun: list[int] = []
    go_on = [asyncio.Event() for _ in range(3)]

    async def play(number: int) -> None:
        async with room.place(3):
            begun.append(number)
            await go_on[number].wait()

    tasks = [asyncio.create_task(play(number)) for number in range(3)]
    while len(begun) < 2:
        await asyncio.sleep(0)
    for _ in range(20):
        await asyncio.sleep(0)
    assert begun == [0, 1]
    go_on[1].set()
    await within(tasks[1])
    while len(begun) < 3:
        await asyncio.sleep(0)
    for event in go_on:
        event.set()
    await within(asyncio.gather(*tasks))
    assert room.held == 0


async def test_groups_that_can_never_be_open_at_once_are_told_at_once(serve_env, env):
    async with envport.connect(serve_env(env, ServeConfig(max_rollouts=4))) as client:
        check_room(client, 4)
        with pytest.raises(TrainerError, match=r"holds 4 at most, but group_size is 5; lower it, or serve .* --max-"):
            check_room(client, 5)


# Whole runs


class LongerEnv(BaseEnv):
    """The reward is the share of the group that wrote less or the same."""

    def tasks(self, split: str) -> list[EnvTask]:
        return [EnvTask(f"{split}-{n}", prompt="question") for n in range(4)]

    def compute_reward(self, completion: str) -> None:
        return None

    def compute_group_reward(self, completions: list[str]) -> list[float]:
        lengths = [len(completion) for completion in completions]
        return [sum(other <= length for other in lengths) / len(lengths) for length in lengths]


def settings(url: str, model: Path, output: Path) -> TrainConfig:
    return TrainConfig(
        envs=(EnvSource(url=url),),
        model=str(model),
        output=output,
        steps=2,
        prompts_per_step=2,
        group_size=4,
        max_new_tokens=4,
        max_turns=1,
        precision="fp32",
        device="cpu",
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_model_is_trained_on_an_environment_that_only_compares(serve_env, tiny_folder, tmp_path):
    url = serve_env(LongerEnv(), ServeConfig(max_rollouts=6))
    assert train(settings(url, tiny_folder, tmp_path / "run")).step == 2
    steps = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [(line["groups"], line["rollouts_dropped"]) for line in steps] == [(2.0, 0.0)] * 2
    assert all(0.25 < line["reward"] < 1.0 for line in steps)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_run_whose_groups_do_not_fit_ends_before_its_first_step(serve_env, tiny_folder, tmp_path):
    url = serve_env(LongerEnv(), ServeConfig(max_rollouts=3))
    with pytest.raises(TrainerError, match=f"{url} compares the rollouts of a group and holds 3 at most"):
        train(settings(url, tiny_folder, tmp_path / "run"))


# Evaluation: a group of one


class LoneRankEnv(RankEnv):
    """Scores a group of one by its number."""

    def compute_group_reward(self, rollout_ids: list[str], completions: list[str]) -> list[dict[str, float | None]]:
        self.groups.append(rollout_ids)
        self.fail("compute_group_reward")
        return [{"number": float(text)} for text in completions]


@pytest.mark.parametrize("model", ["in this process", "served"])
async def test_an_evaluation_asks_for_the_reward_of_a_group_of_one(serve_env, fake_openai, model):
    env = LoneRankEnv()
    env.fail = FailsAt("compute_group_reward", times=1)
    fake_openai.answer = lambda _: fake.says("0.5")
    async with envport.connect(serve_env(env)) as client, OpenAiModel(fake_openai.url, retry_for_s=0) as server:
        mine = sampled("scripted", says("0.5"), byte_chat())
        result = await evaluate(client, mine if model != "served" else served(server), LIMITS, split="train", n=2)
    assert [row.reward for row in result.rows] == [0.5, 0.5]
    assert sorted(len(group) for group in env.groups) == [1, 1, 1]  # the one that failed was begun anew
    assert sorted(env.ended) == sorted(env.started)


@pytest.mark.parametrize("model", ["in this process", "served"])
async def test_an_environment_that_only_compares_is_told_as_such(serve_env, env, fake_openai, model):
    fake_openai.answer = lambda _: fake.says("0.5")
    async with envport.connect(serve_env(env)) as client, OpenAiModel(fake_openai.url, retry_for_s=0) as server:
        mine = sampled("scripted", says("0.5"), byte_chat())
        with pytest.raises(TrainerError, match=f"{client.url} scores only by comparison: it gave a rollout alone no"):
            await evaluate(client, mine if model != "served" else served(server), LIMITS, split="train", n=2)
    assert len(env.started) == 2
