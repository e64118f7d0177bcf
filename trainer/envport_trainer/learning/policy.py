"""The policy under training: logprobs of the loss tokens of a packed batch.

The language-model head runs at loss positions only, a chunk of tokens at a time, log-softmax in fp32; the full
(tokens x vocabulary) logits never exist, and the backward pass computes each chunk again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from envport_trainer.errors import ModelError
from envport_trainer.learning.adapters import ordinary
from envport_trainer.learning.attention import use_planned_attention
from envport_trainer.learning.checkpointing import checkpoint_layers
from envport_trainer.learning.compiling import compile_layers
from envport_trainer.learning.lean_layers import keep_less
from envport_trainer.learning.logits import logits
from envport_trainer.learning.traced_attention import TensorPlan

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from peft import PeftModel
    from transformers import PreTrainedModel

    from envport_trainer.learning.packing import PackedBatch

CHUNK_TOKENS = 256
"""Loss positions a chunk: 256 x 49k fp32 logits are 50 MB. Fewer cost more kernel starts, more cost memory."""


class Policy:
    """A causal language model with fp32 weights whose matrix products run in `precision`."""

    def __init__(
        self, model: PreTrainedModel | PeftModel, precision: Literal["bf16", "fp32"], *, compiled: bool = False
    ) -> None:
        output_weight(model)  # refuses a head of another kind now, not in the first update
        self.model = model
        self.precision = precision
        self.compiled = compiled

    @classmethod
    def under_plan(
        cls,
        model: PreTrainedModel | PeftModel,
        precision: Literal["bf16", "fp32"],
        *,
        gradient_checkpointing: bool = False,
        compiled: bool = False,
    ) -> Policy:
        """`model` itself, with adapters or without, its attention changed to follow the plan of each batch, and its
        layers, if so asked, compiled.

        Raises:
            ModelError: its attention, head or layers are of a kind that is not supported.
        """
        use_planned_attention(ordinary(model))
        model.eval()  # no dropout: the ratio compares with what the sampler computed without
        keep_less(ordinary(model))
        if gradient_checkpointing:
            checkpoint_layers(ordinary(model))
        if compiled:
            compile_layers(ordinary(model))
        return cls(model, precision, compiled=compiled)

    def logprobs(self, batch: PackedBatch, temperature: float) -> Tensor:
        """fp32 logprobs (N,) of `batch.target_N` at `temperature`, with gradient."""
        plan = TensorPlan(batch.plan) if self.compiled else batch.plan
        with self._autocast():
            hidden: Tensor = (
                ordinary(self.model)
                .base_model(input_ids=batch.input_ids, position_ids=batch.position_ids, use_cache=False, plan=plan)
                .last_hidden_state
            )
        selected = hidden[0].index_select(0, batch.source_N)
        low = torch.bfloat16 if self.precision == "bf16" else torch.float32
        return target_logprobs(selected, output_weight(self.model), batch.target_N, temperature, low)

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.model.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16")


def target_logprobs(
    hidden_ND: Tensor, head_VD: Tensor, target_N: Tensor, temperature: float, dtype: torch.dtype
) -> Tensor:
    """log-softmax of `hidden @ head.T / temperature` at the targets, (N,), logits and all in fp32.

    The two matrix products of the gradient run in `dtype`. Logits rounded to bf16 made up half of the difference
    between a bf16 and an fp32 forward pass (mean |d logprob| .022 against .012 on SmolLM2-135M's answers).
    """
    out = _TargetLogprobs.apply(  # type: ignore[no-untyped-call]  # torch leaves it untyped
        hidden_ND, head_VD, target_N, temperature, dtype
    )
    assert isinstance(out, Tensor)
    return out


class _TargetLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, head: Tensor, target: Tensor, temperature: float, dtype: torch.dtype
    ) -> Tensor:
        logprob = torch.empty(hidden.shape[0], dtype=torch.float32, device=hidden.device)
        lse = torch.empty_like(logprob)
        for part in _chunks(hidden.shape[0]):
            scores = logits(hidden[part].float(), head.float()).div_(temperature)
            lse[part] = scores.logsumexp(-1)
            logprob[part] = scores.gather(1, target[part, None])[:, 0] - lse[part]
        ctx.save_for_backward(hidden, head, target, lse)
        ctx.temperature, ctx.dtype = temperature, dtype
        return logprob

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        hidden, head, target, lse = ctx.saved_tensors
        low = head.to(ctx.dtype)
        d_hidden = torch.empty_like(hidden)
        d_head = torch.zeros_like(head, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        for part in _chunks(hidden.shape[0]):
            h = hidden[part].to(ctx.dtype)
            d_logits = logits(hidden[part].float(), head.float())
            d_logits.div_(ctx.temperature).sub_(lse[part, None]).exp_()
            scale = grad[part, None] / ctx.temperature
            d_logits.mul_(-scale)
            d_logits.scatter_add_(1, target[part, None], scale)
            d_low = d_logits.to(ctx.dtype)
            d_hidden[part] = (d_low @ low).to(hidden.dtype)
            if d_head is not None:
                d_head += d_low.T @ h
        return d_hidden, None if d_head is None else d_head.to(head.dtype), None, None, None


def _chunks(count: int) -> list[slice]:
    return [slice(start, min(start + CHUNK_TOKENS, count)) for start in range(0, count, CHUNK_TOKENS)]


def output_weight(model: PreTrainedModel | PeftModel) -> Tensor:
    """The weight (V, D) of the language-model head: logits are the last hidden state times its transpose.

    Raises:
        ModelError: this model's logits are more than that.
    """
    model = ordinary(model)
    head = model.get_output_embeddings()
    if head is None or getattr(head, "bias", None) is not None:
        raise ModelError(f"{type(model).__name__} has no plain language-model head; expected one weight and no bias")
    for name in ("final_logit_softcapping", "logits_scaling", "logit_scale"):
        if getattr(model.config, name, None) not in (None, 1.0):
            raise ModelError(f"{type(model).__name__} scales its logits ({name}); that is not supported")
    weight: Tensor = head.weight
    return weight
