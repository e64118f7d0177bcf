"""An update's loss and gradient beside those of TRL 1.16's own loss, for every setting that TRL can express.

TRL has no name for some of our settings; what they mean is then put together from two passes of its loss, which is
linear in its terms: one without KL, and one of the KL alone, with advantages of 0 and old logprobs such that its ratio
is ours. That is so for GSPO with KL, where TRL weighs a token's KL by the ratio of its sequence, and for a correction
with KL, where TRL leaves the KL uncorrected. GSPO with a correction is TRL's loss by tokens: the ratio of the policy to
itself is 1 for tokens and sequences alike, and TRL's by sequences would give each token the mean of its rollout's
weights in place of its own.
"""

from __future__ import annotations

import copy
import math
from itertools import product
from statistics import fmean
from typing import TYPE_CHECKING, Any

import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from .updates import (
    MAX_NEW_TOKENS,
    PAD,
    VOCABULARY,
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
    from collections.abc import Callable

    from torch import Tensor

    from .updates import Groups

pytestmark = pytest.mark.filterwarnings("ignore:TRL currently supports vLLM", "ignore::FutureWarning")

LOW, HIGH = 0.95, 1.06
"""Bounds of the corrections: the sampler's noise takes some tokens, and the means of some rollouts, beyond them."""
KL_WEIGHT = 0.05

TrlLoss = tuple[float, dict[str, "Tensor"]]


def configurations() -> list[dict[str, Any]]:
    """90 settings. `bnpo` is TRL's other name of our `token`, where one batch is the whole of it."""
    clips = {"clip": [(0.2, 0.2), (0.2, 0.28)], "gspo": [(0.05, 0.05), (0.05, 0.1)], "cispo": [(0.2, 0.28), (0.2, 4.0)]}
    aggregations = {
        "clip": ["token", "sequence", "constant"],
        "gspo": ["token", "sequence", "constant"],
        "cispo": ["token"],
    }
    made: list[dict[str, Any]] = []
    for loss, kl in product(clips, (0.0, KL_WEIGHT)):
        common = {"loss": loss, "kl_weight": kl}
        for aggregation in aggregations[loss]:
            here = common | {"aggregation": aggregation}
            made += [here | {"clip_low": low, "clip_high": high} for low, high in clips[loss]]
            made += [here | {"temperature": 0.7}]
            kinds = ("truncate", "mask", "geometric")
            made += [here | {"correction": kind, "correction_low": LOW, "correction_high": HIGH} for kind in kinds]
    made += [
        {"loss": "clip", "kl_weight": kl, "trl": "bnpo", "clip_high": high}
        for kl in (0.0, KL_WEIGHT)
        for high in (0.2, 0.28)
    ]
    made += [{"loss": "clip", "clip_low": 0.05, "clip_high": 0.05, "kl_weight": kl} for kl in (0.0, KL_WEIGHT)]
    return made


def name_of(values: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in values.items() if not key.startswith("correction_"))


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    return small_model()


@pytest.fixture(scope="module")
def reference(model: LlamaForCausalLM) -> LlamaForCausalLM:
    return nearby(model)


@pytest.fixture(scope="module")
def groups(model: LlamaForCausalLM) -> Groups:
    return small_groups(model)


@pytest.fixture(scope="module")
def trainer_at(tmp_path_factory: pytest.TempPathFactory, model: LlamaForCausalLM) -> Callable[[float], Any]:
    """TRL's trainer for a temperature, which it builds into the model's head; made once for each."""
    trl = pytest.importorskip("trl", reason="needs TRL: pip install --group oracle")
    datasets = pytest.importorskip("datasets")
    from tokenizers import Tokenizer, models

    words = Tokenizer(models.WordLevel({f"w{n}": n for n in range(VOCABULARY)}, unk_token="w0"))
    made: dict[float, Any] = {}

    def trainer(temperature: float) -> Any:
        if temperature not in made:
            made[temperature] = trl.GRPOTrainer(
                model=copy.deepcopy(model),
                reward_funcs=lambda completions, **_: [0.0] * len(completions),
                args=trl.GRPOConfig(
                    output_dir=str(tmp_path_factory.mktemp("trl")),
                    use_cpu=True,
                    bf16=False,
                    report_to=[],
                    gradient_checkpointing=False,
                    per_device_train_batch_size=8,
                    num_generations=4,
                    max_completion_length=MAX_NEW_TOKENS,
                    temperature=temperature,
                    beta=0.0,
                ),
                processing_class=PreTrainedTokenizerFast(tokenizer_object=words, eos_token="w1", pad_token=f"w{PAD}"),
                train_dataset=datasets.Dataset.from_list([{"prompt": "w3"}] * 8),
            )
            made[temperature].current_gradient_accumulation_steps = 1
        return made[temperature]

    return trainer


def trl_pass(trainer: Any, inputs: dict[str, Tensor], **attributes: Any) -> TrlLoss:
    """Loss and gradient of TRL's `_compute_loss` with the trainer's attributes set."""
    for attribute, value in attributes.items():
        assert hasattr(trainer, attribute), attribute
        setattr(trainer, attribute, value)
    trainer.model.train()
    trainer.model.zero_grad()
    loss = trainer._compute_loss(trainer.model, inputs)
    loss.backward()
    gradient = {name: p.grad.clone() for name, p in trainer.model.named_parameters() if p.grad is not None}
    return float(loss.detach()), gradient


def trl_update(
    trainer: Any, model: LlamaForCausalLM, reference: LlamaForCausalLM, groups: Groups, values: dict[str, Any]
) -> TrlLoss:
    """What TRL's loss makes of our settings."""
    loss, kl, temperature = values["loss"], values["kl_weight"], values.get("temperature", 1.0)
    low, high = values.get("clip_low", 0.2), values.get("clip_high", 0.28)
    correction = values.get("correction", "none")
    rows = [row for group in groups for trajectory in group for row in trajectory.rows]
    inputs = padded(groups)
    inputs["ref_per_token_logps"] = completions(groups, [plain_logprobs(reference, row, temperature) for row in rows])
    own = completions(groups, [plain_logprobs(model, row, temperature) for row in rows])
    names = {"token": "dapo", "sequence": "grpo", "constant": "dr_grpo"}
    policy = {
        "loss_type": "cispo" if loss == "cispo" else values.get("trl", names[values.get("aggregation", "token")]),
        "importance_sampling_level": "sequence" if loss == "gspo" and correction == "none" else "token",
        "epsilon_low": low,
        # TRL reads epsilon_high of CISPO as the cap itself, not as what is added to 1.
        "epsilon_high": 1 + high if loss == "cispo" else high,
        "use_vllm": correction != "none",
        "beta": kl,
    }
    if correction == "none" and (loss != "gspo" or not kl):
        return trl_pass(trainer, inputs, **policy)
    of_kl = inputs | {"advantages": torch.zeros(8)}
    if correction != "none":
        weight = weights(correction, own, inputs)
        inputs = {key: value for key, value in inputs.items() if key != "old_per_token_logps"}
        inputs["importance_sampling_ratio"] = weight
        of_kl["old_per_token_logps"] = own - weight.log().clamp(min=-100.0)
    loss_, gradient = trl_pass(trainer, inputs, **policy | {"beta": 0.0})
    if kl:
        more, gradient_kl = trl_pass(
            trainer, of_kl, **policy | {"use_vllm": False, "importance_sampling_level": "token"}
        )
        return loss_ + more, {name: gradient[name] + gradient_kl[name] for name in gradient}
    return loss_, gradient


def weights(correction: str, own: Tensor, inputs: dict[str, Tensor]) -> Tensor:
    """The weight of each token, worked out one by one."""
    sampled = (inputs["completion_mask"] * inputs["tool_mask"]).tolist()
    out = torch.ones_like(own)
    for row, mask in enumerate(sampled):
        log_rho = (own[row] - inputs["old_per_token_logps"][row]).tolist()
        mean = math.exp(fmean(value for value, here in zip(log_rho, mask, strict=True) if here))
        for place, here in enumerate(mask):
            if here:
                rho = mean if correction == "geometric" else math.exp(log_rho[place])
                inside = LOW <= rho <= HIGH
                out[row, place] = min(rho, HIGH) if correction == "truncate" else rho if inside else 0.0
    return out


@pytest.mark.parametrize("values", configurations(), ids=name_of)
def test_an_update_has_the_loss_and_the_gradient_of_trl(trainer_at, model, reference, groups, values):
    expected_loss, expected = trl_update(trainer_at(values.get("temperature", 1.0)), model, reference, groups, values)
    mine = {key: value for key, value in values.items() if key != "trl"}
    got = update(model, groups, reference, **mine)
    assert got.loss == pytest.approx(expected_loss, abs=1e-6)
    assert distance(got.gradient, expected) < 1e-5


def test_the_configurations_differ_and_are_at_least_72():
    names = [name_of(values) for values in configurations()]
    assert len(set(names)) == len(names) >= 72


@pytest.mark.parametrize("kind", ["mask", "geometric"])
def test_the_corrections_beside_trl_drop_some_tokens_and_keep_some(model, groups, kind):
    share = update(model, groups, correction=kind, correction_low=LOW, correction_high=HIGH).values[
        "correction_dropped_share"
    ]
    assert 0.1 < share < 0.9
