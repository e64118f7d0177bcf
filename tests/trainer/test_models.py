"""Models load from folders, GGUF files and hub names, and what cannot be used is told in one line."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest
import torch
from envport_trainer.errors import ModelError
from envport_trainer.models.folder import LoadedModel, load_policy, load_tokenizer, save_model, stop_ids
from envport_trainer.models.hub import hub_is_away
from safetensors import SafetensorError

from .conftest import TEMPLATE, tiny_model, tiny_tokenizer

if TYPE_CHECKING:
    from pathlib import Path


def refused(name: object, **options: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_policy(str(name), **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_loads_as_fp32_with_its_tokenizer(tiny_folder):
    loaded = load_policy(str(tiny_folder))
    expected = tiny_model().state_dict()
    got = loaded.model.state_dict()
    assert got.keys() == expected.keys()
    assert all(torch.equal(got[name], tensor) for name, tensor in expected.items())
    assert {tensor.dtype for tensor in loaded.model.parameters()} == {torch.float32}
    assert not loaded.model.training
    assert loaded.tokenizer.chat_template == TEMPLATE
    assert loaded.tokenizer.pad_token_id == 1


def test_a_saved_model_loads_again_in_bf16_precision_with_tied_weights_once(tmp_path):
    folder = tmp_path / "saved"
    save_model(tiny_model(), tiny_tokenizer(), folder)
    loaded = load_policy(str(folder))
    for name, tensor in tiny_model().state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], tensor.bfloat16().float()), name
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"
    assert (folder / "model.safetensors").stat().st_size < 2 * sum(p.numel() for p in tiny_model().parameters()) + 4096
    assert loaded.model.get_output_embeddings().weight is loaded.model.get_input_embeddings().weight


def test_a_saved_model_takes_the_place_of_an_earlier_one_and_leaves_nothing_else(tmp_path):
    folder = tmp_path / "saved"
    model = tiny_model()
    save_model(model, tiny_tokenizer(), folder, dtype=torch.float32)
    with torch.no_grad():
        model.model.norm.weight.fill_(3.0)
    save_model(model, tiny_tokenizer(), folder, dtype=torch.float32)
    assert load_policy(str(folder)).model.model.norm.weight.tolist() == [3.0] * 16
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


def test_a_failed_save_leaves_the_earlier_model_and_nothing_half_written(tmp_path, monkeypatch):
    folder = tmp_path / "saved"
    model = tiny_model()
    save_model(model, tiny_tokenizer(), folder)

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("envport_trainer.models.folder.os.fsync", full_disk)
    with pytest.raises(ModelError, match="No space left on device"):
        save_model(model, tiny_tokenizer(), folder)
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]
    load_policy(str(folder))


def test_an_error_of_the_writing_library_is_told(tmp_path, monkeypatch):
    def full_disk(*_: object, **__: object) -> None:
        raise SafetensorError("Error while serializing: No space left on device")

    model = tiny_model()
    monkeypatch.setattr(type(model), "save_pretrained", full_disk)
    with pytest.raises(ModelError, match=r"cannot write the model to .*saved: .*No space left on device; check the"):
        save_model(model, tiny_tokenizer(), tmp_path / "saved")
    assert list(tmp_path.iterdir()) == []


def test_the_earlier_model_comes_back_where_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    folder = tmp_path / "saved"
    save_model(tiny_model(), tiny_tokenizer(), folder)
    rename = type(folder).rename

    def refuse(path: Path, target: Path) -> Path:
        if path.name.startswith(".saved.new-"):
            raise OSError(5, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(type(folder), "rename", refuse)
    with pytest.raises(ModelError, match="Input/output error"):
        save_model(tiny_model(), tiny_tokenizer(), folder)
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]
    load_policy(str(folder))


def test_what_a_killed_save_left_is_removed_and_nothing_else(tmp_path):
    for name in (".saved.new-abc", ".saved.old-abc/model", ".saved.mine", ".other.new-abc"):
        (tmp_path / name).mkdir(parents=True)
    save_model(tiny_model(), tiny_tokenizer(), tmp_path / "saved")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other.new-abc", ".saved.mine", "saved"]


def test_a_folder_that_holds_something_else_is_not_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ModelError, match="exists and is not a model folder"):
        save_model(tiny_model(), tiny_tokenizer(), tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_turns_end_at_the_tokenizers_and_the_models_stop_tokens():
    model = tiny_model()
    model.generation_config.eos_token_id = [5, 6]
    assert stop_ids(LoadedModel(model, tiny_tokenizer())) == {1, 5, 6}


def test_a_missing_folder_is_told(tmp_path):
    assert refused(tmp_path / "none").startswith(f"no model at {tmp_path / 'none'}: expected a folder with config.json")


def test_a_folder_without_a_model_is_told(tmp_path):
    assert refused(tmp_path) == f"{tmp_path} has no config.json and no .gguf file, so it is no model folder"


def test_a_folder_without_a_tokenizer_is_told(tiny_folder):
    (tiny_folder / "tokenizer.json").unlink()
    assert refused(tiny_folder).startswith(f"{tiny_folder} has no tokenizer (tokenizer.json or ")


def test_a_missing_chat_template_is_told_with_the_flag_that_helps(tiny_folder):
    (tiny_folder / "chat_template.jinja").unlink()
    assert "has no chat template" in refused(tiny_folder)
    assert "--chat-template FILE" in refused(tiny_folder)
    template = tiny_folder / "mine.jinja"
    template.write_text("{{ messages[0].content }}")
    loaded = load_tokenizer(str(tiny_folder), chat_template=template)
    assert loaded.chat_template == "{{ messages[0].content }}"


def test_a_chat_template_that_cannot_be_read_is_told(tiny_folder, tmp_path):
    assert "cannot read the chat template" in refused(tiny_folder, chat_template=tmp_path / "none.jinja")
    (tmp_path / "empty.jinja").write_text(" \n")
    assert "is empty" in refused(tiny_folder, chat_template=tmp_path / "empty.jinja")


def test_torn_weights_are_told(tiny_folder):
    weights = tiny_folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    assert refused(tiny_folder).startswith(f"cannot load the model at {tiny_folder}: ")


def test_several_gguf_files_are_told(tmp_path):
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).touch()
    assert refused(tmp_path) == f"{tmp_path} holds 2 GGUF files; name one of them: {tmp_path / 'a.gguf'}"


def test_a_file_that_is_no_gguf_is_told(tmp_path):
    (tmp_path / "model.bin").touch()
    assert refused(tmp_path / "model.bin").startswith(f"{tmp_path / 'model.bin'} is a file but no .gguf")


def test_a_hub_that_does_not_answer_is_told(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    message = refused("nobody/nothing")
    assert message.startswith("cannot load the tokenizer of nobody/nothing: no such folder here, and the hub did not")
    assert message.endswith("check the name and the network, or give a local folder")


def test_a_name_in_a_folder_that_is_here_is_meant_as_a_folder(tmp_path, monkeypatch):
    (tmp_path / "models/small").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert refused("models/nope") == (
        "no model at models/nope: models is a folder here and has models/small; check the name"
    )


def test_a_hub_whose_name_cannot_be_resolved_is_not_asked_again_and_again(monkeypatch):
    def no_network(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(-2, "Name or service not known")

    def asked(*_: object, **__: object) -> None:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("envport_trainer.models.hub.getproxies", dict[str, str])
    monkeypatch.setattr("socket.getaddrinfo", no_network)
    monkeypatch.setattr("httpx.Client.send", asked)
    assert refused("nobody/nothing") == (
        "cannot load the tokenizer of nobody/nothing: no such folder here, and the hub did not give it (the name "
        "huggingface.co cannot be resolved: Name or service not known); check the name and the network, or give a "
        "local folder"
    )


def test_a_hub_behind_a_proxy_need_not_be_resolved(monkeypatch):
    monkeypatch.setattr("envport_trainer.models.hub.getproxies", lambda: {"https": "http://proxy:1"})
    monkeypatch.setattr("envport_trainer.models.hub.proxy_bypass", lambda _: False)
    monkeypatch.setattr("socket.getaddrinfo", None)
    assert hub_is_away() is None


@pytest.mark.model
def test_the_fetched_model_answers(smollm2):
    loaded = load_policy(str(smollm2))
    question = [{"role": "user", "content": "What is the capital of France?"}]
    ids = loaded.tokenizer.apply_chat_template(
        question, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    answer = loaded.model.generate(**ids, max_new_tokens=16, do_sample=False)[0, ids["input_ids"].shape[1] :]
    assert loaded.tokenizer.decode(answer) == "The capital of France is Paris.<|im_end|>"
    assert stop_ids(loaded) == {2}
