"""An update's loss and gradient beside TRL's own loss, and what they must not depend on."""

from __future__ import annotations

import copy
import dataclasses
import random
from statistics import fmean
from typing import TYPE_CHECKING, Any

import pytest
import torch
from envport_trainer.config import TrainConfig
from envport_trainer.learning.learner import Learner
from envport_trainer.learning.packing import Row, pack
from envport_trainer.learning.policy import Policy
from envport_trainer.types import Finish, Trajectory
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from torch import Tensor

VOCABULARY = 89
PAD = 2

pytestmark = pytest.mark.filterwarnings("ignore:TRL currently supports vLLM", "ignore::FutureWarning")


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


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        pad_token_id=PAD,
    )
    return LlamaForCausalLM(config).float()


@pytest.fixture(scope="module")
def groups(model: LlamaForCausalLM) -> list[list[Trajectory]]:
    """Two groups of four, tool text in the middle, logprobs of a sampler that is off by 0.3 nats at random."""
    choice = random.Random(11)
    prompts = [[choice.randrange(3, VOCABULARY) for _ in range(length)] for length in (7, 4)]
    made = [[_trajectory(choice, group, prompt) for _ in range(4)] for group, prompt in enumerate(prompts)]
    torch.manual_seed(5)
    return [[_off_policy(model, trajectory) for trajectory in group] for group in made]


def _trajectory(choice: random.Random, group: int, prompt: list[int]) -> Trajectory:
    completion = [choice.randrange(3, VOCABULARY) for _ in range(choice.randint(4, 12))]
    sampled = [place == 0 or choice.random() > 0.3 for place in range(len(completion))]
    return Trajectory(
        env="http://env",
        env_digest=None,
        task_id=None,
        rollout_id="r",
        group=group,
        input_ids=prompt + completion,
        loss_mask=[False] * len(prompt) + sampled,
        logprobs=[0.0] * len(prompt + completion),
        prompt_length=len(prompt),
        policy_version=0,
        finish=Finish.STOP,
        messages=[],
        reward=choice.random(),
    )


def _off_policy(model: LlamaForCausalLM, trajectory: Trajectory) -> Trajectory:
    ids = torch.tensor([trajectory.input_ids])
    with torch.no_grad():
        logprob = functional.log_softmax(model(ids).logits[0, :-1], -1).gather(1, ids[0, 1:, None])[:, 0]
    noisy = [0.0, *(logprob + 0.3 * torch.randn(logprob.shape)).tolist()]
    kept = [value if mask else 0.0 for value, mask in zip(noisy, trajectory.loss_mask, strict=True)]
    return dataclasses.replace(trajectory, logprobs=kept)


def update(
    model: LlamaForCausalLM, groups: Sequence[Sequence[Trajectory]], **settings: Any
) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradient of `Learner.update`."""
    config = TrainConfig.model_validate(
        {
            "envs": [{"url": "http://env"}],
            "model": "tiny",
            "max_new_tokens": 1,
            "max_tokens": 1,
            "max_grad_norm": 1e9,
            "precision": "fp32",
        }
        | settings
    )
    mine = copy.deepcopy(model)
    learner = Learner(Policy.under_plan(mine, config.precision), config)
    gradients = KeptGradients(mine)
    learner.optimizer = gradients  # type: ignore[assignment]  # what the learner uses of an optimizer
    values = learner.update(groups, step=0)
    return values["loss"], gradients.kept


def distance(got: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """The largest relative difference of the gradient of any parameter."""
    assert got.keys() == expected.keys()
    return max(float((got[name] - expected[name]).norm() / expected[name].norm()) for name in expected)


def trl_update(
    folder: Path, model: LlamaForCausalLM, groups: Sequence[Sequence[Trajectory]], **settings: Any
) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradient of TRL's `GRPOTrainer` on the same rollouts."""
    trl = pytest.importorskip("trl", reason="needs TRL: pip install --group oracle")
    datasets = pytest.importorskip("datasets")
    from tokenizers import Tokenizer, models

    words = Tokenizer(models.WordLevel({f"w{n}": n for n in range(VOCABULARY)}, unk_token="w0"))
    trainer = trl.GRPOTrainer(
        model=copy.deepcopy(model),
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=trl.GRPOConfig(
            output_dir=str(folder),
            use_cpu=True,
            bf16=False,
            report_to=[],
            gradient_checkpointing=False,
            per_device_train_batch_size=8,
            num_generations=4,
            beta=0.0,
            **settings,
        ),
        processing_class=PreTrainedTokenizerFast(tokenizer_object=words, eos_token="w1", pad_token=f"w{PAD}"),
        train_dataset=datasets.Dataset.from_list([{"prompt": "w3"}] * 8),
    )
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.train()
    loss = trainer._compute_loss(trainer.model, _padded(groups))
    loss.backward()
    return float(loss.detach()), {name: p.grad for name, p in trainer.model.named_parameters() if p.grad is not None}


