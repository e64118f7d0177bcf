"""The pipeline of groups: which begin, what a step gets, what is replaced or too old, and what a checkpoint holds."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

import envport
import pytest
from envport_protocol import EnvTask
from envport_trainer.errors import PromptTooLongError, RolloutFailedError, SamplerError
from envport_trainer.rollouts.pipeline import GroupPipeline, StepRollouts
from envport_trainer.rollouts.playing import RolloutSpec, derive_seed, play_group
from envport_trainer.rollouts.tasks import GroupPlan
from envport_trainer.types import Finish, TokenRow, Trajectory

from .bytewise import byte_chat
from .scripted import ScriptedSampler
from .test_rollouts import LIMITS, NumberEnv

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from envport.client import EnvClient


@pytest.fixture
def env() -> NumberEnv:
    return NumberEnv()


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envport_trainer.rollouts.attempts._RETRY_EVERY_S", 0.0)


def rewards(groups: Sequence[Sequence[Trajectory]]) -> list[list[float]]:
    return [[t.reward for t in group] for group in groups]


# Without an environment: groups that end when they are told to


def trajectory(reward: float, spec: RolloutSpec, finish: Finish = Finish.STOP) -> Trajectory:
    row = TokenRow([1, 2], [False, True], [0.0, -0.5], 1)
    return Trajectory("http://env", None, None, "r", spec.group, [row], spec.policy_version, finish, [], reward)


class Stage:
    """A stream of tasks and what becomes of its groups: group n has the rewards `rewards[n]` when `let(n)` was called,
    or at once where all are let."""

    def __init__(
        self, rewards: Callable[[int], Sequence[float | RolloutFailedError]], *, all_at_once: bool = True
    ) -> None:
        self.rewards = rewards
        self.begun: list[tuple[int, int]] = []
        """Version and number of every group that began."""
        self.broken_off: list[int] = []
        self.observed: list[tuple[int, list[float]]] = []
        self.all_at_once = all_at_once
        self.events: dict[int, asyncio.Event] = {}
        self.given = count()

    def next(self, step: int, number: int) -> GroupPlan:
        return GroupPlan(source=0, index=next(self.given), step=step, number=number)

    def specs(self, plan: GroupPlan) -> tuple[Any, list[RolloutSpec]]:
        return plan, [RolloutSpec("train", plan.index, seed=n) for n in range(len(self.rewards(plan.index)))]

    def observe(self, plan: GroupPlan, rewards: Sequence[float]) -> None:
        self.observed.append((plan.index, list(rewards)))

    def let(self, *indices: int) -> None:
        for index in indices:
            self.events.setdefault(index, asyncio.Event()).set()

    async def play(self, plan: Any, specs: Sequence[RolloutSpec]) -> list[Trajectory | RolloutFailedError]:
        self.begun.append((specs[0].policy_version, plan.index))
        try:
            if not self.all_at_once:
                await self.events.setdefault(plan.index, asyncio.Event()).wait()
        except asyncio.CancelledError:
            self.broken_off.append(plan.index)
            raise
        told = self.rewards(plan.index)
        return [
            trajectory(reward, spec) if isinstance(reward, float) else reward
            for reward, spec in zip(told, specs, strict=True)
        ]

    def pipeline(self, **options: Any) -> GroupPipeline:
        return GroupPipeline(self, self.play, **({"wanted": 2, "steps": 100} | options))  # type: ignore[arg-type]


def varied(_: int) -> list[float]:
    return [0.0, 1.0]


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_without_staleness_nothing_begins_while_the_weights_change():
    stage = Stage(varied)
    pipeline = stage.pipeline()
    first = await pipeline.next_step()
    await settled()
    assert (stage.begun, len(first.groups), first.policy_version) == ([(0, 0), (0, 1)], 2, 0)
    pipeline.updated(1)
    await settled()
    assert len(stage.begun) == 2
    second = await pipeline.next_step()
    assert stage.begun[2:] == [(1, 2), (1, 3)]
    assert [t.policy_version for group in second.groups for t in group] == [1, 1, 1, 1]


async def test_with_staleness_the_next_steps_groups_begin_before_and_during_the_update():
    stage = Stage(varied, all_at_once=False)
    pipeline = stage.pipeline(max_staleness=1)
    stage.let(0, 1)
    await pipeline.next_step()
    await settled()
    assert stage.begun == [(0, 0), (0, 1), (0, 2), (0, 3)]
    pipeline.updated(1)
    stage.let(2, 3)
    step = await pipeline.next_step()
    await settled()
    assert stage.begun[4:] == [(1, 4), (1, 5)]
    assert [t.policy_version for group in step.groups for t in group] == [0, 0, 0, 0]
    assert (step.policy_version, step.stale_groups) == (1, 0)
    await pipeline.close()


async def test_a_slow_group_stalls_no_step_and_is_dropped_when_it_is_too_old():
    stage = Stage(varied, all_at_once=False)
    pipeline = stage.pipeline(max_staleness=1)
    stage.let(*range(1, 50))
    for version in range(3):
        step = await pipeline.next_step()
        assert len(step.groups) == 2
        if version == 2:
            assert step.stale_groups == 1
        pipeline.updated(version + 1)
    await settled()
    assert stage.broken_off == [0]
    assert 0 not in [index for index, _ in stage.observed]
    await pipeline.close()


async def test_a_group_that_ended_too_late_is_counted_and_not_trained_on():
    stage = Stage(varied, all_at_once=False)
    pipeline = stage.pipeline(max_staleness=1, wanted=1)
    stage.let(1)
    first = await pipeline.next_step()
    assert [group[0].reward for group in first.groups] == [0.0]
    stage.let(0)
    await settled()
    pipeline.updated(1)
    pipeline.updated(2)
    stage.let(*range(2, 20))
    second = await pipeline.next_step()
    assert (len(second.stale), [t.policy_version for t in second.stale]) == (2, [0, 0])
    assert [t.policy_version for group in second.groups for t in group] == [2, 2]
    await pipeline.close()


async def test_no_group_begins_for_steps_that_will_not_come():
    stage = Stage(varied)
    pipeline = stage.pipeline(steps=2, max_staleness=5)
    await pipeline.next_step()
    pipeline.updated(1)
    await pipeline.next_step()
    await settled()
    assert len(stage.begun) == 4


async def test_a_step_depends_on_the_stream_and_not_on_which_group_came_first():
    def flat_at_first(index: int) -> list[float]:
        return [1.0, 1.0] if index in (0, 2) else [0.0, 1.0 + index]

    forwards, backwards = Stage(flat_at_first), Stage(flat_at_first, all_at_once=False)
    step = await forwards.pipeline().next_step()
    work = asyncio.create_task((other := backwards.pipeline()).next_step())
    for index in (1, 0, 2, 3):
        await settled()
        backwards.let(index)
    late = await work
    assert rewards(late.groups) == rewards(step.groups) == [[0.0, 2.0], [0.0, 4.0]]
    assert sorted(backwards.begun) == sorted(forwards.begun) == [(0, 0), (0, 1), (0, 2), (0, 3)]
    assert backwards.observed == forwards.observed
    await other.close()


@pytest.mark.parametrize("max_staleness", [0, 1])
async def test_a_checkpoint_holds_what_was_begun_and_not_trained_on(max_staleness):
    stage = Stage(lambda index: [1.0, 1.0] if index == 0 else [0.0, 1.0], all_at_once=False)
    pipeline = stage.pipeline(max_staleness=max_staleness)
    work = asyncio.create_task(pipeline.next_step())
    stage.let(0)
    await settled()
    work.cancel()
    state = pipeline.state()
    begun = [(version, index) for version, index in stage.begun]
    await pipeline.close()
    assert [plan["index"] for plan in state["pending"]] == list(range(len(begun)))
    assert state["number"] == len(begun)

    again = Stage(stage.rewards)
    again.given = count(len(begun))
    resumed = again.pipeline(max_staleness=max_staleness)
    resumed.load_state(state)
    step = await resumed.next_step()
    assert again.begun[: len(begun)] == begun[: len(again.begun)]
    assert rewards(step.groups) == [[0.0, 1.0], [0.0, 1.0]]
    assert len(step.flat) == 2
    await resumed.close()


async def test_what_is_not_about_one_group_ends_the_step():
    class Broken(Stage):
        async def play(self, plan: Any, specs: Sequence[RolloutSpec]) -> list[Trajectory | RolloutFailedError]:
            if plan.index == 1:
                raise SamplerError("the engine is gone")
            return await super().play(plan, specs)

    stage = Broken(varied, all_at_once=False)
    pipeline = stage.pipeline()
    with pytest.raises(SamplerError, match="the engine is gone"):
        await pipeline.next_step()
    await pipeline.close()
    assert stage.broken_off == [0]


async def test_truncated_rollouts_are_dropped_where_that_is_asked_for():
    class Cut(Stage):
        async def play(self, plan: Any, specs: Sequence[RolloutSpec]) -> list[Trajectory | RolloutFailedError]:
            ends = [Finish.LENGTH, Finish.STOP, Finish.STOP]
            return [trajectory(float(n + plan.index), spec, ends[n]) for n, spec in enumerate(specs)]

    kept = await Cut(lambda _: [0.0] * 3).pipeline(wanted=1).next_step()
    dropped = await Cut(lambda _: [0.0] * 3).pipeline(wanted=1, truncated="drop").next_step()
    assert rewards(kept.groups) == [[0.0, 1.0, 2.0]]
    assert (rewards(dropped.groups), [t.reward for t in dropped.flat]) == ([[1.0, 2.0]], [0.0])


async def test_groups_whose_components_differ_teach_where_each_counts_by_itself():
    class Traded(Stage):
        async def play(self, plan: Any, specs: Sequence[RolloutSpec]) -> list[Trajectory | RolloutFailedError]:
            parts = [{"a": 0.0, "b": 1.0}, {"a": 1.0, "b": 0.0}]
            return [replace(trajectory(1.0, spec), rewards=part) for spec, part in zip(specs, parts, strict=True)]

    total = await Traded(lambda _: [0.0] * 2).pipeline(wanted=1, max_refills=0).next_step()
    each = await Traded(lambda _: [0.0] * 2).pipeline(wanted=1, max_refills=0, by_component=True).next_step()
    assert (total.groups, rewards(each.groups)) == ([], [[1.0, 1.0]])


# With a real server


class Script:
    """Groups of rollouts of `texts[group][member]`, and the sampler that says them."""

    def __init__(self, env: EnvClient, texts: Sequence[Sequence[str]]) -> None:
        self.env, self.texts = env, texts
        self.asked: list[int] = []
        by_seed = {
            derive_seed(self.seed(group, member), 0): text
            for group, members in enumerate(texts)
            for member, text in enumerate(members)
        }
        self.sampler = ScriptedSampler(byte_chat(), lambda _, request: by_seed[request.seed])

    def seed(self, group: int, member: int) -> int:
        return 1000 * group + member

    def next(self, step: int, number: int) -> GroupPlan:
        self.asked.append(number)
        return GroupPlan(source=0, index=number % 5, step=step, number=number)

    def specs(self, plan: GroupPlan) -> tuple[EnvClient, list[RolloutSpec]]:
        seeds = [self.seed(plan.number, member) for member in range(len(self.texts[plan.number]))]
        return self.env, [RolloutSpec("train", plan.index, seed, group=plan.number) for seed in seeds]

    def observe(self, plan: GroupPlan, rewards: Sequence[float]) -> None:
        """Draws the same tasks whatever the rewards are."""

    async def collect(
        self, wanted: int, max_refills: int, on_rollout: Callable[[Trajectory], None] = lambda _: None
    ) -> StepRollouts:
        async def play(env: EnvClient, specs: Sequence[RolloutSpec]) -> list[Trajectory | RolloutFailedError]:
            return await play_group(env, self.sampler, self.sampler.chat, specs, LIMITS, on_rollout)

        pipeline = GroupPipeline(self, play, wanted=wanted, steps=1, max_refills=max_refills)  # type: ignore[arg-type]
        try:
            return await pipeline.next_step()
        finally:
            await pipeline.close()


async def test_groups_of_equal_rewards_are_replaced_and_still_counted(serve_env, env):
    async with envport.connect(serve_env(env)) as client:
        script = Script(client, [["1", "1"], ["0", "1"], ["0", "0"], ["1", "0"], ["0", "1"]])
        step = await script.collect(wanted=2, max_refills=3)
    assert script.asked == [0, 1, 2, 3]
    assert rewards(step.groups) == [[0.0, 1.0], [1.0, 0.0]]
    assert [t.reward for t in step.flat] == [1.0, 1.0, 0.0, 0.0]
    assert (step.started, step.dropped, len(step.all)) == (4, 0, 8)
    assert [{t.group for t in group} for group in step.groups] == [{1}, {3}]
    assert len(env.started) == 8


async def test_the_number_of_replacements_is_bounded(serve_env, env):
    async with envport.connect(serve_env(env)) as client:
        script = Script(client, [["1", "1"]] * 9)
        step = await script.collect(wanted=2, max_refills=3)
    assert script.asked == [0, 1, 2, 3, 4]
    assert (step.groups, step.started, len(step.flat), len(env.started)) == ([], 5, 10, 10)


async def test_no_more_groups_are_started_than_are_missing(serve_env, env):
    async with envport.connect(serve_env(env)) as client:
        script = Script(client, [["0", "1"]] * 9)
        step = await script.collect(wanted=3, max_refills=6)
    assert script.asked == [0, 1, 2]
    assert (len(step.groups), step.started, step.flat) == (3, 3, [])


async def test_unscored_rollouts_are_dropped_and_a_group_that_lost_half_is_replaced(serve_env, env, caplog):
    counted: list[float] = []
    async with envport.connect(serve_env(env)) as client:
        texts = [["none", "0", "none", "1"], ["0", "none", "1", "1"], ["1", "0", "0", "0"]]
        script = Script(client, texts)
        step = await script.collect(2, 1, on_rollout=lambda t: counted.append(t.reward))
    assert rewards(step.groups) == [[0.0, 1.0, 1.0], [1.0, 0.0, 0.0, 0.0]]
    assert [t.reward for t in step.flat] == [0.0, 1.0]
    assert (step.started, step.dropped, len(step.all), len(counted)) == (3, 3, 9, 9)
    dropped = [r.getMessage() for r in caplog.records if "dropped, not scored" in r.getMessage()]
    assert len(dropped) == 3
    assert all("the environment gave no reward" in message for message in dropped)


class LongPromptEnv(NumberEnv):
    """The prompt of task 0 is over any limit."""

    def tasks(self, split: str) -> list[EnvTask]:
        return [EnvTask("long", prompt="word " * 2000), *super().tasks(split)[1:]]


async def test_a_prompt_that_leaves_no_room_drops_its_group_and_another_takes_its_place(serve_env):
    async with envport.connect(serve_env(LongPromptEnv())) as client:
        script = Script(client, [["0", "1"]] * 3)
        step = await script.collect(wanted=2, max_refills=1)
    assert [group[0].task_id for group in step.groups] == ["train-1", "train-2"]
    assert [type(failure) for failure in step.failures] == [PromptTooLongError] * 2
    assert (step.started, step.dropped, step.flat) == (3, 2, [])


class MeetingEnv(NumberEnv):
    """Every start, and then every reward, waits until all rollouts of the step are there at once."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.starts, self.scores = (threading.Barrier(count, timeout=30) for _ in range(2))

    def start_rollout(self, rollout_id: str, seed: int) -> None:
        super().start_rollout(rollout_id, seed)
        self.starts.wait()

    def compute_reward(self, completion: str) -> dict[str, float | None]:
        self.scores.wait()
        return super().compute_reward(completion)


