"""Whole runs of a tiny model against real servers: they learn, resume exactly, and survive what kills them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import pytest
import torch
from envport_protocol import EnvTask, UnknownTaskError, reward
from envport_trainer.config import TrainConfig
from envport_trainer.errors import CheckpointError, ConfigError, TrainerError
from envport_trainer.models.folder import load_policy
from envport_trainer.runs.checkpoint import checkpoints
from envport_trainer.training import train
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

from ..conftest import ServerThread
from .conftest import tiny_model, tiny_tokenizer
from .yes_env import YesEnv

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

STARTS = 8
"""Rollouts of a step, as `settings` has it."""


def settings(*urls: str, model: Path, output: Path, **more: Any) -> dict[str, Any]:
    return {
        "envs": [{"url": url} for url in urls],
        "model": str(model),
        "output": str(output),
        "steps": 6,
        "prompts_per_step": 2,
        "group_size": 4,
        "max_refills": 0,
        "max_new_tokens": 4,
        "max_tokens": 64,
        "micro_batch_tokens": 64,
        "max_turns": 1,
        "lr": 1e-2,
        "precision": "fp32",
        "seed": 3,
        "checkpoint_every": 2,
        "device": "cpu",
    } | more


def config(*urls: str, model: Path, output: Path, **more: Any) -> TrainConfig:
    return TrainConfig.model_validate(settings(*urls, model=model, output=output, **more))


def lines(output: Path) -> list[dict[str, float]]:
    """The metrics of a run without what differs from one machine and moment to the next."""
    read = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if not name.endswith("_s")} for line in read]


def state(output: Path) -> tuple[dict[str, torch.Tensor], bytes]:
    """Weights and optimizer of the last checkpoint."""
    last = checkpoints(output / "checkpoints")[-1]
    return load_file(last / "model.safetensors"), (last / "optimizer.pt").read_bytes()


def assert_same_run(output: Path, expected: Path) -> None:
    assert lines(output) == lines(expected)
    got_weights, got_optimizer = state(output)
    weights, optimizer = state(expected)
    assert got_weights.keys() == weights.keys()
    assert all(torch.equal(got_weights[name], tensor) for name, tensor in weights.items())
    assert got_optimizer == optimizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The model that all runs begin with."""
    made = tmp_path_factory.mktemp("models") / "tiny"
    tiny_model().save_pretrained(made)
    tiny_tokenizer().save_pretrained(made)
    return made


