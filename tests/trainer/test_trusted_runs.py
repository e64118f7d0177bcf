"""Whole runs of a tiny model in which something goes wrong, or that are asked for more than the plain loop."""

from __future__ import annotations

import json
import pkgutil
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from envport.client import EnvClient
from envport_trainer.algorithm.losses import policy_loss
from envport_trainer.errors import CheckpointError, EnvironmentChangedError, TrainerError
from envport_trainer.models.folder import load_policy
from envport_trainer.recording.rollout_log import read_file, rollout_files
from envport_trainer.runs import saving
from envport_trainer.runs.checkpoint import checkpoints, save_checkpoint
from envport_trainer.samplers import make_sampler
from envport_trainer.training import train
from safetensors.torch import load_file

from .test_training import STARTS, FlatEnv, assert_same_run, config, lines
from .yes_env import YesEnv

if TYPE_CHECKING:
    from pathlib import Path

    from envport_protocol.messages import Manifest
    from envport_trainer.models.folder import LoadedModel
    from envport_trainer.types import Sample, SampleRequest

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def resumed_in_the_middle(url: str, folder: Path, place: Path, **more: object) -> tuple[Path, Path]:
    """A run of four steps that nothing disturbed, and one that ended after two and was resumed."""
    whole, halved = place / "whole", place / "halved"
    train(config(url, model=folder, output=whole, steps=4, **more))
    train(config(url, model=folder, output=halved, steps=2, **more))
    train(config(url, model=folder, output=halved, steps=4, **more), resume=True)
    return whole, halved


def test_rollouts_that_begin_before_an_update_are_trained_on_after_it(serve_env, tiny_folder, tmp_path):
    told = {"model": tiny_folder, "output": tmp_path / "run", "max_staleness": 1, "steps": 8}
    result = train(config(serve_env(YesEnv()), **told))
    got = lines(tmp_path / "run")
    assert (result.step, len(got)) == (8, 8)
    assert got[0]["staleness"] == 0.0
    assert all(0.0 <= line["staleness"] <= 1.0 for line in got)
    assert sum(line["staleness"] for line in got) > 0.0
    assert [line["rollouts_stale"] for line in got] == [0.0] * 8


def test_a_run_with_rollouts_in_flight_begins_them_anew_when_it_goes_on(serve_env, tiny_folder, tmp_path):
    env, output = YesEnv(), tmp_path / "run"
    told = {"model": tiny_folder, "output": output, "max_staleness": 1}
    train(config(url := serve_env(env), steps=6, **told))
    for late in checkpoints(output / "checkpoints")[1:]:
        shutil.rmtree(late)
    (kept,) = checkpoints(output / "checkpoints")
    place = json.loads((kept / "state.json").read_text())["tasks"]
    ended = sum(line["groups_started"] for line in lines(output)[: int(kept.name[-1])])
    assert len(place["pipeline"]["pending"]) >= 2
    assert place["stream"]["taken"] == [ended + len(place["pipeline"]["pending"])]
    train(config(url, steps=6, **told), resume=True)
    assert [line["step"] for line in lines(output)] == [1, 2, 3, 4, 5, 6]
    groups: dict[int | None, list[tuple[str, str, int | None]]] = {}
    for file in rollout_files(output):
        for rollout in read_file(file).rollouts:
            groups.setdefault(rollout.group, []).append((str(file.step), rollout.task_id, rollout.policy_version))
    assert len(groups) == sum(line["groups_started"] for line in lines(output))
    assert all(members == [members[0]] * 4 for members in groups.values()), "a group's number is its own in the run"


def test_a_run_that_trains_adapters_resumes_exactly_and_leaves_an_ordinary_model(serve_env, tiny_folder, tmp_path):
    whole, halved = resumed_in_the_middle(serve_env(YesEnv()), tiny_folder, tmp_path, lora_rank=4)
    assert_same_run(halved, whole)
    saved = load_file(checkpoints(whole / "checkpoints")[-1] / "model.safetensors")
    assert saved
    assert all("lora_" in name for name in saved)
    base, trained = load_policy(str(tiny_folder)).model, load_policy(str(whole / "model")).model
    assert trained.state_dict().keys() == base.state_dict().keys()
    moved = trained.model.layers[0].mlp.up_proj.weight - base.model.layers[0].mlp.up_proj.weight
    assert float(moved.detach().abs().max()) > 1e-3
    assert torch.equal(trained.model.norm.weight, base.model.norm.weight)


