"""`envport eval`, as a person runs it."""

from __future__ import annotations

import json
import subprocess
import sys
import weakref

import pytest
from envport.cli import app
from envport.cli.boundary import exit_code_of
from envport_protocol import BaseEnv, EnvTask, reward
from envport_protocol.config import ServeConfig, Tokens
from envport_trainer.models.folder import load_policy

from .fake_openai import FakeOpenAi, FakeServer, refuses, says


class ParityEnv(BaseEnv):
    """Is the number of the task even?"""

    def tasks(self, split: str) -> list[EnvTask]:
        return [EnvTask(task_id=f"t{k}", prompt=f"question {k}", ground_truth=k) for k in range(4)]

    @reward()
    def correct(self, completion: str, ground_truth: int) -> float:
        return float(completion == ("yes" if ground_truth % 2 == 0 else "no"))


@pytest.fixture
def run(capsys):
    """`run("--n", "3")` -> exit code, stdout, stderr."""

    def command(*args: object) -> tuple[int, str, str]:
        code = exit_code_of(lambda: app(["eval", *map(str, args)]))
        out, err = capsys.readouterr()
        return code, out, err

    return command


def test_a_served_model_gets_a_table_and_a_file(run, serve_env, fake_openai, tmp_path):
    fake_openai.answer = lambda _: says("yes")
    url, out = serve_env(ParityEnv()), tmp_path / "eval.json"
    code, table, told = run("--env", url, "--model", fake_openai.url, "--out", out)
    lines = [line.split() for line in table.splitlines()]
    assert code == 0
    assert lines[0][:3] == ["fake-model", "at", f"{fake_openai.url}/v1"]
    # Two of four right: mean 0.5, standard error 0.577 / 2; Student's t of 3 degrees is 3.182.
    assert lines[1:] == [
        ["mean", "95", "%", "n"],
        ["reward", "0.500", "±", "0.919", "4"],
        ["correct", "0.500", "±", "0.919", "4"],
    ]
    assert told.splitlines()[0] == "evaluating up to 128 tasks"
    assert told.splitlines()[-1] == f"wrote {out}"
    assert json.loads(out.read_text())["mean"] == 0.5


def test_json_is_the_summary_alone(run, serve_env, fake_openai):
    fake_openai.answer = lambda _: says("yes")
    code, out, _ = run("--env", serve_env(ParityEnv()), "--model", fake_openai.url, "--json", "--n", 3)
    summary = json.loads(out)
    assert code == 0
    assert (summary["n"], summary["mean"], summary["failed"], "rows" in summary) == (3, pytest.approx(2 / 3), 0, False)


