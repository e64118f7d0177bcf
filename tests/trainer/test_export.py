"""A run becomes a folder that transformers and peft load, with a card that says what it is."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
import yaml
from envport.cli import app
from envport.cli.boundary import exit_code_of
from envport_protocol.messages import Manifest
from envport_trainer.config import EnvSource, TrainConfig
from envport_trainer.errors import CheckpointError, ModelError
from envport_trainer.learning.adapters import add_adapters
from envport_trainer.models.card import card_of_run
from envport_trainer.models.export import export_run
from envport_trainer.models.folder import load_policy, save_adapter, save_model
from envport_trainer.models.licence import licence_of
from envport_trainer.models.run_file import as_toml
from envport_trainer.recording.run_facts import run_facts, write_run_facts
from envport_trainer.runs.checkpoint import TrainState, save_checkpoint
from envport_trainer.runs.resuming import identity
from envport_trainer.runs.weights import trained_state
from transformers import AutoModelForCausalLM, AutoTokenizer

from .conftest import TEMPLATE, tiny_model, tiny_tokenizer

if TYPE_CHECKING:
    from torch import nn

DIGEST = "sha256:" + "ab" * 32
IDS = torch.tensor([[2, 3, 8, 1, 2, 4, 5, 6, 7, 1]])


class Run:
    """A run of the tiny model, as its folder holds it; nothing was trained, the weights are moved by hand."""

    def __init__(self, place: Path, base: Path, *, name: str = "org/sums", **settings: Any) -> None:
        self.folder = place / "run"
        url = "http://user:secret@host:8000/?token=secret"
        env = EnvSource(url=url, token_env="SUMS_TOKEN")
        self.config = TrainConfig(envs=(env,), model=str(base), output=self.folder, seed=7, **settings)
        self.loaded = load_policy(str(base))
        self.model: nn.Module = self.loaded.model
        if self.config.lora_rank is not None:
            self.model = add_adapters(self.loaded.model, self.config.lora_rank, self.config.lora_alpha)
        self.manifests = [Manifest(name=name, version="1.2.3", digest=DIGEST)]
        write_run_facts(self.folder, run_facts(self.config, self.manifests, torch.device("cpu")))

    def save(self, step: int) -> None:
        """A checkpoint whose trained weights were all moved by chance, and a line of metrics."""
        torch.manual_seed(step)
        with torch.no_grad():
            for parameter in self.model.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter) * 0.1)
        save_checkpoint(
            self.folder / "checkpoints",
            TrainState(
                step=step,
                model=trained_state(self.model),
                optimizer={},
                config=self.config.resume_values(),
                extra=identity(self.loaded, self.manifests),
            ),
            keep=9,
        )

    def measured(self, *lines: dict[str, float]) -> None:
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (self.folder / "metrics.jsonl").write_text(text)

    @torch.no_grad()
    def logits(self) -> torch.Tensor:
        return self.model(IDS).logits


@torch.no_grad()
def logits_of(folder: Path, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
    return model(IDS).logits.float()


@pytest.fixture
def run(tmp_path, tiny_folder) -> Run:
    made = Run(tmp_path, tiny_folder)
    made.save(10)
    return made


@pytest.fixture
def lora(tmp_path, tiny_folder) -> Run:
    made = Run(tmp_path, tiny_folder, lora_rank=2, lora_alpha=6.0)
    made.save(10)
    return made


def card_text(folder: Path) -> str:
    return (folder / "README.md").read_text("utf-8")


def front_matter(text: str) -> dict[str, Any]:
    values = yaml.safe_load(text.split("---\n")[1])
    assert isinstance(values, dict)
    return values


def test_an_exported_model_computes_in_fp32_exactly_what_was_trained(run, tmp_path):
    assert export_run(run.folder, tmp_path / "out", dtype=torch.float32) == 10
    assert torch.equal(logits_of(tmp_path / "out"), run.logits())
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer.chat_template == TEMPLATE
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("README.md", "chat_template.jinja", "config.json", "generation_config.json"),
        *("model.safetensors", "tokenizer.json", "tokenizer_config.json"),
    ]


def test_an_exported_model_is_rounded_to_bf16_and_no_further(run, tmp_path):
    export_run(run.folder, tmp_path / "out")
    with torch.no_grad():
        for parameter in run.model.parameters():
            parameter.copy_(parameter.bfloat16().float())
    assert torch.equal(logits_of(tmp_path / "out"), run.logits())
    assert json.loads((tmp_path / "out/config.json").read_text())["dtype"] == "bfloat16"


def test_a_step_is_exported_on_request(run, tmp_path):
    at_10 = run.logits()
    run.save(20)
    assert export_run(run.folder, tmp_path / "last", dtype=torch.float32) == 20
    assert export_run(run.folder, tmp_path / "earlier", step=10, dtype=torch.float32) == 10
    assert torch.equal(logits_of(tmp_path / "last"), run.logits())
    assert torch.equal(logits_of(tmp_path / "earlier"), at_10)
    with pytest.raises(CheckpointError, match="no checkpoint of step 15, only of 10, 20"):
        export_run(run.folder, tmp_path / "none", step=15)
    assert not (tmp_path / "none").exists()


def test_adapters_are_merged_into_an_ordinary_model(lora, tmp_path, tiny_folder):
    export_run(lora.folder, tmp_path / "out", dtype=torch.float32)
    torch.testing.assert_close(logits_of(tmp_path / "out"), lora.logits(), atol=1e-6, rtol=1e-5)
    assert (logits_of(tiny_folder) - lora.logits()).abs().max() > 1e-3
    assert load_policy(str(tmp_path / "out")).model.state_dict().keys() == tiny_model().state_dict().keys()
    assert not (tmp_path / "out/adapter_config.json").exists()


def test_the_merged_weights_are_those_that_peft_makes(lora, tmp_path):
    save_model(lora.model, lora.loaded.tokenizer, tmp_path / "out", dtype=torch.float32)
    ours = load_policy(str(tmp_path / "out")).model.state_dict()
    theirs = lora.model.merge_and_unload().state_dict()
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, atol=1e-7, rtol=1e-6)


def test_saving_leaves_an_adapted_model_as_it_is(lora, tmp_path):
    before = {name: tensor.clone() for name, tensor in lora.model.state_dict().items()}
    save_model(lora.model, lora.loaded.tokenizer, tmp_path / "out")
    after = lora.model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 0.0), (torch.bfloat16, 0.01)])
def test_peft_loads_the_adapters_on_top_of_the_base_model(lora, tmp_path, tiny_folder, dtype, near):
    from peft import AutoPeftModelForCausalLM

    export_run(lora.folder, tmp_path / "out", adapter=True, dtype=dtype)
    config = json.loads((tmp_path / "out/adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["r"], config["lora_alpha"]) == (str(tiny_folder), 2, 6.0)
    model = AutoPeftModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32).eval()
    with torch.no_grad():
        torch.testing.assert_close(model(IDS).logits.float(), lora.logits(), atol=max(near, 1e-7), rtol=0)
    assert not (tmp_path / "out/model.safetensors").exists()
    assert front_matter(card_text(tmp_path / "out"))["library_name"] == "peft"
    assert "lora" in front_matter(card_text(tmp_path / "out"))["tags"]


def test_a_run_without_adapters_has_none_to_export(run, tmp_path):
    with pytest.raises(ModelError, match="was trained without adapters"):
        export_run(run.folder, tmp_path / "out", adapter=True)
    with pytest.raises(ModelError, match="has no adapters"):
        save_adapter(run.model, run.loaded.tokenizer, tmp_path / "out", base="b")


def test_generation_settings_that_transformers_will_not_save_are_kept_and_told(tmp_path, tiny_folder):
    path = tiny_folder / "generation_config.json"
    path.write_text(json.dumps({"eos_token_id": [1], "top_p": 0.9, "temperature": 0.6}))
    run = Run(tmp_path, tiny_folder, temperature=0.8)
    run.save(1)
    export_run(run.folder, tmp_path / "out")
    kept = json.loads((tmp_path / "out/generation_config.json").read_text())
    assert (kept["top_p"], kept["temperature"], kept["eos_token_id"], kept.get("do_sample")) == (0.9, 0.6, [1], None)
    assert run.loaded.model.generation_config.top_p == 0.9
    text = card_text(tmp_path / "out")
    assert "at temperature 0.8 without top-p or top-k" in text
    assert '`{"temperature": 0.6, "top_p": 0.9}`' in text


def test_the_card_names_environments_rewards_settings_and_how_to_make_it_again(run, tmp_path, tiny_folder):
    (tiny_folder / "README.md").write_text("---\nlicense: apache-2.0\n---\nlicense: none\n")
    run.measured(
        {"step": 0, "eval/reward": 0.25, "eval/reward_ci95": 0.05, "eval/rewards/exact": 0.125},
        {"step": 1, "reward": 0.3, "reward_se": 0.01},
        {"step": 10, "reward": 0.6, "eval/reward": 0.75, "eval/reward_ci95": 0.04, "eval/rewards/exact": 0.5},
        {"step": 20, "reward": 0.1, "eval/reward": 0.1, "eval/reward_ci95": 0.04},
    )
    export_run(run.folder, tmp_path / "out")
    text = card_text(tmp_path / "out")
    assert front_matter(text) == {
        "library_name": "transformers",
        "base_model": "tiny",
        "license": "apache-2.0",
        "pipeline_tag": "text-generation",
        "tags": ["envport", "grpo", "reinforcement-learning"],
    }
    assert f"| `org/sums` | `1.2.3` | `train` | `{DIGEST}` |" in text
    assert "| before training | 0.250 ± 0.050 | 0.125 |\n| after step 10 | 0.750 ± 0.040 | 0.500 |\n" in text
    assert "step 20" not in text
    assert "![Mean reward by step](curve.png)" in text
    assert (tmp_path / "out/curve.png").read_bytes().startswith(b"\x89PNG")
    assert f"transformers {__import__('transformers').__version__}" in text
    assert "envport train run.toml" in text
    assert "secret" not in "".join(path.read_text("utf-8", "ignore") for path in (tmp_path / "out").iterdir())


def test_the_settings_of_the_card_are_the_runs_own(run, tmp_path):
    export_run(run.folder, tmp_path / "out")
    block = re.search(r"```toml\n(.*?)```", card_text(tmp_path / "out"), re.DOTALL)
    assert block is not None
    (tmp_path / "run.toml").write_text(block[1])
    again = TrainConfig.from_toml(tmp_path / "run.toml")
    bare = run.config.envs[0].model_copy(update={"url": "http://host:8000/"})
    assert again == run.config.model_copy(update={"envs": (bare,), "model": "tiny", "output": Path("run")})


@pytest.mark.parametrize("adapter", [False, True])
def test_the_card_shows_no_path_of_this_machine(tmp_path, tiny_folder, adapter):
    template = tmp_path / "mine" / "own.jinja"
    template.parent.mkdir()
    template.write_text(TEMPLATE)
    run = Run(tmp_path, tiny_folder, lora_rank=2, chat_template=template)
    run.save(1)
    export_run(run.folder, tmp_path / "out", adapter=adapter)
    text = card_text(tmp_path / "out")
    assert str(tmp_path) not in text
    assert "by envport from `tiny`." in text
    for setting in ('model = "tiny"', 'output = "run"', 'chat_template = "own.jinja"'):
        assert f"\n{setting}\n" in text


def test_the_card_names_a_model_of_the_hub_in_full(run):
    facts = json.loads((run.folder / "run.json").read_text())
    facts["config"] |= {"model": "nobody/nothing", "output": "/home/me/runs/first"}
    (run.folder / "run.json").write_text(json.dumps(facts))
    place = run.folder / "card"
    place.mkdir()
    card_of_run(run.folder, 10).write(place, dtype="bfloat16", adapter=False)
    text = card_text(place)
    assert "by envport from `nobody/nothing`." in text
    assert '\nmodel = "nobody/nothing"\n' in text
    assert '\noutput = "first"\n' in text
    assert "/home" not in text


def test_a_run_that_measured_nothing_says_so(run, tmp_path):
    export_run(run.folder, tmp_path / "out")
    text = card_text(tmp_path / "out")
    assert "whether it is better is not known" in text
    assert "curve.png" not in text
    assert "license" not in front_matter(text)


def test_what_a_server_calls_itself_stays_text(tmp_path, tiny_folder):
    name = "a` | <script>alert(1)</script>\n\n# Heading ![x](http://evil)``` \x1b[31m"
    run = Run(tmp_path, tiny_folder, name=name)
    run.save(1)
    run.measured({"step": 1, "reward": 0.5, "eval/reward": 0.5, "eval/rewards/x`|<b>": 0.5})
    export_run(run.folder, tmp_path / "out")
    text = card_text(tmp_path / "out")
    row = next(line for line in text.splitlines() if "script" in line)
    assert row.startswith("| ````a` ¦ <script>alert(1)</script> # Heading ![x](http://evil)``` [31m```` | `1.2.3` |")
    assert "| ``x`¦<b>`` |" in text
    assert "\n# Heading" not in text
    assert "\x1b" not in text


def test_a_base_models_name_cannot_leave_the_front_matter(run):
    from envport_trainer.models.card import _yaml

    for name in ("a: b\n---\nlicense: mit", 'quote " and \\', "@x #y {z}", "\u2028line", "umlaut ä 😀"):
        assert yaml.safe_load(f"base_model: {_yaml(name)}") == {"base_model": " ".join(name.split())}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"output": 'a "quoted" \\ pa\x7fth\nä 😀', "betas": (0.8, 0.95), "lr": 1e-6, "eval_every": 5},
        {"envs": [{"url": "http://a"}, {"url": "http://b", "weight": 2.5, "split": "hard"}], "trackers": []},
    ],
)
def test_settings_come_back_from_their_toml(tmp_path, settings):
    config = TrainConfig.model_validate({"envs": [{"url": "http://h"}], "model": "m", **settings})
    (tmp_path / "run.toml").write_text(as_toml(config.model_dump(mode="json")))
    assert TrainConfig.from_toml(tmp_path / "run.toml") == config


def test_tables_within_settings_are_tables_of_the_toml():
    values = {"a": 1, "t": {"x": True, "in ner": {"y": [1.5, "z"]}, "none": None}, "envs": [{"url": "u"}]}
    assert tomllib.loads(as_toml(values)) == {
        "a": 1,
        "t": {"x": True, "in ner": {"y": [1.5, "z"]}},
        "env": [{"url": "u"}],
    }


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        ("---\nlicense: apache-2.0\n---\n", "apache-2.0"),
        ('---\ntags: [a]\nlicense: "llama3.2"\nx: y\n---\n', "llama3.2"),
        ("---\ntags: [a]\n---\nlicense: mit\n", None),
        ("license: mit\n", None),
        ("---\nlicense: [mit]\n---\n", None),
    ],
)
def test_the_licence_is_that_of_the_base_models_card(tmp_path, text, licence):
    (tmp_path / "README.md").write_text(text)
    assert licence_of(str(tmp_path)) == licence
    (tmp_path / "m.gguf").touch()
    assert licence_of(str(tmp_path / "m.gguf")) == licence
    assert licence_of("nobody/nothing") is None
    assert licence_of("no : name") is None


def test_another_chat_template_than_the_runs_is_told_and_its_own_can_be_given(tmp_path, tiny_folder):
    run = Run(tmp_path, tiny_folder)
    run.save(1)
    (tiny_folder / "chat_template.jinja").write_text("another")
    with pytest.raises(ModelError, match="another chat template than the model has"):
        export_run(run.folder, tmp_path / "out")
    (tmp_path / "own.jinja").write_text(TEMPLATE)
    export_run(run.folder, tmp_path / "out", chat_template=tmp_path / "own.jinja")
    assert load_policy(str(tmp_path / "out")).tokenizer.chat_template == TEMPLATE


def test_a_base_model_that_was_moved_can_be_named(run, tmp_path, tiny_folder):
    tiny_folder.rename(tmp_path / "moved")
    with pytest.raises(ModelError, match=f"no model at {tiny_folder}"):
        export_run(run.folder, tmp_path / "out")
    export_run(run.folder, tmp_path / "out", base=str(tmp_path / "moved"), dtype=torch.float32)
    assert torch.equal(logits_of(tmp_path / "out"), run.logits())


def test_another_base_model_is_told(run, tmp_path):
    other = tiny_model()
    other.config.num_hidden_layers = 1
    save_model(type(other)(other.config), tiny_tokenizer(), tmp_path / "other")
    with pytest.raises(CheckpointError, match=r"does not fit .*other: .*; name the model that the run began with"):
        export_run(run.folder, tmp_path / "out", base=str(tmp_path / "other"))


def test_a_torn_checkpoint_is_told_and_the_earlier_export_stays(run, tmp_path):
    export_run(run.folder, tmp_path / "out")
    weights = run.folder / "checkpoints/step-000010/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:99])
    with pytest.raises(CheckpointError, match="cannot read the checkpoint"):
        export_run(run.folder, tmp_path / "out")
    load_policy(str(tmp_path / "out"))


def test_exporting_leaves_the_run_as_it_is(run, tmp_path):
    unfinished = run.folder / "checkpoints/.step-000011.abc"
    unfinished.mkdir()  # as of a run that is writing one now
    before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    export_run(run.folder, tmp_path / "out")
    assert {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()} == before
    assert unfinished.is_dir()


def test_an_export_that_fails_leaves_nothing_half_written(run, tmp_path, monkeypatch):
    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("envport_trainer.models.card.draw_curve", full_disk)
    run.measured({"step": 1, "reward": 0.5})
    with pytest.raises(ModelError, match="No space left on device"):
        export_run(run.folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_folder_that_is_no_run_is_told(run, tmp_path):
    with pytest.raises(CheckpointError, match="has no checkpoint in checkpoints/; give the output folder of a run"):
        export_run(tmp_path, tmp_path / "out")
    (run.folder / "run.json").write_text('{"config": {}}')
    with pytest.raises(ModelError, match="is not what a run writes: started_at: field required"):
        export_run(run.folder, tmp_path / "out")
    (run.folder / "run.json").unlink()
    with pytest.raises(ModelError, match=r"has no readable run\.json"):
        card_of_run(run.folder, 1)


@pytest.fixture
def command(capsys):
    """`command("RUN", "--json")` -> exit code, stdout, stderr."""

    def call(*args: object) -> tuple[int, str, str]:
        code = exit_code_of(lambda: app(["export", *map(str, args)]))
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_the_command_writes_the_folder_and_says_so(command, run):
    code, out, err = command(run.folder)
    assert (code, out.splitlines()[1].split()) == (0, ["10", "model", "bf16", str(run.folder / "export")]), err
    told = [line for line in err.splitlines() if line.startswith(("reading", "loading", "writing"))]
    assert told == [
        f"reading {run.folder / 'checkpoints/step-000010'}",
        *(f"loading {run.config.model}", f"writing {run.folder / 'export'}"),
    ]
    load_policy(str(run.folder / "export"))


def test_the_command_exports_adapters_as_json(command, lora, tmp_path):
    code, out, _ = command(lora.folder, "--adapter", "--dtype", "fp32", "--json", "--out", tmp_path / "a")
    assert (code, json.loads(out)) == (
        0,
        {"step": 10, "kind": "adapter", "dtype": "fp32", "folder": str(tmp_path / "a")},
    )


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (("--step", 3), 1, "error: {run} has no checkpoint of step 3, only of 10; "),
        (("--adapter",), 1, "error: {run} was trained without adapters"),
        (("--base", "/none"), 1, "error: no model at /none"),
        (("--dtype", "fp8"), 2, "got 'fp8', expected bf16 or fp32"),
        (("--out", "{run}"), 1, "error: {run} exists and is not a model folder"),
    ],
)
def test_what_cannot_be_exported_is_one_line(command, run, options, code, told):
    got, out, err = command(run.folder, *(str(option).format(run=run.folder) for option in options))
    assert (got, out) == (code, "")
    assert told.format(run=run.folder) in " ".join(err.replace("│", " ").split())


def test_the_help_has_an_example(command):
    code, out, _ = command("--help")
    assert code == 0
    assert "envport export runs/first" in " ".join(out.split())