@pytest.mark.parametrize("more", [{}, {"lora_rank": 4}])
def test_the_pull_is_back_to_the_model_that_the_run_began_with_in_a_resumed_run_too(
    serve_env, tiny_folder, tmp_path, more
):
    whole, halved = resumed_in_the_middle(serve_env(YesEnv()), tiny_folder, tmp_path, kl_weight=0.1, **more)
    assert_same_run(halved, whole)
    kl = [line["kl"] for line in lines(whole)]
    assert kl[0] == pytest.approx(0.0, abs=1e-6)
    assert kl[-1] > 1e-4


class LyingSampler:
    """A sampler that tells logprobs half a nat too low."""

    def __init__(self, sampler: Any) -> None:
        self._sampler = sampler

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sampler, name)

    async def sample(self, request: SampleRequest) -> Sample:
        sample: Sample = await self._sampler.sample(request)
        return replace(sample, logprobs=[logprob - 0.5 for logprob in sample.logprobs])


@pytest.mark.parametrize("max_staleness", [0, 1])
def test_a_sampler_of_another_policy_ends_the_run_before_the_weights_change(
    serve_env, tiny_folder, tmp_path, monkeypatch, max_staleness
):
    models = []

    def lying(config: Any, loaded: LoadedModel, *more: Any) -> Any:
        models.append(loaded.model)
        return LyingSampler(make_sampler(config, loaded, *more))

    monkeypatch.setattr("envport_trainer.training.make_sampler", lying)
    output = tmp_path / "run"
    told = config(serve_env(YesEnv()), model=tiny_folder, output=output, max_staleness=max_staleness)
    with pytest.raises(TrainerError, match=r"logprobs that are 0\.50 apart on average"):
        train(told)
    began = load_policy(str(tiny_folder)).model.state_dict()
    assert all(torch.equal(weight, began[name]) for name, weight in models[0].state_dict().items())
    assert checkpoints(output / "checkpoints") == []


