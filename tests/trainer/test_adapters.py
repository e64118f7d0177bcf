"""Adapters stand for the ordinary model that peft merges them into, and are trained alone."""

from __future__ import annotations

import copy
import sys
from typing import TYPE_CHECKING

import pytest
import torch
from envport_trainer.algorithm.batch import TrainingRow
from envport_trainer.errors import ModelError
from envport_trainer.learning.adapters import add_adapters, is_adapted, merged_state, ordinary, without_adapters
from envport_trainer.learning.packing import pack
from envport_trainer.learning.policy import Policy
from envport_trainer.types import TokenRow
from transformers import LlamaConfig, LlamaForCausalLM

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


def model() -> PreTrainedModel:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=97,
        hidden_size=48,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config).float()


def trained(rank: int = 4, alpha: float = 10.0) -> PeftModel:
    """Adapters that add something: their second factor is drawn too, as training would have moved it."""
    adapted = add_adapters(model(), rank, alpha)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2
    return adapted


def row(completion: list[int]) -> TrainingRow:
    ids = [5, 6, 7, *completion]
    tokens = TokenRow(ids, [False] * 3 + [True] * len(completion), [0.0] * len(ids), 3)
    return TrainingRow(tokens, [1.0] * len(ids), 0, 0)


def logprobs(policy: Policy) -> torch.Tensor:
    (batch,) = pack([row([8, 9, 10]), row([11, 12])], 100)
    return policy.logprobs(batch, 0.8)


def test_merged_weights_are_those_of_peft_s_own_merge() -> None:
    adapted = trained()
    expected = copy.deepcopy(adapted).merge_and_unload().state_dict()
    before = {name: tensor.clone() for name, tensor in adapted.state_dict().items()}

    got = dict(merged_state(adapted))

    assert list(got) == list(expected) == list(model().state_dict())
    for name, tensor in got.items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=1e-6)
    moved = [name for name, tensor in model().state_dict().items() if not torch.equal(tensor, got[name])]
    assert len(moved) == 2 * 7  # q, k, v, o, gate, up and down of both layers; neither the head nor the embeddings
    for name, tensor in adapted.state_dict().items():
        assert torch.equal(tensor, before[name]), f"{name} was changed"


def test_merged_weights_of_a_plain_model_are_its_state() -> None:
    plain = model()
    got = dict(merged_state(plain))
    assert list(got) == list(plain.state_dict())
    assert all(got[name].data_ptr() == tensor.data_ptr() for name, tensor in plain.state_dict().items())


def test_logprobs_under_adapters_are_those_of_the_merged_model() -> None:
    adapted = trained()
    merged = model()
    merged.load_state_dict(dict(merged_state(adapted)))
    expected = logprobs(Policy.under_plan(merged, "fp32"))
    got = logprobs(Policy.under_plan(adapted, "fp32"))
    torch.testing.assert_close(got, expected, rtol=0, atol=2e-6)


def test_the_reference_policy_is_the_model_before_its_adapters() -> None:
    expected = logprobs(Policy.under_plan(model(), "fp32"))
    policy = Policy.under_plan(trained(), "fp32")
    with torch.no_grad(), without_adapters(policy.model):
        reference = logprobs(policy)
    torch.testing.assert_close(reference, expected, rtol=0, atol=0)
    assert (logprobs(policy) - expected).abs().max() > 1e-3


def test_adapters_alone_get_a_gradient_and_it_is_the_merged_weight_s_by_the_chain_rule() -> None:
    adapted = trained(rank=4, alpha=10.0)
    merged = model()
    merged.load_state_dict(dict(merged_state(adapted)))
    logprobs(Policy.under_plan(adapted, "fp32")).sum().backward()
    logprobs(Policy.under_plan(merged, "fp32")).sum().backward()

    place = "model.layers.1.mlp.down_proj"
    layer = ordinary(adapted).get_submodule(place)
    full = merged.get_submodule(place).weight.grad
    assert isinstance(full, torch.Tensor)
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    torch.testing.assert_close(b.grad, 2.5 * full @ a.T, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(a.grad, 2.5 * b.T @ full, rtol=1e-4, atol=1e-5)
    with_gradient = {name for name, p in adapted.named_parameters() if p.grad is not None}
    assert with_gradient == {name for name, p in adapted.named_parameters() if p.requires_grad}
    assert with_gradient == {name for name, _ in adapted.named_parameters() if ".lora_" in name}


def test_new_adapters_add_nothing_and_come_from_their_seed_alone() -> None:
    torch.manual_seed(5)
    expected_next = torch.rand(3)
    torch.manual_seed(5)
    first = add_adapters(model_kept_generator(), 4, 8.0)
    assert torch.equal(torch.rand(3), expected_next)
    torch.manual_seed(6)
    again = add_adapters(model_kept_generator(), 4, 8.0)
    other = add_adapters(model(), 4, 8.0, seed=1)
    a = "model.layers.0.self_attn.q_proj.lora_A.default.weight"
    assert torch.equal(ordinary(first).state_dict()[a], ordinary(again).state_dict()[a])
    assert not torch.equal(ordinary(first).state_dict()[a], ordinary(other).state_dict()[a])
    for name, tensor in merged_state(first):
        torch.testing.assert_close(tensor, model().state_dict()[name], rtol=0, atol=0)


def model_kept_generator() -> PreTrainedModel:
    with torch.random.fork_rng():
        return model()


def test_adapted_is_told_from_plain() -> None:
    plain = model()
    assert not is_adapted(plain)
    assert ordinary(plain) is plain
    adapted = add_adapters(plain, 2, 4.0)
    assert is_adapted(adapted)
    assert ordinary(adapted) is plain


def test_missing_peft_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ModelError, match=r"pip install 'envport\[lora\]'"):
        add_adapters(model(), 4, 8.0)
