"""Attention that follows a plan: which keys each query may see, without padding and without a mask over everything.

A plan is handed to the model's forward as the keyword `plan`; transformers carries it to every layer's attention, which
calls `plan.attend`. Training uses `packing.PackedPlan`, sampling the plans of `samplers/block_attention.py`. The
model's weights and everything outside attention stay transformers' own.

Covered: causal self-attention with rotary or absolute positions and grouped-query heads. Refused by name: sliding
windows shorter than the text, attention sinks, score soft-capping, and a call without a plan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

from envport_trainer.errors import ModelError

if TYPE_CHECKING:
    import torch

IMPLEMENTATION = "envport_plan"


class AttentionPlan(Protocol):
    """Where each query looks."""

    longest: int
    """Longest distance in tokens between a query and a key."""

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """Attention output of shape (B, Q, heads, head_dim) for query (B, heads, Q, head_dim), key and value
        (B, kv_heads, Q, head_dim), which are those of the new tokens."""
        ...


def use_planned_attention(model: PreTrainedModel) -> None:
    """Make `model` take its attention from the `plan` given to its forward.

    Raises:
        ModelError: the architecture does not take its attention from transformers' registry.
    """
    try:
        model.set_attn_implementation(IMPLEMENTATION)
    except ValueError as error:
        name = type(model).__name__
        raise ModelError(f"{name} cannot use a planned attention ({error}); use a model of a current family") from error


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    plan: AttentionPlan | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    if plan is None:
        raise ModelError("this model runs under a plan: give its forward plan=…, or load it anew for ordinary use")
    if softcap is not None or s_aux is not None or dropout:
        raise ModelError("attention with soft-capping, sinks or dropout is not supported")
    if sliding_window is not None and plan.longest > sliding_window:
        raise ModelError(f"a text of {plan.longest} tokens is longer than the model's sliding window, {sliding_window}")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return plan.attend(module.layer_idx, query, key, value, scale), None


def _no_mask(*_args: Any, **_kwargs: Any) -> None:
    """The plan knows what may be seen; no mask tensor is built."""


AttentionInterface.register(IMPLEMENTATION, _attend)
AttentionMaskInterface.register(IMPLEMENTATION, _no_mask)