def test_an_update_that_runs_out_of_memory_is_made_in_smaller_parts(
    serve_env, tiny_folder, tmp_path, monkeypatch, caplog
):
    whole, output = tmp_path / "whole", tmp_path / "run"
    told = {"model": tiny_folder, "steps": 2, "micro_batch_tokens": 1024}
    train(config(url := serve_env(YesEnv()), output=whole, **told))
    calls = iter([False, True])

    def fails_once(*args: object, **named: object) -> object:
        if next(calls, False):
            raise RuntimeError(
                "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
            )
        return policy_loss(*args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr("envport_trainer.learning.learner.policy_loss", fails_once)
    train(config(url, output=output, **told))
    assert [line["reward"] for line in lines(output)] == [line["reward"] for line in lines(whole)]
    assert [line["grad_norm"] for line in lines(output)] == pytest.approx([line["grad_norm"] for line in lines(whole)])
    told_what = [record.getMessage() for record in caplog.records if "memory did not suffice" in record.getMessage()]
    assert len(told_what) == 1
    assert told_what[0].endswith("again with micro_batch_tokens = 512")


def test_memory_that_never_suffices_ends_the_run(serve_env, tiny_folder, tmp_path, monkeypatch):
    def fails(*_: object, **__: object) -> object:
        raise MemoryError

    monkeypatch.setattr("envport_trainer.learning.learner.policy_loss", fails)
    told = config(serve_env(YesEnv()), model=tiny_folder, output=tmp_path / "run", micro_batch_tokens=1024)
    with pytest.raises(TrainerError, match=r"step 1: memory does not suffice .* lower max_tokens"):
        train(told)


def test_a_checkpoint_that_cannot_be_written_is_tried_again_after_the_next_step(
    serve_env, tiny_folder, tmp_path, monkeypatch, caplog
):
    def full_at_first(folder: Path, state: object, *, keep: int) -> Path:
        if getattr(state, "step", 0) == 2:
            raise CheckpointError("cannot write the checkpoint: it needs 9 MiB, and 1 MiB are free")
        return save_checkpoint(folder, state, keep=keep)  # type: ignore[arg-type]

    monkeypatch.setattr(saving, "save_checkpoint", full_at_first)
    told = {"checkpoint_every": 2, "steps": 4, "keep_checkpoints": 9}
    train(config(serve_env(YesEnv()), model=tiny_folder, output=tmp_path / "run", **told))
    names = [path.name for path in checkpoints(tmp_path / "run" / "checkpoints")]
    assert names == ["step-000003", "step-000004"]
    assert any("the run goes on and tries again after the next step" in r.getMessage() for r in caplog.records)


def test_an_alarm_that_stops_ends_the_run_with_a_checkpoint_and_its_reason(serve_env, tiny_folder, tmp_path):
    told = {"steps": 30, "eval_every": 1, "eval_tasks": 4, "max_refills": 0}
    alarms = {"plateau": "stop", "plateau_evals": 3}
    output = tmp_path / "run"
    result = train(config(serve_env(FlatEnv()), model=tiny_folder, output=output, alarms=alarms, **told))
    assert result.stopped_by is not None
    assert (result.stopped_by.name, result.interrupted) == ("plateau", False)
    assert 3 <= result.step < 30
    assert checkpoints(output / "checkpoints")[-1].name == f"step-{result.step:06d}"
    last = json.loads((output / "alarms.jsonl").read_text().splitlines()[-1])
    assert (last["name"], last["severity"], last["step"]) == ("plateau", "stop", result.step)


class Killed(BaseException):
    """What a process that is killed sees: nothing is done after it."""


@pytest.mark.parametrize("before", ["evaluate_held_out", "Records.look_for_alarms"])
def test_an_alarm_that_was_due_when_the_process_was_killed_is_told_once_by_the_next(
    serve_env, tiny_folder, tmp_path, monkeypatch, before
):
    told: dict[str, Any] = {"steps": 30, "eval_every": 1, "eval_tasks": 4, "max_refills": 0, "checkpoint_every": 1}
    told |= {"alarms": {"plateau": "stop", "plateau_evals": 3}, "model": tiny_folder}
    whole, output = tmp_path / "whole", tmp_path / "run"
    url = serve_env(FlatEnv())
    due = train(config(url, output=whole, **told)).step

    def killed(*_: object, **__: object) -> object:
        if (output / "checkpoints" / f"step-{due:06d}").exists():
            raise Killed
        return real(*_, **__)

    place = f"envport_trainer.training.{before}"
    real = pkgutil.resolve_name(place)
    with monkeypatch.context() as patched:
        patched.setattr(place, killed)
        with pytest.raises(Killed):
            train(config(url, output=output, **told))
    assert alarms_of(output) == []
    result = train(config(url, output=output, **told), resume=True)
    assert result is not None
    assert result.stopped_by is not None
    assert (result.step, result.stopped_by.name) == (due, "plateau")
    assert alarms_of(output) == alarms_of(whole) == [(due, "plateau")]
    told["steps"] = due + 1
    again = train(config(url, output=output, **told), resume=True)
    assert again is not None
    assert again.step == due + 1, "who goes on after an alarm has read it"
    assert alarms_of(output) == [(due, "plateau")]


def alarms_of(output: Path) -> list[tuple[int, str]]:
    return [
        (line["step"], line["name"]) for line in map(json.loads, (output / "alarms.jsonl").read_text().splitlines())
    ]


def test_an_environment_that_became_another_one_ends_the_run_before_the_update(
    serve_env, tiny_folder, tmp_path, monkeypatch
):
    env = YesEnv()

    async def changes(self: EnvClient) -> Manifest:
        digest = None if env.scored <= 2 * STARTS else "sha256:ab"
        return self.manifest.model_copy(update={"digest": digest})

    monkeypatch.setattr(EnvClient, "current_manifest", changes)
    output = tmp_path / "run"
    with pytest.raises(EnvironmentChangedError, match=r"\(sha256:ab\) now: .* Serve the earlier version"):
        train(config(serve_env(env), model=tiny_folder, output=output))
    assert [line["step"] for line in lines(output)] == [1, 2]
    assert checkpoints(output / "checkpoints")[-1].name == "step-000002"


async def test_the_manifest_is_asked_for_anew(serve_env):
    import envport

    async with envport.connect(serve_env(YesEnv())) as env:
        now = await env.current_manifest()
        assert now == env.manifest
        assert now is not env.manifest