def test_the_key_comes_from_the_surroundings(run, serve_env, fake_openai, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-env")
    code, out, err = run("--env", serve_env(ParityEnv()), "--model", fake_openai.url, "--n", 1)
    assert (code, fake_openai.keys) == (0, ["Bearer sk-from-env"])
    assert "sk-from-env" not in out + err


@pytest.mark.parametrize("form", ["table", "json", "both"])
def test_a_password_and_a_query_in_a_models_url_are_shown_and_written_nowhere(
    run, serve_env, fake_openai, tmp_path, form
):
    url, out = fake_openai.url.replace("://", "://me:s3cret@") + "?key=s3cret", tmp_path / "eval.json"
    more = {"table": [], "json": ["--json"], "both": ["--against", url]}[form]
    code, told, err = run("--env", serve_env(ParityEnv()), "--model", url, "--out", out, "--n", 2, *more)
    assert code == 0
    assert f"fake-model at {fake_openai.url}/v1" in told
    assert f"fake-model at {fake_openai.url}/v1" in out.read_text()
    assert "s3cret" not in told + err + out.read_text()
    assert set(fake_openai.queries) == {"key=s3cret"}


@pytest.mark.parametrize("model", ["served", "local"])
def test_the_token_of_the_environment_comes_from_the_surroundings(
    run, serve_env, fake_openai, tiny_folder, monkeypatch, model
):
    fake_openai.answer = lambda _: says("yes")
    token = "trainer-" * 4
    url = serve_env(ParityEnv(), ServeConfig(tokens=Tokens.model_validate({"trainer": token})))
    options = ["--env", url, "--model", fake_openai.url if model == "served" else tiny_folder, "--n", 1, "--json"]
    refused, out, err = run(*options)
    assert (refused, out) == (1, "")
    assert "loading" not in err
    assert "token" in err.splitlines()[-1]
    monkeypatch.setenv("ENVPORT_ENV_TOKEN", token)
    code, out, err = run(*options, "--max-new-tokens", 4, "--max-turns", 1)
    assert (code, json.loads(out)["n"]) == (0, 1)
    assert token not in out + err


def test_attempts_that_could_not_be_scored_are_told(run, serve_env, fake_openai):
    fake_openai.in_turn(refuses(400, "odd"), says("yes"), says("yes"), says("yes"))
    code, _, told = run("--env", serve_env(ParityEnv()), "--model", fake_openai.url)
    assert code == 0
    assert told.splitlines()[-1].startswith("1 attempts could not be scored and are in no mean; the first: ")


def test_a_model_folder_is_evaluated(run, serve_env, tiny_folder):
    options = ("--n", 3, "--max-new-tokens", 4, "--max-turns", 1, "--precision", "fp32", "--json")
    code, out, _ = run("--env", serve_env(ParityEnv()), "--model", tiny_folder, *options)
    summary = json.loads(out)
    assert (code, summary["n"], summary["model"]) == (0, 3, str(tiny_folder))


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        ("{tmp}/none", (), "error: no model at {tmp}/none: expected a folder with config.json"),
        ("{tmp}", (), "error: {tmp} has no config.json and no .gguf file"),
        ("http://", (), "error: 'http://' is no URL of a model server"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(run, serve_env, tmp_path, model, options, said):
    code, out, err = run("--env", serve_env(ParityEnv()), "--model", model.format(tmp=tmp_path), *options)
    *remarks, error = err.splitlines()
    assert (code, out) == (1, "")
    assert remarks in ([], [f"loading {model.format(tmp=tmp_path)}"])
    assert error.startswith(said.format(tmp=tmp_path))


def test_a_wrong_url_is_told_before_a_model_is_loaded(run, tmp_path):
    code, out, err = run("--env", "http://127.0.0.1:1", "--model", tmp_path)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "http://127.0.0.1:1" in err


def test_a_missing_extra_is_named(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    code, _, err = run("--env", "http://e", "--model", "m")
    assert (code, err.endswith("pip install 'envport[train]'\n")) == (1, True)


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = sys.modules["transformers"] = None
from envport.cli import app
from envport.cli.boundary import exit_code_of
sys.exit(exit_code_of(lambda: app(sys.argv[1:])))
"""


def test_a_served_model_needs_no_torch_here(serve_env, fake_openai):
    fake_openai.answer = lambda _: says("yes")
    args = ["eval", "--env", serve_env(ParityEnv()), "--model", fake_openai.url, "--json"]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *args], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["mean"] == 0.5


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("", "--out is a folder, expected a file"),
        ("file/eval.json", "--out is in a folder that is not there; make it, or give another"),
        ("no/such/eval.json", "--out is in a folder that is not there; make it, or give another"),
    ],
)
def test_a_place_that_takes_no_file_is_told_before_the_work(run, tmp_path, place, why):
    (tmp_path / "file").touch()
    code, out, err = run("--env", "http://127.0.0.1:1", "--model", "m", "--out", tmp_path / place)
    assert (code, out, err) == (1, "", f"error: {why}: {tmp_path / place}\n")
    assert not (tmp_path / "no").exists()


def test_the_table_is_there_where_the_file_cannot_be_written_after_all(run, serve_env, fake_openai, tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()

    def answer(_: object) -> dict[str, object]:
        if folder.exists():
            folder.rmdir()
            folder.touch()
        return says("yes")

    fake_openai.answer = answer
    options = ("--n", 1, "--out", folder / "eval.json")
    code, out, err = run("--env", serve_env(ParityEnv()), "--model", fake_openai.url, *options)
    assert (code, out.splitlines()[2].split()[:2]) == (1, ["reward", "1.000"])
    assert err.splitlines()[-1].startswith("error: File exists: ")


def test_a_sampler_that_is_not_for_this_is_told(run):
    code, out, err = run("--env", "http://e", "--model", "m", "--sampler", "vllm-server")
    assert (code, out) == (2, "")
    assert "got 'vllm-server', expected transformers or vllm; a vLLM server is given as --model URL" in " ".join(
        err.replace("│", " ").split()
    )


@pytest.fixture
def second_openai():
    """Another model's server."""
    fake = FakeOpenAi()
    server = FakeServer(fake)
    server.start()
    yield fake
    server.stop()


def test_two_served_models_are_compared_task_by_task(run, serve_env, fake_openai, second_openai, tmp_path):
    fake_openai.answer = lambda body: says("yes" if asked(body) % 2 == 0 else "no")
    second_openai.answer = lambda _: says("yes")
    url, out = serve_env(ParityEnv()), tmp_path / "both.json"
    options = ("--env", url, "--model", fake_openai.url, "--against", second_openai.url)
    code, table, told = run(*options, "--out", out)
    assert code == 0, told
    # The first is right on all four, the second on two: differences 0, 1, 0, 1.
    assert [line.split() for line in table.splitlines()[9:]] == [
        ["mean", "95", "%", "n", "better", "worse", "equal", "p"],
        ["reward", "+0.500", "±", "0.919", "4", "2", "0", "2", "0.5"],
        ["correct", "+0.500", "±", "0.919", "4", "2", "0", "2", "0.5"],
    ]
    assert table.splitlines()[8] == "difference, the first minus the second, task by task"
    assert "the environment has no digest" in told
    saved = json.loads(out.read_text())
    assert [len(saved[side]["rows"]) for side in ("model", "against")] == [4, 4]
    assert {k: saved["comparison"]["reward"][k] for k in ("mean", "n", "better", "worse", "equal", "p")} == {
        **{"mean": 0.5, "n": 4, "better": 2},
        **{"worse": 0, "equal": 2, "p": 0.5},
    }
    seeds = [sorted((asked(body), body["seed"]) for body in fake.asked) for fake in (fake_openai, second_openai)]
    assert seeds[0] == seeds[1]
    code, shown, _ = run(*options, "--json")
    assert json.loads(shown)["comparison"] == saved["comparison"]
    assert "rows" not in json.loads(shown)["model"]


def asked(body) -> int:
    return int(body["messages"][0]["content"].split()[1])


def test_a_key_is_not_sent_to_the_other_models_server(run, serve_env, fake_openai, second_openai, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-first")
    options = ("--env", serve_env(ParityEnv()), "--model", fake_openai.url, "--n", 1)
    assert run(*options, "--against", second_openai.url)[0] == 0
    assert (set(fake_openai.keys), set(second_openai.keys)) == ({"Bearer sk-of-the-first"}, {None})
    second_openai.keys.clear()
    monkeypatch.setenv("AGAINST_API_KEY", "sk-of-the-second")
    assert run(*options, "--against", second_openai.url)[0] == 0
    assert set(second_openai.keys) == {"Bearer sk-of-the-second"}


def test_an_earlier_result_is_compared_without_its_model(run, serve_env, fake_openai, tmp_path):
    fake_openai.answer = lambda _: says("yes")
    url, earlier = serve_env(ParityEnv()), tmp_path / "before.json"
    assert run("--env", url, "--model", fake_openai.url, "--out", earlier)[0] == 0
    fake_openai.answer = lambda _: says("no")
    code, out, _ = run("--env", url, "--model", fake_openai.url, "--against", earlier, "--json")
    reward = json.loads(out)["comparison"]["reward"]
    assert (code, reward["mean"], reward["better"], reward["worse"], len(fake_openai.asked)) == (0, 0.0, 2, 2, 8)


def test_a_row_that_failed_on_one_side_is_told_and_in_no_difference(run, serve_env, fake_openai, tmp_path):
    fake_openai.answer = lambda _: says("yes")
    url, earlier = serve_env(ParityEnv()), tmp_path / "before.json"
    assert run("--env", url, "--model", fake_openai.url, "--out", earlier)[0] == 0
    fake_openai.answer = lambda body: refuses(400, "odd") if asked(body) == 0 else says("yes")
    code, out, err = run("--env", url, "--model", fake_openai.url, "--against", earlier)
    assert (code, out.splitlines()[-2].split()) == (0, ["reward", "+0.000", "±", "0.000", "3", "0", "0", "3", "1"])
    assert "1 tasks were not scored for both and are in no difference" in err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--n", 2), "2 tasks, were 4"),
        (("--seed", 3), "seed is 3, was 0"),
        (("--temperature", 0.7), "temperature is 0.7, was 0.0"),
        (("--max-turns", 2, "--max-new-tokens", 9), "max_new_tokens is 9, was 256; max_turns is 2, was 8"),
    ],
)
def test_a_result_of_other_work_is_refused_before_the_model_is_asked(
    run, serve_env, fake_openai, tmp_path, options, told
):
    fake_openai.answer = lambda _: says("yes")
    url, earlier = serve_env(ParityEnv()), tmp_path / "before.json"
    assert run("--env", url, "--model", fake_openai.url, "--out", earlier)[0] == 0
    fake_openai.asked.clear()
    code, out, err = run("--env", url, "--model", fake_openai.url, "--against", earlier, *options)
    assert (code, out, fake_openai.asked) == (1, "", [])
    assert err.startswith(f"error: the two results are not of the same work: {told}.")


def test_two_model_folders_are_never_in_memory_at_once(run, serve_env, tiny_folder, monkeypatch):
    held: list[weakref.ref[object]] = []
    alive: list[int] = []

    def load(*args, **options):
        alive.append(sum(model() is not None for model in held))
        loaded = load_policy(*args, **options)
        held.append(weakref.ref(loaded.model))
        return loaded

    monkeypatch.setattr("envport_trainer.models.folder.load_policy", load)
    options = ("--n", 3, "--max-new-tokens", 4, "--max-turns", 1, "--precision", "fp32", "--json")
    code, out, _ = run("--env", serve_env(ParityEnv()), "--model", tiny_folder, "--against", tiny_folder, *options)
    reward = json.loads(out)["comparison"]["reward"]
    assert (code, reward["mean"], reward["ci95"], reward["p"]) == (0, 0.0, 0.0, 1.0)
    assert alive == [0, 0]


def test_the_help_has_an_example(run):
    code, out, _ = run("--help")
    assert code == 0
    assert "envport eval --env http://127.0.0.1:8000 --model" in " ".join(out.split())
