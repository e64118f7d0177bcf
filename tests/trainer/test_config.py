"""A configuration comes from a TOML file and flags; what does not fit is told with the key and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from envport_trainer.config import EnvSource, TrainConfig
from envport_trainer.errors import ConfigError

ENV = '[[env]]\nurl = "http://127.0.0.1:8000"\n'


@pytest.fixture
def toml(tmp_path: Path):
    """Writes a TOML file and gives its path."""

    def write(text: str) -> Path:
        path = tmp_path / "run.toml"
        path.write_text(text)
        return path

    return write


def refused(path: Path | None, overrides: dict[str, object] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        TrainConfig.from_toml(path, overrides)
    return str(caught.value)


def test_a_file_and_flags_make_one_configuration(toml):
    path = toml(f'model = "m"\nsteps = 7\nlr = 2e-5\n{ENV}[[env]]\nurl = "https://b"\nweight = 3\nsplit = "hard"\n')
    config = TrainConfig.from_toml(path, {"steps": 9, "seed": None})
    assert config == TrainConfig(
        envs=(EnvSource(url="http://127.0.0.1:8000"), EnvSource(url="https://b", weight=3.0, split="hard")),
        model="m",
        steps=9,
        lr=2e-5,
    )


def test_flags_alone_are_enough():
    config = TrainConfig.from_toml(None, {"envs": [{"url": "http://e"}], "model": "m"})
    assert (config.envs, config.model, config.steps) == ((EnvSource(url="http://e"),), "m", 100)


def test_an_unknown_key_is_told_with_the_nearest_one_and_the_file(toml):
    path = toml(f'model = "m"\ngrup_size = 4\n{ENV}')
    assert refused(path) == f"{path}: unknown key 'grup_size'; did you mean 'group_size'?"


def test_an_unknown_key_of_an_environment_is_told(toml):
    path = toml(f'model = "m"\n{ENV}wheight = 2\n')
    assert refused(path) == f"{path}: unknown key 'env.0.wheight'; did you mean 'weight'?"


def test_a_misspelt_alarm_is_told_with_the_nearest_one(toml):
    path = toml(f'model = "m"\n{ENV}[alarms]\nplateu = "stop"\n')
    assert refused(path) == f"{path}: unknown key 'alarms.plateu'; did you mean 'plateau'?"


@pytest.mark.parametrize("key", ["top_p", "top_k", "min_p"])
def test_what_cuts_tokens_off_is_refused_with_its_reason(toml, key):
    path = toml(f'model = "m"\n{key} = 0.9\n{ENV}')
    assert refused(path).startswith(f"{path}: {key} is not for training: it cuts tokens off")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("group_size = 1", "group_size is 1"),
        ('sampler = "vllm-server"', "sampler_url is the URL of a vLLM server"),
        ('sampler_weights = "broadcast"', "sampler_weights = broadcast hands weights to a vLLM server"),
        ("correction_low = 3.0", "correction_low (3.0) is not below correction_high (2.0)"),
        ('history = "template"\nloss = "gspo"', "history = template may split a rollout"),
        ('loss = "dppo"\ncorrection = "mask"', "dppo drops tokens by the sampler's probabilities itself"),
        ('[alarms]\nplateau = "stop"', "alarms.plateau looks at evaluations; set eval_every"),
    ],
)
def test_what_does_not_go_together_is_refused(toml, line, says):
    before, after = ("", line) if line.startswith("[") else (line, "")
    assert says in refused(toml(f'model = "m"\n{before}\n{ENV}{after}\n'))


def test_a_key_like_no_other_lists_the_known_ones(toml):
    message = refused(toml(f'model = "m"\nzzz = 4\n{ENV}'))
    assert "unknown key 'zzz'; known keys: advantage, aggregation, alarms, betas, " in message
    assert ", env, " in message
    assert "envs" not in message


def test_the_fields_name_is_no_key_of_the_file(toml):
    path = toml('model = "m"\nenvs = ["http://e"]\n')
    assert refused(path) == f"{path}: unknown key 'envs'; each environment is an [[env]] table"


def test_every_problem_is_told_at_once_and_a_flag_is_not_blamed_on_the_file(toml):
    path = toml("steps = 0\n")
    assert refused(path, {"lr": -1.0}).split("; ") == [
        f"(1) {path}: needs an environment: an [[env]] table with its url, or --env URL",
        f"(2) {path}: needs a model: a line model = NAME, or --model NAME",
        f"(3) {path}: steps is 0: input should be greater than or equal to 1",
        "(4) lr is -1.0: input should be greater than 0",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps = ", "is not TOML: Invalid value"),
        (f'model = "m"\nmax_tokens = 10\n{ENV}', "max_new_tokens is 256, more than max_tokens (10)"),
        (f'model = "m"\n{ENV}{ENV}', "two [[env]] entries have the same url and split"),
        (f'model = "m"\nlr = nan\n{ENV}', "lr is nan"),
        (f'model = "m"\nmax_grad_norm = inf\n{ENV}', "max_grad_norm is inf: input should be a finite number"),
        (
            'model = "m"\n[[env]]\nurl = "http://e"\ntoken_env = "A"\n[[env]]\nurl = "http://e/"\nsplit = "b"\n',
            "two [[env]] entries have the same url and not the same token_env",
        ),
        (f'model = "m"\n{ENV}token = "t"\n', "unknown key 'env.0.token'; did you mean 'token_env'?"),
        ('model = "m"\n[[env]]\nurl = "localhost:80"\n', "env.0.url is 'localhost:80': put http:// before it"),
        ('model = "m"\n[[env]]\nurl = "ftp://e"\n', "env.0.url is 'ftp://e': expected one with http:// or https://"),
    ],
)
def test_what_does_not_fit_is_told(toml, text, said):
    message = refused(toml(text))
    assert said in message
    assert "run.toml" in message
    assert "\n" not in message


def test_a_token_in_the_file_is_refused_and_not_repeated(toml):
    message = refused(toml(f'model = "m"\n{ENV}token_env = "s3cret-token"\n'))
    assert "env.0.token_env is no name of an environment variable; put the token in one" in message
    assert "s3cret" not in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f'model = "m"\nsampler_url = "me:s3cret@host/?api_key=s3cret"\n{ENV}', "sampler_url is 'host/': put http://"),
        ('model = "m"\n[[env]]\nurl = "ftp://me:s3cret@e/?k=s3cret"\n', "env.0.url is 'ftp://e/': expected one with"),
        ('model = "m"\nenv = ["http://me:s3cret@e"]\n', "env.0 is 'http://e': "),
        ('model = "m"\n[[env]]\nurl = ["http://me:s3cret@e"]\n', "env.0.url is of type list: "),
        ('model = "m"\n[[env]]\nsplit = "s3cret"\n', "env.0.url is missing"),
    ],
)
def test_no_error_shows_the_password_or_the_query_of_a_url(toml, text, said):
    message = refused(toml(text))
    assert said in message
    assert "s3cret" not in message


def test_a_missing_file_is_told(tmp_path):
    path = tmp_path / "none.toml"
    assert refused(path) == f"no configuration file at {path}; check the path"


def test_none_switches_an_optional_value_off(toml):
    assert TrainConfig.from_toml(toml(f'model = "m"\neval_every = "None"\n{ENV}')).eval_every is None
    assert TrainConfig.from_toml(toml(f'model = "m"\neval_every = 3\n{ENV}')).eval_every == 3


def test_resume_allows_another_port_another_token_and_more_steps_and_nothing_that_changes_the_run():
    def config(**changes: object) -> TrainConfig:
        return TrainConfig.from_toml(None, {"envs": [{"url": "http://e:1"}], "model": "m"} | changes)

    first = config()
    budgets = {"max_tokens": 4000, "micro_batch_tokens": 9000}
    moved = config(envs=[{"url": "http://e:2", "token_env": "TOKEN"}], steps=500, output="elsewhere", **budgets)
    assert moved.differences(first.resume_values()) == []
    other = config(group_size=4, lr=3e-6)
    assert other.differences(first.resume_values()) == ["group_size was 8, is now 4", "lr was 1e-06, is now 3e-06"]


def test_every_field_says_why_below_it():
    source = Path(__import__("envport_trainer.config").config.__file__).read_text()
    lines = source.splitlines()
    for name in [*TrainConfig.model_fields, *EnvSource.model_fields]:
        place = next(n for n, line in enumerate(lines) if line.startswith(f"    {name}: "))
        assert lines[place + 1].startswith('    """'), name