def _padded(groups: Sequence[Sequence[Trajectory]]) -> dict[str, Tensor]:
    """Prompts padded on the left and completions on the right, as TRL batches them."""
    rows = [trajectory for group in groups for trajectory in group]
    width = max(row.prompt_length for row in rows)
    length = max(len(row.input_ids) - row.prompt_length for row in rows)

    def left(values: list[int], fill: int) -> list[int]:
        return [fill] * (width - len(values)) + values

    def right(values: Iterable[float], fill: float) -> list[float]:
        listed = list(values)
        return listed + [fill] * (length - len(listed))

    prompts = [row.input_ids[: row.prompt_length] for row in rows]
    completions = [row.input_ids[row.prompt_length :] for row in rows]
    sampled = [row.loss_mask[row.prompt_length :] for row in rows]
    return {
        "prompt_ids": torch.tensor([left(prompt, PAD) for prompt in prompts]),
        "prompt_mask": torch.tensor([left([1] * len(prompt), 0) for prompt in prompts]),
        "completion_ids": torch.tensor([right(completion, PAD) for completion in completions]).long(),
        "completion_mask": torch.tensor([right([1] * len(completion), 0) for completion in completions]).long(),
        "tool_mask": torch.tensor([right(mask, 0) for mask in sampled]).long(),
        "old_per_token_logps": torch.tensor([right(row.logprobs[row.prompt_length :], 0.0) for row in rows]),
        "advantages": torch.tensor([row.reward - fmean(r.reward for r in group) for group in groups for row in group]),
        "num_items_in_batch": torch.tensor(sum(map(sum, sampled))),
    }


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ({"loss": "clip", "clip_low": 0.2, "clip_high": 0.28}, {"loss_type": "dapo", "epsilon_high": 0.28}),
        ({"loss": "clip", "clip_low": 0.05, "clip_high": 0.05}, {"loss_type": "dapo", "epsilon": 0.05}),
        # TRL reads epsilon_high of CISPO as the cap itself, not as what is added to 1.
        ({"loss": "cispo", "clip_high": 0.28}, {"loss_type": "cispo", "epsilon_high": 1.28}),
    ],
    ids=["clip", "tight clip", "cispo"],
)
def test_an_update_has_the_loss_and_the_gradient_of_trl(tmp_path, model, groups, mine, theirs, temperature):
    expected_loss, expected = trl_update(tmp_path, model, groups, temperature=temperature, **theirs)
    loss, gradient = update(model, groups, temperature=temperature, micro_batch_tokens=40, **mine)
    assert loss == pytest.approx(expected_loss, abs=1e-6)
    assert distance(gradient, expected) < 1e-5


@pytest.mark.parametrize("micro_batch_tokens", [1, 23, 40])
def test_the_gradient_does_not_depend_on_the_split_in_micro_batches(model, groups, micro_batch_tokens):
    whole_loss, whole = update(model, groups, micro_batch_tokens=10_000)
    loss, gradient = update(model, groups, micro_batch_tokens=micro_batch_tokens)
    assert loss == pytest.approx(whole_loss, abs=1e-7)
    assert distance(gradient, whole) < 1e-5


def test_the_gradient_does_not_depend_on_the_order_of_groups_and_rows(model, groups):
    whole_loss, whole = update(model, groups)
    shuffled = [[group[place] for place in (2, 0, 3, 1)] for group in groups[::-1]]
    loss, gradient = update(model, shuffled)
    assert loss == pytest.approx(whole_loss, abs=1e-7)
    assert distance(gradient, whole) < 1e-5


def test_a_row_without_loss_tokens_counts_in_the_baseline_and_nowhere_else(model, groups):
    first, *others = groups[0]
    silent = dataclasses.replace(first, loss_mask=[False] * len(first.input_ids))
    _, expected = update(model, [[silent, *others]], micro_batch_tokens=10_000)
    moved = dataclasses.replace(silent, input_ids=[*silent.input_ids[:-1], 5])
    loss, gradient = update(model, [[moved, *others]], micro_batch_tokens=1)
    tokens = sum(sum(row.loss_mask) for row in others)
    alone = _tokens_loss(model, others, fmean(row.reward for row in groups[0]))
    assert loss == pytest.approx(alone / tokens, abs=1e-6)
    assert distance(gradient, expected) < 1e-5


