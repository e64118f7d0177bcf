"""A tiny model, two groups of made rollouts, and the loss and gradient of the learner's update on them."""

from __future__ import annotations

import copy
import dataclasses
import random
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from envport_trainer.config import TrainConfig
from envport_trainer.learning.learner import Learner
from envport_trainer.learning.policy import Policy
from envport_trainer.types import Finish, TokenRow, Trajectory
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from envport_trainer.learning.packing import PackedBatch
    from torch import Tensor

VOCABULARY = 89
PAD = 2
MAX_NEW_TOKENS = 7

Groups = list[list[Trajectory]]


class Updated(NamedTuple):
    """What an update computed."""

    loss: float
    gradient: dict[str, Tensor]
    values: dict[str, float]


class KeptGradients:
    """Stands in for the optimizer and keeps the gradient that it was to apply."""

    def __init__(self, model: LlamaForCausalLM) -> None:
        self.param_groups: list[dict[str, float]] = [{}]
        self.kept: dict[str, Tensor] = {}
        self._model = model

    def step(self) -> None:
        self.kept = {name: p.grad.clone() for name, p in self._model.named_parameters() if p.grad is not None}

    def zero_grad(self, *, set_to_none: bool) -> None:
        assert set_to_none
        self._model.zero_grad()


def small_model(seed: int = 3) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        pad_token_id=PAD,
        initializer_range=0.2,  # so that its probabilities are far from equal
    )
    return LlamaForCausalLM(config).float()


def nearby(model: LlamaForCausalLM) -> LlamaForCausalLM:
    """A model whose logprobs are some 0.1 to 0.5 from those of `model`."""
    torch.manual_seed(17)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for p in other.parameters():
            p += 0.3 * p.std() * torch.randn_like(p) if p.dim() > 1 else 0.0
    return other


def small_groups(model: LlamaForCausalLM) -> Groups:
    """Two groups of four, tool text in the middle, logprobs of a sampler that is off by 0.3 nats at random."""
    choice = random.Random(11)
    prompts = [[choice.randrange(3, VOCABULARY) for _ in range(length)] for length in (7, 4)]
    made = [[_trajectory(choice, group, prompt) for _ in range(4)] for group, prompt in enumerate(prompts)]
    torch.manual_seed(5)
    return [[_off_policy(model, trajectory) for trajectory in group] for group in made]


def _trajectory(choice: random.Random, group: int, prompt: list[int]) -> Trajectory:
    completion = [choice.randrange(3, VOCABULARY) for _ in range(choice.randint(4, 12))]
    sampled = [place == 0 or choice.random() > 0.3 for place in range(len(completion))]
    row = TokenRow(
        input_ids=prompt + completion,
        loss_mask=[False] * len(prompt) + sampled,
        logprobs=[0.0] * len(prompt + completion),
        prompt_length=len(prompt),
    )
    return Trajectory(
        env="http://env",
        env_digest=None,
        task_id=None,
        rollout_id="r",
        group=group,
        rows=[row],
        policy_version=0,
        finish=Finish.STOP,
        messages=[],
        reward=choice.random(),
    )


def _off_policy(model: LlamaForCausalLM, trajectory: Trajectory) -> Trajectory:
    (row,) = trajectory.rows
    exact = plain_logprobs(model, row)
    noisy = (torch.tensor(exact) + 0.3 * torch.randn(len(exact))).tolist()
    return with_row(trajectory, logprobs=[v if m else 0.0 for v, m in zip(noisy, row.loss_mask, strict=True)])


def with_row(trajectory: Trajectory, **changes: Any) -> Trajectory:
    """The trajectory with changes in its one row."""
    (row,) = trajectory.rows
    return dataclasses.replace(trajectory, rows=[dataclasses.replace(row, **changes)])


def plain_logprobs(model: LlamaForCausalLM, row: TokenRow, temperature: float = 1.0) -> list[float]:
    """The logprob of each token of a row after the first by an ordinary forward; 0.0 for the first."""
    ids = torch.tensor([row.input_ids])
    with torch.no_grad():
        logprob = functional.log_softmax(model(ids).logits[0, :-1] / temperature, -1).gather(1, ids[0, 1:, None])
    return [0.0, *logprob[:, 0].tolist()]


def settings(**changes: Any) -> TrainConfig:
    """fp32, no gradient clipping, and a batch that is split in several micro-batches."""
    return TrainConfig.model_validate(
        {
            "envs": [{"url": "http://env"}],
            "model": "tiny",
            "max_new_tokens": MAX_NEW_TOKENS,
            "max_tokens": MAX_NEW_TOKENS,
            "micro_batch_tokens": 40,
            "max_grad_norm": 1e9,
            "precision": "fp32",
        }
        | changes
    )


def update(
    model: LlamaForCausalLM,
    groups: Sequence[Sequence[Trajectory]],
    reference: LlamaForCausalLM | None = None,
    **changes: Any,
) -> Updated:
    """What `Learner.update` computes; the KL is to `reference`, or to the model itself."""
    config = settings(**changes)
    mine = copy.deepcopy(model)
    learner = Learner(Policy.under_plan(mine, config.precision), config, _logprobs_of(reference))
    gradients = KeptGradients(mine)
    learner.optimizer = gradients  # type: ignore[assignment]  # what the learner uses of an optimizer
    values = learner.update(groups, step=0)
    return Updated(values["loss"], gradients.kept, values)


def _logprobs_of(model: LlamaForCausalLM | None) -> Any:
    if model is None:
        return None
    policy = Policy.under_plan(copy.deepcopy(model), "fp32")

    def logprobs(batch: PackedBatch, temperature: float) -> Tensor:
        return policy.logprobs(batch, temperature).detach()

    return logprobs


def distance(got: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """The largest relative difference of the gradient of any parameter."""
    assert got.keys() == expected.keys()
    return max(float((got[name] - expected[name]).norm() / expected[name].norm()) for name in expected)


def padded(groups: Sequence[Sequence[Trajectory]]) -> dict[str, Tensor]:
    """Prompts padded on the left and completions on the right, with the advantages reward - mean."""
    rows = [row for group in groups for trajectory in group for row in trajectory.rows]
    width = max(row.prompt_length for row in rows)
    prompts = [row.input_ids[: row.prompt_length] for row in rows]
    sampled = [row.loss_mask[row.prompt_length :] for row in rows]
    return {
        "prompt_ids": torch.tensor([[PAD] * (width - len(prompt)) + prompt for prompt in prompts]),
        "prompt_mask": torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]),
        "completion_ids": _right([row.input_ids[row.prompt_length :] for row in rows], PAD).long(),
        "completion_mask": _right([[1] * len(mask) for mask in sampled], 0).long(),
        "tool_mask": _right(sampled, 0).long(),
        "old_per_token_logps": completions(groups, [row.logprobs for row in rows]),
        "advantages": torch.tensor([t.reward - fmean(r.reward for r in group) for group in groups for t in group]),
        "num_items_in_batch": torch.tensor(sum(map(sum, sampled))),
    }


def completions(groups: Sequence[Sequence[Trajectory]], values: Iterable[Sequence[float]]) -> Tensor:
    """Of `values` for each token of each row those of the completions, padded on the right with 0."""
    rows = [row for group in groups for trajectory in group for row in trajectory.rows]
    return _right([each[row.prompt_length :] for each, row in zip(values, rows, strict=True)], 0.0)


def _right(rows: Sequence[Sequence[float]], fill: float) -> Tensor:
    length = max(map(len, rows))
    return torch.tensor([[*row, *[fill] * (length - len(row))] for row in rows])
