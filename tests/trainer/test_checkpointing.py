"""Checkpointed layers give the same gradient and keep their input alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest
import torch
from envport_trainer.algorithm.batch import TrainingRow
from envport_trainer.errors import ModelError
from envport_trainer.learning.adapters import add_adapters
from envport_trainer.learning.packing import pack
from envport_trainer.learning.policy import Policy
from envport_trainer.types import TokenRow
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

if TYPE_CHECKING:
    from envport_trainer.learning.packing import PackedBatch
    from torch import Tensor
    from transformers import PreTrainedModel


def llama() -> PreTrainedModel:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=97,
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config).float()


def gpt2() -> PreTrainedModel:
    """With dropout of one half wherever it has any, which training must leave off."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=97, n_positions=64, n_embd=48, n_layer=2, n_head=4, resid_pdrop=0.5, embd_pdrop=0.5, attn_pdrop=0.5
    )
    return GPT2LMHeadModel(config).float()


def batch() -> PackedBatch:
    def row(completion: list[int], group: int) -> TrainingRow:
        ids = [5, 6, 7, group, *completion]
        mask = [False] * 4 + [True] * len(completion)
        return TrainingRow(TokenRow(ids, mask, [0.0] * len(ids), 4), [1.0] * len(ids), group, sum(completion))

    (packed,) = pack([row([8, 9, 10], 0), row([11, 12], 0), row([20, 21, 22, 23], 1)], 100)
    return packed


def gradients(policy: Policy) -> tuple[Tensor, dict[str, Tensor]]:
    logprob_N = policy.logprobs(batch(), 0.9)
    (logprob_N * logprob_N).sum().backward()
    found = {name: p.grad for name, p in policy.model.named_parameters() if p.grad is not None}
    return logprob_N.detach(), found


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("adapted", [False, True])
def test_gradients_are_those_without_checkpointing_bit_for_bit(
    precision: Literal["bf16", "fp32"], adapted: bool
) -> None:
    plain, checkpointed = (add_adapters(llama(), 4, 8.0) if adapted else llama() for _ in range(2))
    logprob_N, expected = gradients(Policy.under_plan(plain, precision))
    again_N, got = gradients(Policy.under_plan(checkpointed, precision, gradient_checkpointing=True))
    assert torch.equal(logprob_N, again_N)
    assert expected.keys() == got.keys() != set()
    for name, tensor in expected.items():
        assert torch.equal(tensor, got[name]), name


def test_dropout_stays_off_under_checkpointing() -> None:
    plain_N, expected = gradients(Policy.under_plan(gpt2(), "fp32"))
    logprob_N, got = gradients(Policy.under_plan(gpt2(), "fp32", gradient_checkpointing=True))
    assert torch.equal(plain_N, logprob_N)
    for name, tensor in expected.items():
        assert torch.equal(tensor, got[name]), name


def test_a_checkpointed_layer_keeps_its_input_alone() -> None:
    def kept_bytes(policy: Policy) -> int:
        """Of what one forward pass keeps for the backward pass beside the weights."""
        weights = {p.untyped_storage().data_ptr() for p in policy.model.parameters()}
        kept: dict[int, Tensor] = {}

        def keep(tensor: Tensor) -> Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            policy.logprobs(batch(), 1.0)
        return sum(t.untyped_storage().nbytes() for place, t in kept.items() if place not in weights)

    tokens = batch().input_ids.shape[1]
    plain = kept_bytes(Policy.under_plan(llama(), "fp32"))
    checkpointed = kept_bytes(Policy.under_plan(llama(), "fp32", gradient_checkpointing=True))
    inputs = 4 * tokens * 48 * 4
    assert inputs < checkpointed < inputs + 30 * tokens * 4 * 10  # and the head's own, and positions
    assert plain > 4 * checkpointed


def test_a_model_without_such_layers_is_refused() -> None:
    model = llama()
    model.model.layers = torch.nn.ModuleList()
    with pytest.raises(ModelError, match="has no layers to checkpoint; set gradient_checkpointing to false"):
        Policy.under_plan(model, "fp32", gradient_checkpointing=True)
