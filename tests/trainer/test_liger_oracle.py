"""An update's loss and gradient beside Liger's fused GRPO loss, which like ours never holds the full logits."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
import torch

from .updates import (
    MAX_NEW_TOKENS,
    Groups,
    completions,
    distance,
    nearby,
    padded,
    plain_logprobs,
    small_groups,
    small_model,
    update,
)

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

LOSS_TYPES = {"token": "dapo", "sequence": "grpo", "constant": "dr_grpo"}


def liger_update(
    model: LlamaForCausalLM, reference: LlamaForCausalLM, groups: Groups, values: dict[str, Any]
) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradient of Liger's loss on the hidden states of an ordinary forward with padding."""
    liger = pytest.importorskip("liger_kernel.chunked_loss", reason="needs liger-kernel: see the Makefile's dev target")
    temperature, kl = values.get("temperature", 1.0), values.get("kl_weight", 0.0)
    high = values.get("clip_high", 0.28)
    cispo = values["loss"] == "cispo"
    kind = "cispo" if cispo else LOSS_TYPES[values.get("aggregation", "token")]
    loss_of = liger.LigerFusedLinearGRPOLoss(
        beta=kl,
        compiled=False,
        use_ref_model=kl > 0,
        loss_type=kind,
        epsilon_low=values.get("clip_low", 0.2),
        epsilon_high=1 + high if cispo else high,
        max_completion_length=MAX_NEW_TOKENS,
        importance_sampling_level="sequence" if values["loss"] == "gspo" else "token",
        temperature=temperature,
        use_bias_correction_kl=True,
    )
    inputs, mine = padded(groups), copy.deepcopy(model)
    rows = [row for group in groups for trajectory in group for row in trajectory.rows]
    ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1)
    mask = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1)
    hidden = mine.model(input_ids=ids, attention_mask=mask).last_hidden_state
    loss, _ = loss_of(
        hidden[:, -inputs["completion_ids"].shape[1] - 1 : -1],
        mine.lm_head.weight,
        inputs["completion_ids"],
        (inputs["completion_mask"] * inputs["tool_mask"]).float(),
        inputs["advantages"],
        ref_per_token_logps=completions(groups, [plain_logprobs(reference, row, temperature) for row in rows]),
        old_per_token_logps=inputs["old_per_token_logps"],
        num_items_in_batch=inputs["num_items_in_batch"].float() if kind in ("dapo", "cispo") else None,
    )
    loss.backward()
    return loss.item(), {name: p.grad for name, p in mine.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize(
    "values",
    [
        {"loss": "clip"},
        {"loss": "clip", "clip_low": 0.05, "clip_high": 0.05},
        {"loss": "clip", "kl_weight": 0.05},
        {"loss": "clip", "aggregation": "sequence"},
        {"loss": "clip", "aggregation": "sequence", "kl_weight": 0.05},
        {"loss": "clip", "aggregation": "constant", "clip_high": 0.2},
        {"loss": "gspo", "aggregation": "sequence", "clip_low": 0.05, "clip_high": 0.1},
        {"loss": "gspo"},
        {"loss": "cispo"},
        {"loss": "cispo", "clip_high": 4.0, "kl_weight": 0.05},
    ],
    ids=lambda values: " ".join(f"{key}={value}" for key, value in values.items()),
)
def test_an_update_has_the_loss_and_the_gradient_of_liger(values, temperature):
    model = small_model()
    groups, reference = small_groups(model), nearby(model)
    expected_loss, expected = liger_update(model, reference, groups, values | {"temperature": temperature})
    got = update(model, groups, reference, temperature=temperature, **values)
    assert got.loss == pytest.approx(expected_loss, abs=1e-6)
    assert distance(got.gradient, expected) < 1e-5