@pytest.fixture(scope="module")
def undisturbed(folder, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("runs") / "whole"
    server = ServerThread(YesEnv(), None)
    server.start()
    train(config(server.url, model=folder, output=output))
    server.stop()
    return output


@pytest.fixture
def whole(undisturbed, tmp_path) -> Path:
    """The folder of a run of six steps that nothing disturbed; a copy."""
    return Path(shutil.copytree(undisturbed, tmp_path / "whole"))


def test_the_reward_rises(serve_env, folder, tmp_path):
    output = tmp_path / "run"
    result = train(config(serve_env(YesEnv()), model=folder, output=output, steps=25, max_refills=2))
    assert (result.step, result.interrupted, result.output) == (25, False, output)
    rewards = [line["reward"] for line in lines(output)]
    assert len(rewards) == 25
    assert fmean(rewards[:3]) < 0.65
    assert fmean(rewards[-3:]) > 0.9
    trained = load_policy(str(output / "model"))
    assert not torch.equal(trained.model.lm_head.weight, tiny_model().lm_head.weight.bfloat16().float())
    assert (output / "curve.png").stat().st_size > 0


def test_a_step_measures_its_rollouts(whole):
    first = lines(whole)[0]
    assert (first["step"], first["groups_started"], first["rollouts_dropped"]) == (1, 2.0, 0.0)
    assert first["sampled_tokens"] / first["completion_tokens"] == STARTS
    assert first["rewards/yes"] == first["reward"]
    assert first["tool_calls"] == first["tool_errors"] == 0.0
    assert first["mismatch_max"] < 1e-4, "the sampler has the weights of the policy"
    assert first["lr"] == 1e-2


def test_the_sampler_has_the_weights_of_the_policy_at_every_step(whole):
    assert max(line["mismatch_max"] for line in lines(whole)) < 1e-4


def test_a_resumed_run_is_the_run_that_was_never_stopped(whole, serve_env, folder, tmp_path):
    output = tmp_path / "halves"
    assert train(config(serve_env(YesEnv()), model=folder, output=output, steps=3)).step == 3
    assert len(lines(output)) == 3
    assert train(config(serve_env(YesEnv()), model=folder, output=output), resume=True).step == 6
    assert_same_run(output, whole)


def test_another_seed_is_another_run(whole, serve_env, folder, tmp_path):
    output = tmp_path / "other"
    train(config(serve_env(YesEnv()), model=folder, output=output, seed=4, steps=2))
    assert lines(output) != lines(whole)[:2]


class Gate:
    """Holds the rewards of an environment from the `number`-th on until `release` is set."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.reached, self.release = threading.Event(), threading.Event()

    def __call__(self, number: int) -> None:
        if number >= self.number and not self.release.is_set():
            self.reached.set()
            self.release.wait(60)


@pytest.mark.parametrize(
    ("by", "code", "kept"),
    [(signal.SIGKILL, -signal.SIGKILL, ["step-000002"]), (signal.SIGINT, 130, ["step-000002", "step-000003"])],
    ids=["SIGKILL", "SIGINT"],
)
def test_a_run_that_was_stopped_in_the_middle_of_a_step_goes_on_exactly(
    whole, serve_env, folder, tmp_path, by, code, kept
):
    gate = Gate(3 * STARTS + 5)
    url, output = serve_env(YesEnv(gate)), tmp_path / "stopped"
    told = settings(url, model=folder, output=output)
    toml = tmp_path / "run.toml"
    rest = [f"{key} = {json.dumps(value)}" for key, value in told.items() if key != "envs"]
    toml.write_text("\n".join([*rest, "[[env]]", f'url = "{url}"']))
    command = [sys.executable, "-m", "envport", "train", str(toml)]
    # As many threads as this process: another number of them rounds otherwise.
    surroundings = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=surroundings
    ) as process:
        try:
            assert gate.reached.wait(120), "the run did not get to its fourth step"
            process.send_signal(by)
            gate.release.set()
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == code
    assert "Traceback" not in err
    assert [line["step"] for line in lines(output)] == [1, 2, 3]
    assert [path.name for path in checkpoints(output / "checkpoints")] == kept
    if by == signal.SIGINT:
        assert "ended at step 3; the same command with --resume goes on" in err
        assert (output / "model" / "config.json").is_file()

    assert train(TrainConfig.from_toml(toml), resume=True).step == 6
    assert_same_run(output, whole)


def test_ctrl_c_in_the_first_step_leaves_the_model_and_nothing_in_the_way(whole, serve_env, folder, tmp_path, capsys):
    gate = Gate(3)
    url, output = serve_env(YesEnv(gate)), tmp_path / "run"

    def interrupt() -> None:
        gate.reached.wait(60)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    result = train(config(url, model=folder, output=output))
    gate.release.set()
    assert (result.step, result.interrupted) == (0, True)
    assert capsys.readouterr().err.count("finishing: ") == 1
    assert checkpoints(output / "checkpoints") == []
    assert lines(output) == []
    assert not (output / "curve.png").exists()
    assert (output / "model" / "config.json").is_file()

    train(config(url, model=folder, output=output))
    assert_same_run(output, whole)


class Supervised:
    """A server in a process of its own that is started again, once, on the same port when it dies."""

    def __init__(self, die_at: int) -> None:
        self._process = self._start(0, die_at)
        line = self._process.stdout.readline()
        self.url = re.search(r"http://\S+", line)[0]
        self.died_by: int | None = None
        self._nurse = threading.Thread(target=self._start_again, daemon=True)
        self._nurse.start()

    @staticmethod
    def _start(port: int, die_at: int) -> subprocess.Popen[str]:
        command = [sys.executable, str(Path(__file__).with_name("yes_env.py")), str(port), str(die_at)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def _start_again(self) -> None:
        with self._process as first:
            self.died_by = -first.wait(120)
        self._process = self._start(int(self.url.rpartition(":")[2]), 0)

    def stop(self) -> None:
        if self.died_by is None:
            self._process.kill()
        self._nurse.join(30)
        with self._process as process:
            process.kill()


@pytest.fixture
def mortal() -> Iterator[Supervised]:
    """Dies in the middle of the second step."""
    server = Supervised(die_at=STARTS + 4)
    yield server
    server.stop()


def test_a_run_outlives_the_death_of_its_environment(mortal, whole, folder, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("envport_trainer.rollouts.attempts._RETRY_EVERY_S", 0.1)
    output = tmp_path / "run"
    result = train(config(mortal.url, model=folder, output=output, steps=3, env_retries=0))
    assert mortal.died_by == signal.SIGKILL
    assert result.step == 3
    got = lines(output)
    assert [line["rollouts_dropped"] for line in got] == [0.0, 0.0, 0.0]
    assert [line["sampled_tokens"] / line["completion_tokens"] for line in got] == [STARTS] * 3
    # The same tasks, seeds and text as if nothing had happened: no rollout was scored by its environment's death.
    assert [line["reward"] for line in got] == pytest.approx([line["reward"] for line in lines(whole)[:3]])
    assert any("lost a rollout, trying again" in record.getMessage() for record in caplog.records)


def test_environments_share_a_run_by_their_weights(serve_env, folder, tmp_path):
    often, seldom = YesEnv(), YesEnv()
    output = tmp_path / "run"
    told = settings(model=folder, output=output, steps=10, prompts_per_step=4, group_size=2)
    told["envs"] = [{"url": serve_env(often), "weight": 3.0}, {"url": serve_env(seldom), "weight": 1.0}]
    train(TrainConfig.model_validate(told))
    assert often.scored + seldom.scored == 10 * 4 * 2
    # Within three standard deviations of a binomial share of 40 groups with p = 3/4.
    assert often.scored / 80 == pytest.approx(0.75, abs=3 * (0.75 * 0.25 / 40) ** 0.5)
    saved = json.loads((checkpoints(output / "checkpoints")[-1] / "state.json").read_text())
    assert saved["tasks"]["stream"]["taken"] == [often.scored // 2, seldom.scored // 2]
    assert saved["tasks"]["pipeline"] == {"pending": [], "number": 0}


def test_a_folder_in_use_is_not_written_over(whole, serve_env, folder):
    before = lines(whole)
    with pytest.raises(CheckpointError, match=r"already holds a run \(at step 6\); go on with it by --resume"):
        train(config(serve_env(YesEnv()), model=folder, output=whole))
    assert lines(whole) == before


def test_a_run_is_not_resumed_under_other_settings(whole, serve_env, folder):
    other = config(serve_env(YesEnv()), model=folder, output=whole, lr=2e-2, seed=9, steps=7)
    with pytest.raises(CheckpointError, match=r"other settings: lr was 0.01, is now 0.02; seed was 3, is now 9"):
        train(other, resume=True)


def test_resuming_where_no_run_is_changes_nothing(serve_env, folder, tmp_path):
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text('{"step": 1, "reward": 0.5}\n')
    with pytest.raises(CheckpointError, match=r"checkpoints holds no checkpoint to go on from; check --output"):
        train(config(serve_env(YesEnv()), model=folder, output=tmp_path), resume=True)
    assert metrics.read_text() == '{"step": 1, "reward": 0.5}\n'


def test_a_run_is_not_resumed_with_another_model_or_chat_template(whole, serve_env, folder, tmp_path):
    other = tmp_path / "other"
    LlamaForCausalLM(LlamaConfig(**tiny_model().config.to_dict() | {"hidden_size": 8})).save_pretrained(other)
    tiny_tokenizer().save_pretrained(other)
    url = serve_env(YesEnv())
    state_json = checkpoints(whole / "checkpoints")[-1] / "state.json"
    saved = json.loads(state_json.read_text())
    state_json.write_text(json.dumps(saved | {"config": saved["config"] | {"model": str(other)}}))
    with pytest.raises(CheckpointError, match=r"the model does not fit the checkpoint of step 6 in .*size mismatch"):
        train(config(url, model=other, output=whole, steps=7), resume=True)

    state_json.write_text(json.dumps(saved))
    template = tmp_path / "other.jinja"
    template.write_text("{{ messages[0].content }}")
    with pytest.raises(CheckpointError, match="belongs to a run with another chat template"):
        train(config(url, model=folder, output=whole, steps=7, chat_template=template), resume=True)


def test_a_run_is_not_resumed_on_another_environment_or_another_version_of_it(whole, serve_env, folder):
    class OtherEnv(YesEnv):
        """The same tasks under another name."""

    with pytest.raises(CheckpointError, match=r"another environment 1: it was \S+, is \S+\. Resume with the same"):
        train(config(serve_env(OtherEnv()), model=folder, output=whole, steps=7), resume=True)

    state_json = checkpoints(whole / "checkpoints")[-1] / "state.json"
    saved = json.loads(state_json.read_text())
    saved["extra"]["envs"][0]["digest"] = "sha256:ab"
    state_json.write_text(json.dumps(saved))
    with pytest.raises(
        CheckpointError, match=r"another version of \S+: step 6 was reached with sha256:ab, and None is"
    ):
        train(config(serve_env(YesEnv()), model=folder, output=whole, steps=7), resume=True)


def test_a_finished_run_has_nothing_to_resume(whole, serve_env, folder):
    before = lines(whole), state(whole)[1]
    env = YesEnv()
    assert train(config(serve_env(env), model=folder, output=whole), resume=True).step == 6
    assert (lines(whole), state(whole)[1]) == before
    assert env.scored == 0


def test_evaluations_are_logged_and_do_not_change_the_run(whole, serve_env, folder, tmp_path):
    output = tmp_path / "run"
    train(config(serve_env(YesEnv()), model=folder, output=output, eval_every=3, eval_tasks=4))
    got = lines(output)
    assert [line["step"] for line in got if "eval/reward" in line] == [0, 3, 6]
    assert all(0.0 <= line["eval/reward"] <= 1.0 and "eval/rewards/yes" in line for line in (got[0], got[3], got[6]))
    plain = [{name: value for name, value in line.items() if not name.startswith("eval/")} for line in got[1:]]
    assert plain == lines(whole)


def test_a_failed_evaluation_does_not_end_the_run(whole, serve_env, folder, tmp_path, caplog):
    class FailsToEvaluate(YesEnv):
        @reward()
        def yes(self, completion: str, task: EnvTask) -> float:
            if task.task_id.startswith("eval"):
                raise RuntimeError("no gold here")
            return super().yes(completion)

    output = tmp_path / "run"
    told = {"eval_every": 3, "eval_tasks": 4, "env_retries": 0}
    train(config(serve_env(FailsToEvaluate()), model=folder, output=output, **told))
    assert lines(output) == lines(whole)
    warnings = [record.getMessage() for record in caplog.records if "evaluation after" in record.getMessage()]
    told_steps = [message.split(",")[0] for message in warnings]
    assert told_steps == [f"the evaluation after step {n} failed" for n in (0, 3, 6)]


def test_a_step_is_logged_and_saved_before_it_is_evaluated(serve_env, folder, tmp_path):
    seen: list[tuple[list[dict[str, float]], list[str]]] = []
    output = tmp_path / "run"

    def look(number: int) -> None:
        if number == 4 + 2 * STARTS + 1:
            seen.append((lines(output), [path.name for path in checkpoints(output / "checkpoints")]))

    train(config(serve_env(YesEnv(look)), model=folder, output=output, steps=2, eval_every=2, eval_tasks=4))
    assert [line["step"] for line in seen[0][0]] == [0, 1, 2]
    assert seen[0][1] == ["step-000002"]
    assert "eval/reward" in lines(output)[2]


def test_ctrl_c_does_not_wait_for_an_evaluation(whole, serve_env, folder, tmp_path):
    hold = threading.Event()

    def interrupt(number: int) -> None:
        if number == 4 + 2 * STARTS + 1:
            os.kill(os.getpid(), signal.SIGINT)
        if number > 4 + 2 * STARTS:
            hold.wait(60)

    output = tmp_path / "run"
    env = YesEnv(interrupt)
    result = train(config(serve_env(env), model=folder, output=output, eval_every=2, eval_tasks=4))
    assert (result.step, result.interrupted) == (2, True)
    assert env.scored == 4 + 2 * STARTS
    hold.set()
    assert lines(output)[1:] == lines(whole)[:2]


def test_an_unknown_split_to_evaluate_on_is_told_before_the_first_step(serve_env, folder, tmp_path):
    env = YesEnv()
    told = config(serve_env(env), model=folder, output=tmp_path / "run", eval_every=5, eval_split="dev")
    with pytest.raises(UnknownTaskError, match="has no split 'dev'; it has: train, eval"):
        train(told)
    assert env.scored == 0


def test_a_run_whose_environment_breaks_goes_on_from_the_step_before(whole, serve_env, folder, tmp_path):
    def fail(number: int) -> None:
        if number > 3 * STARTS:
            raise RuntimeError("the database is down")

    output = tmp_path / "run"
    with pytest.raises(TrainerError, match=r"step 4: all 8 rollouts were dropped .* then go on with --resume"):
        train(config(serve_env(YesEnv(fail)), model=folder, output=output, env_retries=0))
    assert checkpoints(output / "checkpoints")[-1].name == "step-000003"
    train(config(serve_env(YesEnv()), model=folder, output=output), resume=True)
    assert_same_run(output, whole)


class FlatEnv(YesEnv):
    """Gives every rollout the same."""

    def compute_reward(self) -> float:
        return 0.25


def test_steps_of_equal_rewards_are_counted_and_move_no_weight(serve_env, folder, tmp_path):
    train(config(serve_env(FlatEnv()), model=folder, output=tmp_path / "run", steps=2, max_refills=1))
    got = lines(tmp_path / "run")
    assert [(line["reward"], line["groups"], line["groups_started"]) for line in got] == [(0.25, 0.0, 3.0)] * 2
    weights, _ = state(tmp_path / "run")
    assert torch.equal(weights["model.embed_tokens.weight"], tiny_model().model.embed_tokens.weight)


class BrokenEnv(YesEnv):
    """Fails always."""

    def compute_reward(self) -> float:
        raise RuntimeError("the database is down")


def test_a_step_without_any_scored_rollout_ends_the_run_with_what_to_do(serve_env, folder, tmp_path):
    told = config(serve_env(BrokenEnv()), model=folder, output=tmp_path / "run", env_retries=0)
    with pytest.raises(
        TrainerError, match=r"step 1: all 8 rollouts were dropped .* failed 1 times.* then run it again"
    ):
        train(told)


def test_a_run_whose_every_prompt_is_over_max_tokens_ends_with_what_to_do(serve_env, folder, tmp_path):
    told = config(serve_env(YesEnv()), model=folder, output=tmp_path / "run", max_tokens=5)
    with pytest.raises(ConfigError, match=r"step 1: no prompt leaves room to answer, .* raise max_tokens; then run it"):
        train(told)


def test_after_a_run_ctrl_c_is_the_programs_own_again(whole):
    assert whole.is_dir()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