def _tokens_loss(model: LlamaForCausalLM, rows: list[Trajectory], baseline: float) -> float:
    """Sum of the clipped token losses, row by row through an ordinary forward."""
    total = 0.0
    for row in rows:
        ids = torch.tensor([row.input_ids])
        with torch.no_grad():
            logprob = functional.log_softmax(model(ids).logits[0, :-1], -1).gather(1, ids[0, 1:, None])[:, 0]
        for place, sampled in enumerate(row.loss_mask):
            if sampled:
                ratio = float((logprob[place - 1] - row.logprobs[place]).exp())
                advantage = row.reward - baseline
                total -= min(ratio * advantage, min(max(ratio, 0.8), 1.28) * advantage)
    return total


@pytest.mark.parametrize("loss", ["clip", "cispo", "dppo"])
def test_a_batch_without_any_loss_token_has_a_gradient_of_zero(model, groups, loss):
    silent = [dataclasses.replace(row, loss_mask=[False] * len(row.input_ids)) for row in groups[0]]
    value, gradient = update(model, [silent], loss=loss)
    assert value == 0.0
    assert gradient
    assert all(float(part.abs().max()) == 0.0 for part in gradient.values())


@pytest.mark.parametrize("loss", ["clip", "cispo", "dppo"])
def test_a_sampler_logprob_that_is_no_number_counts_as_the_policys_own(model, groups, loss):
    row = groups[0][0]
    place = row.loss_mask.index(True)
    ids = torch.tensor([row.input_ids])
    with torch.no_grad():
        own = float(functional.log_softmax(model(ids).logits[0, place - 1], -1)[row.input_ids[place]])
    known, unknown = (
        [dataclasses.replace(row, logprobs=[*row.logprobs[:place], value, *row.logprobs[place + 1 :]])]
        for value in (own, float("nan"))
    )
    expected_loss, expected = update(model, [known + groups[0][1:]], loss=loss)
    got_loss, gradient = update(model, [unknown + groups[0][1:]], loss=loss)
    assert got_loss == pytest.approx(expected_loss, abs=1e-6)
    assert distance(gradient, expected) < 1e-5


def test_groups_of_equal_rewards_move_nothing(model, groups):
    equal = [[dataclasses.replace(row, reward=0.25) for row in group] for group in groups]
    loss, gradient = update(model, equal)
    assert loss == 0.0
    assert all(float(part.abs().max()) == 0.0 for part in gradient.values())


def test_a_tools_text_changes_nothing_before_it_nor_in_other_rows(model, groups):
    policy = Policy.under_plan(copy.deepcopy(model), "fp32")
    rows = [Row(trajectory, 1.0) for trajectory in groups[0]]
    number, place = _last_tool_token(rows)
    before = _logprobs(policy, rows)
    changed = list(rows[number].trajectory.input_ids)
    changed[place] = (changed[place] + 1) % VOCABULARY
    rows[number] = Row(dataclasses.replace(rows[number].trajectory, input_ids=changed), 1.0)
    after = _logprobs(policy, rows)

    later = [(row, at) for row, at in before if before[row, at] != after[row, at]]
    assert later
    assert all(row == number and at > place for row, at in later)


def _last_tool_token(rows: list[Row]) -> tuple[int, int]:
    """A row and the place of a tool's token in it that sampled tokens follow and precede."""
    for number, row in enumerate(rows):
        mask = row.trajectory.loss_mask
        for place in range(len(mask) - 2, row.trajectory.prompt_length, -1):
            if not mask[place] and any(mask[place + 1 :]):
                return number, place
    raise AssertionError("the fixture has no tool token between sampled ones")


def _logprobs(policy: Policy, rows: list[Row]) -> dict[tuple[int, int], float]:
    """The logprob of every sampled token by row and place."""
    (batch,) = pack(rows, 10_000)
    with torch.no_grad():
        values = policy.logprobs(batch, 1.0).tolist()
    places = [
        (number, place) for number, row in enumerate(rows) for place, on in enumerate(row.trajectory.loss_mask) if on
    ]
    return dict(zip(places, values, strict=True))
