"""What a forward pass keeps for its backward pass, and that the layers which keep less compute the same."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Literal

import pytest
import torch
from envport_trainer.algorithm.batch import TrainingRow
from envport_trainer.learning.adapters import add_adapters, ordinary
from envport_trainer.learning.attention import use_planned_attention
from envport_trainer.learning.lean_layers import keep_less
from envport_trainer.learning.packing import pack
from envport_trainer.learning.policy import Policy, target_logprobs
from envport_trainer.types import TokenRow
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel
from transformers.models.gemma2.modeling_gemma2 import Gemma2RMSNorm
from transformers.models.llama.modeling_llama import LlamaMLP, LlamaRMSNorm

if TYPE_CHECKING:
    from collections.abc import Callable

    from envport_trainer.learning.packing import PackedBatch
    from torch import Tensor

WIDTH, INNER, LAYERS, HEADS, KV_HEADS = 48, 128, 2, 6, 2


def llama() -> PreTrainedModel:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=97,
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config).float()
    for name, parameter in model.named_parameters():
        if "norm" in name:
            parameter.data = torch.rand_like(parameter) + 0.5
    return model


def batch() -> PackedBatch:
    def row(group: int, completion: list[int]) -> TrainingRow:
        ids = [3, group, 5, *completion]
        mask = [False] * 3 + [True] * len(completion)
        return TrainingRow(TokenRow(ids, mask, [0.0] * len(ids), 3), [1.0] * len(ids), group, sum(completion))

    (packed,) = pack([row(0, list(range(10, 40))), row(0, list(range(20, 70))), row(1, list(range(30, 60)))], 1000)
    return packed


def kept(forward: Callable[[], object], model: nn.Module) -> list[Tensor]:
    """One tensor for each storage that `forward` keeps for the backward pass, weights apart."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    found: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        found[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        forward()
    return [tensor for place, tensor in found.items() if place not in weights]


def test_a_llama_layer_keeps_a_fixed_number_of_bytes_a_token() -> None:
    model = llama()
    policy = Policy.under_plan(model, "bf16")
    packed = batch()
    tokens = packed.input_ids.shape[1]
    stored = kept(lambda: policy.logprobs(packed, 1.0), model)
    of_tokens = [t for t in stored if tokens in t.shape and t.dtype.is_floating_point]
    residual, rounded, inner = 4 * WIDTH, 2 * WIDTH, 2 * INNER
    attention = 2 * rounded + 2 * 2 * WIDTH * KV_HEADS // HEADS
    layer = 2 * (residual + 4) + 4 * rounded + attention + 2 * inner
    rotary, last_norm = 2 * 4 * WIDTH // HEADS, residual + 4
    assert sum(t.nbytes for t in of_tokens) == tokens * (LAYERS * layer + rotary + last_norm)


def test_logits_exist_for_a_chunk_of_loss_tokens_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    class Widest(TorchDispatchMode):
        """The most rows of a tensor over the vocabulary that any operation gives."""

        rows = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor) and out.dim() == 2 and out.shape[1] == 97:
                self.rows = max(self.rows, out.shape[0])
            return out

    monkeypatch.setattr("envport_trainer.learning.policy.CHUNK_TOKENS", 16)
    policy = Policy.under_plan(llama(), "fp32")
    with Widest() as seen:
        policy.logprobs(batch(), 1.0).sum().backward()
    assert len(batch().target_N) == 110
    assert seen.rows in (16, WIDTH)  # logits; torch's ordinary product turns the head over first, (D, V)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_lean_layers_give_the_logprobs_and_gradients_of_transformers_own(precision: Literal["bf16", "fp32"]) -> None:
    """The same planned attention on both sides, so that all of the difference is the layers'."""
    reference = llama()
    use_planned_attention(reference)
    lean = copy.deepcopy(reference)
    keep_less(lean)
    expected_N = Policy(reference, precision).logprobs(batch(), 0.9)
    got_N = Policy(lean, precision).logprobs(batch(), 0.9)
    (expected_N * expected_N).sum().backward()
    (got_N * got_N).sum().backward()
    assert torch.equal(got_N, expected_N)
    for (name, left), right in zip(lean.named_parameters(), reference.parameters(), strict=True):
        assert left.grad is not None
        assert right.grad is not None
        error = (left.grad - right.grad).norm() / right.grad.norm()
        assert error < (1e-6 if precision == "fp32" else 5e-3), f"{name}: relative gradient error {error:.1e}"


def test_the_gradient_of_a_lean_swiglu_is_the_numeric_one() -> None:
    generator = torch.Generator().manual_seed(2)
    mlp = LlamaMLP(LlamaConfig(hidden_size=6, intermediate_size=10, num_attention_heads=1)).double()
    for parameter in mlp.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    keep_less(nn.ModuleList([mlp]))
    assert type(mlp) is not LlamaMLP
    x = torch.randn(2, 3, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *_: mlp(x), (x, *mlp.parameters()))


def test_modules_that_compute_something_else_stay_as_they_are() -> None:
    class Louder(LlamaRMSNorm):
        def forward(self, hidden_states: Tensor) -> Tensor:
            return 2 * super().forward(hidden_states)

    config = LlamaConfig(hidden_size=8, num_attention_heads=1, intermediate_size=16)
    adapted = add_adapters(llama(), 2, 4.0)
    gelu = LlamaMLP(LlamaConfig(hidden_size=8, num_attention_heads=1, intermediate_size=16, hidden_act="gelu"))
    biased = LlamaMLP(LlamaConfig(hidden_size=8, num_attention_heads=1, intermediate_size=16, mlp_bias=True))
    odd = nn.ModuleList([Louder(8), Gemma2RMSNorm(8), gelu, biased, nn.LayerNorm(8)])
    usual = nn.ModuleList([LlamaRMSNorm(8), LlamaMLP(config)])
    before = [type(module) for module in odd]
    for modules in (odd, usual, ordinary(adapted)):
        keep_less(modules)
    assert [type(module) for module in odd] == before
    assert [type(module).__name__ for module in usual] == ["LeanLlamaRMSNorm", "LeanLlamaMLP"]
    assert {type(layer.mlp) for layer in ordinary(adapted).model.layers} == {LlamaMLP}
    assert [type(layer.input_layernorm).__name__ for layer in ordinary(adapted).model.layers] == [
        "LeanLlamaRMSNorm"
    ] * 2


def test_a_frozen_head_gets_no_gradient_and_the_hidden_states_get_theirs() -> None:
    generator = torch.Generator().manual_seed(3)
    hidden = torch.randn(5, 8, generator=generator, requires_grad=True)
    head = torch.randn(11, 8, generator=generator)
    target = torch.tensor([0, 3, 10, 7, 7])
    target_logprobs(hidden, head, target, 0.7, torch.float32).sum().backward()
    again = hidden.detach().clone().requires_grad_()
    torch.log_softmax(again @ head.T / 0.7, -1).gather(1, target[:, None]).sum().backward()
    assert hidden.grad is not None
    torch.testing.assert_close(hidden.grad, again.grad, rtol=1e-5, atol=1e-6)
    assert head.grad is None