async def test_all_rollouts_of_a_step_are_in_the_environment_at_once(serve_env):
    env = MeetingEnv(32)
    async with envport.connect(serve_env(env)) as client:
        script = Script(client, [["0", "1"] * 4] * 4)
        step = await script.collect(wanted=4, max_refills=0)
    assert rewards(step.groups) == [[0.0, 1.0] * 4] * 4
    assert (len(env.started), step.dropped) == (32, 0)


async def test_cancelling_a_step_ends_its_rollouts_at_the_server(serve_env, env):
    """One is cancelled while it begins, which takes no time, and the other while it is scored."""
    both, release = asyncio.Event(), threading.Event()
    loop, begun, held = asyncio.get_running_loop(), count(1), count(1)

    def hold(place: str) -> None:
        if place == "compute_reward" or next(begun) == 2:
            if next(held) == 2:
                loop.call_soon_threadsafe(both.set)
            release.wait(20)

    env.fail = hold
    async with envport.connect(serve_env(env)) as client:
        script = Script(client, [["0", "1"]])
        work = asyncio.create_task(script.collect(wanted=1, max_refills=0))
        await asyncio.wait_for(both.wait(), 20)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(work, 20)
        assert env.ended != []
        assert script.sampler.open == 0
        release.set()
    assert sorted(env.ended) == sorted(env.started)
