"""`envport train`, as a person runs it."""

from __future__ import annotations

import json
import logging
import shlex
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import typer
from envport.cli import app
from envport.cli.boundary import exit_code_of
from envport.cli.train import parse_settings, quiet_transformers
from envport_protocol import BaseEnv, EnvTask, reward
from envport_protocol.config import ServeConfig, Tokens
from envport_trainer.training import TrainResult

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


class YesEnv(BaseEnv):
    """The more words are yes, the better."""

    def tasks(self, split: str) -> list[EnvTask]:
        return [EnvTask(task_id=f"t{k}", prompt="question", ground_truth="yes") for k in range(4)]

    @reward()
    def yes(self, completion: str) -> float:
        words = completion.split()
        return words.count("yes") / max(len(words), 1)


@pytest.fixture
def run(capsys):
    """`run("--steps", "3")` -> exit code, stdout, stderr."""

    def command(*args: object) -> tuple[int, str, str]:
        code = exit_code_of(lambda: app(["train", *map(str, args)]))
        out, err = capsys.readouterr()
        return code, out, err

    return command


SMALL = ["--set", "prompts_per_step=2", "--set", "group_size=4", "--set", "max_new_tokens=4", "--set", "max_turns=1"]


def test_a_run_trains_and_goes_on_where_it_ended(run, serve_env, tiny_folder, tmp_path):
    output = tmp_path / "run"
    options = ["--env", serve_env(YesEnv()), "--model", tiny_folder, "--output", output, *SMALL]
    options += ["--set", "precision=fp32", "--lr", "1e-2"]
    code, out, err = run(*options, "--steps", 2)
    assert code == 0, err
    told = err
    assert f"loading {tiny_folder}\nconnecting to {options[1]}\nrollouts 0/8\nupdate\nstep 1/2" in err
    assert out.splitlines()[0].split() == ["steps", "first", "reward", "last", "reward", "output"]
    assert out.splitlines()[1].split()[0] == "2"
    assert [line.split()[1] for line in err.splitlines() if line.startswith("step ")] == ["1/2", "2/2"]
    code, out, err = run(*options, "--steps", 3)
    assert (code, out) == (1, "")
    assert "already holds a run (at step 2); go on with it by --resume" in err
    code, out, _ = run(*options, "--steps", 3, "--resume", "--json")
    summary = json.loads(out)
    assert (code, summary["step"], summary["interrupted"], summary["output"]) == (0, 3, False, str(output))
    assert "the run is complete: 2 of 2 steps" in told
    steps = [json.loads(line)["step"] for line in (output / "metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3]
    assert (output / "curve.png").is_file()
    assert (output / "model/config.json").is_file()
    code, out, err = run(*options, "--steps", 4, "--resume", "--seed", 5)
    assert (code, out) == (1, "")
    assert "seed was 0, is now 5" in err


def test_the_token_of_the_environment_is_sent_and_written_nowhere(run, serve_env, tiny_folder, tmp_path, monkeypatch):
    output, token = tmp_path / "run", "trainer-" * 4
    url = serve_env(YesEnv(), ServeConfig(tokens=Tokens.model_validate({"trainer": token})))
    options = ["--env", url, "--model", tiny_folder, "--output", output, *SMALL, "--set", "precision=fp32"]
    refused, out, err = run(*options, "--steps", 1)
    assert (refused, out) == (1, "")
    assert "token" in err.splitlines()[-1]
    monkeypatch.setenv("ENVPORT_ENV_TOKEN", token)
    code, out, err = run(*options, "--steps", 1)
    assert code == 0, err
    written = [path for path in output.rglob("*") if path.is_file()]
    assert len(written) > 5
    assert [path.name for path in written if token.encode() in path.read_bytes()] == []
    assert token not in out + err


@pytest.fixture
def sent(monkeypatch, tmp_path) -> list[dict[str, str]]:
    """The tokens that runs would send, by URL; no run is made."""
    seen: list[dict[str, str]] = []

    def train(config, *, resume, env_tokens, sampler_token):
        seen.append(dict(env_tokens))
        return TrainResult(config.steps, interrupted=False, output=tmp_path)

    monkeypatch.setattr("envport_trainer.training.train", train)
    return seen


def file_of(folder: Path, *envs: str) -> Path:
    path = folder / "run.toml"
    path.write_text('model = "m"\n' + "".join(f"[[env]]\n{env}\n" for env in envs))
    return path


def test_each_token_goes_to_its_own_environment_alone(run, sent, monkeypatch, tmp_path):
    monkeypatch.setenv("OURS", "token-of-a")
    monkeypatch.setenv("THEIRS", "token-of-b")
    path = file_of(
        tmp_path,
        'url = "http://a"\ntoken_env = "OURS"',
        'url = "http://b"\ntoken_env = "THEIRS"',
        'url = "http://b"\nsplit = "hard"\ntoken_env = "THEIRS"',
        'url = "http://c"',
    )
    code, _, err = run(path)
    assert (code, sent) == (0, [{"http://a": "token-of-a", "http://b": "token-of-b"}]), err


def test_servers_with_a_token_each_are_trained_on_together(run, serve_env, tiny_folder, monkeypatch, tmp_path):
    tokens = {"OURS": "a-trainers-token" * 2, "THEIRS": "b-trainers-token" * 2}
    urls = [
        serve_env(YesEnv(), ServeConfig(tokens=Tokens.model_validate({"trainer": token}))) for token in tokens.values()
    ]
    for name, token in tokens.items():
        monkeypatch.setenv(name, token)
    path = file_of(tmp_path, *(f'url = "{url}"\ntoken_env = "{name}"' for url, name in zip(urls, tokens, strict=True)))
    options = [path, "--model", tiny_folder, "--output", tmp_path / "run", *SMALL, "--set", "precision=fp32"]
    code, out, err = run(*options, "--steps", 1)
    assert code == 0, err
    written = [file for file in (tmp_path / "run").rglob("*") if file.is_file()]
    assert all(token.encode() not in file.read_bytes() for file in written for token in tokens.values())
    assert all(token not in out + err for token in tokens.values())


@pytest.mark.parametrize("how", ["variable", "option"])
def test_one_token_is_for_one_environment(run, sent, monkeypatch, tmp_path, how):
    monkeypatch.setenv("OURS", "token-of-a")
    given = ["--env-token", "token-of-one"] if how == "option" else []
    if how == "variable":
        monkeypatch.setenv("ENVPORT_ENV_TOKEN", "token-of-one")
    one = file_of(tmp_path, 'url = "http://a"', 'url = "http://a/"\nsplit = "hard"')
    assert run(one, *given)[0] == 0
    assert sent == [{"http://a": "token-of-one", "http://a/": "token-of-one"}]
    for envs, said in (
        (['url = "http://a"', 'url = "http://b"'], "one token is not sent to several servers"),
        (['url = "http://a"\ntoken_env = "OURS"'], "the file names the variables of its tokens (token_env)"),
    ):
        code, out, err = run(file_of(tmp_path, *envs), *given)
        assert (code, out) == (2, "")
        assert said in " ".join(err.replace("│", "").split())
        assert "token-of" not in err
    assert len(sent) == 1


def test_a_token_whose_variable_is_not_set_is_told_before_the_run(run, sent, monkeypatch, tmp_path):
    monkeypatch.delenv("OURS", raising=False)
    code, _, err = run(file_of(tmp_path, 'url = "http://a"\ntoken_env = "OURS"'))
    assert (code, sent) == (2, [])
    assert "OURS is not set, and an [[env]] of the file says token_env = 'OURS'" in " ".join(
        err.replace("│", "").split()
    )


def test_flags_override_the_file(run, monkeypatch, tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('model = "m"\nsteps = 5\nlr = 1e-5\n[[env]]\nurl = "http://e"\n')
    seen = []

    def train(config, *, resume, env_tokens, sampler_token):
        seen.append((config.model, config.steps, config.lr, config.group_size, config.sampler, resume))
        return TrainResult(config.steps, interrupted=False, output=config.output)

    monkeypatch.setattr("envport_trainer.training.train", train)
    code, _, _ = run(
        path, "--steps", 9, "--set", "group_size=16", "--sampler", "vllm", "--output", tmp_path, "--resume"
    )
    assert (code, seen) == (0, [("m", 9, 1e-5, 16, "vllm", True)])


def test_an_interrupted_run_says_how_to_go_on(run, monkeypatch, tmp_path):
    def train(config, *, resume, env_tokens, sampler_token):
        return TrainResult(7, interrupted=True, output=config.output)

    monkeypatch.setattr("envport_trainer.training.train", train)
    code, out, err = run("--env", "http://e", "--model", "m", "--output", tmp_path)
    assert code == 130
    assert out.splitlines()[1].split()[:3] == ["7", "-", "-"]
    assert err.splitlines()[1] == "ended at step 7; the same command with --resume goes on"


def test_a_run_interrupted_in_its_last_step_is_complete(run, monkeypatch, tmp_path):
    def train(config, *, resume, env_tokens, sampler_token):
        return TrainResult(7, interrupted=True, output=config.output)

    monkeypatch.setattr("envport_trainer.training.train", train)
    code, _, err = run("--env", "http://e", "--model", "m", "--output", tmp_path, "--steps", 7)
    assert (code, err.splitlines()[1:]) == (
        0,
        [
            f"the run is complete: 7 of 7 steps; its model is in {tmp_path / 'model'}",
            f"next: envport report {tmp_path}; envport eval --env http://e --split eval --max-turns 8 "
            f"--max-new-tokens 256 --max-tokens 2048 --model {tmp_path / 'model'} --against m",
        ],
    )


def test_what_to_look_at_next_can_be_copied_and_tells_no_password(run, monkeypatch, tmp_path):
    def train(config, *, resume, env_tokens, sampler_token):
        return TrainResult(1, interrupted=False, output=config.output)

    monkeypatch.setattr("envport_trainer.training.train", train)
    options = ("--env", "http://me:secret@h:8000/a", "--model", "my model", "--output", tmp_path / "a b", "--steps", 1)
    code, out, err = run(*options)
    assert (code, "secret" in out + err) == (0, False)
    words = shlex.split(err.splitlines()[-1].replace(";", ""))
    assert words[1:] == [
        *("envport", "report", str(tmp_path / "a b"), "envport", "eval", "--env", "http://h:8000/a"),
        *("--split", "eval", "--max-turns", "8", "--max-new-tokens", "256", "--max-tokens", "2048"),
        *("--model", str(tmp_path / "a b/model"), "--against", "my model"),
    ]


def test_a_run_that_an_alarm_stopped_is_a_failure_with_its_name(run, monkeypatch, tmp_path):
    def train(config, *, resume, env_tokens, sampler_token):
        alarm = SimpleNamespace(name="not_finite", text="the loss is NaN")
        return TrainResult(3, interrupted=False, output=config.output, stopped_by=alarm)

    monkeypatch.setattr("envport_trainer.training.train", train)
    code, out, err = run("--env", "http://e", "--model", "m", "--output", tmp_path, "--json")
    assert (code, json.loads(out)["stopped_by"]) == (1, "not_finite")
    assert err.splitlines()[1].startswith(
        "stopped at step 3 by the alarm not_finite: the loss is NaN; --resume goes on"
    )


def test_a_run_interrupted_in_its_first_step_says_to_begin_anew(run, monkeypatch, tmp_path):
    def train(config, *, resume, env_tokens, sampler_token):
        return TrainResult(0, interrupted=True, output=config.output)

    monkeypatch.setattr("envport_trainer.training.train", train)
    code, _, err = run("--env", "http://e", "--model", "m", "--output", tmp_path)
    assert code == 130
    assert err.splitlines()[:2] == ["loading m", "ended before the first step was done; the same command begins anew"]


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("grup_size = 4", (), "unknown key 'grup_size'; did you mean 'group_size'?"),
        ("", (), "needs an environment: an [[env]] table with its url, or --env URL"),
        ("", ("--env", "http://e", "--steps", "0"), "steps is 0: input should be greater than or equal to 1"),
        ("", ("--env", "http://e", "--set", "stpes=4"), "unknown key 'stpes'; did you mean 'steps'?"),
    ],
)
def test_what_does_not_fit_is_one_line(run, tmp_path, text, options, said):
    path: Path = tmp_path / "run.toml"
    path.write_text(f'model = "m"\n{text}\n')
    code, out, err = run(path, *options)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert said in err


def test_settings_are_toml_values_or_text():
    pairs = ["group_size=16", "lr=2e-5", "loss=cispo", "betas=[0.9, 0.95]", 'split="a b"', "eval_every=none"]
    assert parse_settings(pairs) == {
        "group_size": 16,
        "lr": 2e-5,
        "loss": "cispo",
        "betas": [0.9, 0.95],
        "split": "a b",
        "eval_every": "none",
    }
    for wrong in ("group_size", "=3", "a b=3"):
        with pytest.raises(typer.BadParameter, match="expected KEY=VALUE"):
            parse_settings([wrong])


def test_a_missing_extra_is_named(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    code, _, err = run("--env", "http://e", "--model", "m")
    assert (code, err.endswith("pip install 'envport[train]'\n")) == (1, True)


def test_the_help_has_an_example(run):
    code, out, _ = run("--help")
    assert code == 0
    assert "envport train run.toml --steps 200 --set group_size=16" in " ".join(out.split())


def test_what_packages_remark_while_they_are_loaded_stays_off_the_terminal():
    quiet_transformers()
    for name in ("bitsandbytes.backends.cpu.ops", "huggingface_hub", "transformers"):
        assert not logging.getLogger(name).isEnabledFor(logging.WARNING), name
