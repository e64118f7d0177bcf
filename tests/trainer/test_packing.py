"""A packed batch gives each row the logprobs and gradients it has when computed alone by transformers."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import pytest
import torch
from envport_trainer.algorithm.batch import TrainingRow
from envport_trainer.learning.attention import use_planned_attention
from envport_trainer.learning.packing import pack
from envport_trainer.learning.policy import Policy
from envport_trainer.types import TokenRow
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

if TYPE_CHECKING:
    from collections.abc import Sequence


@pytest.fixture
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


def row_of(
    group: int, prompt: Sequence[int], completion: Sequence[int], advantage: float, masked: Sequence[int] = ()
) -> TrainingRow:
    """A row whose rollout is named by the sum of its completion."""
    mask = [False] * len(prompt) + [place not in masked for place in range(len(completion))]
    tokens = TokenRow([*prompt, *completion], mask, [0.0] * len(mask), len(prompt))
    return TrainingRow(tokens, [advantage] * len(mask), group, rollout=sum(completion))


def rows(root: Sequence[int] = ()) -> list[TrainingRow]:
    """Two groups; their prompts begin with `root`."""
    a, b = [*root, 5, 6, 7, 8, 9], [*root, 20, 21]
    return [
        row_of(0, a, [10, 11, 12], 1.0),
        row_of(0, a, [13, 14, 15, 16, 17, 18], -0.5, masked=[2, 3]),
        row_of(0, a, [19], 0.25),
        row_of(1, b, [22, 23, 24, 25], 2.0),
        row_of(1, b, [26, 27], -2.0),
    ]


def alone(model: PreTrainedModel, row: TrainingRow, temperature: float) -> torch.Tensor:
    """Logprobs of the row's loss tokens by an ordinary forward with transformers' own attention."""
    ids = torch.tensor([row.tokens.input_ids])
    logits = model(input_ids=ids, use_cache=False).logits[0, :-1].float() / temperature
    logprob = functional.log_softmax(logits, -1).gather(1, ids[0, 1:, None])[:, 0]
    return logprob[torch.tensor(row.tokens.loss_mask[1:])]


@pytest.mark.parametrize("root", [[], [31], [31, 32, 33, 34, 35, 36]])
@pytest.mark.parametrize("max_tokens", [10_000, 14, 1])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_packed_logprobs_and_gradients_equal_those_of_each_row_alone(
    model: PreTrainedModel, max_tokens: int, temperature: float, root: list[int]
) -> None:
    reference = copy.deepcopy(model)
    expected = [alone(reference, row, temperature) for row in rows(root)]
    loss = torch.stack([row.advantages_T[0] * (x * x).sum() for row, x in zip(rows(root), expected, strict=True)]).sum()
    loss.backward()

    use_planned_attention(model)
    policy = Policy(model, "fp32")
    got = []
    for batch in pack(rows(root), max_tokens):
        logprob_N = policy.logprobs(batch, temperature)
        (batch.loss.advantage_N * logprob_N * logprob_N).sum().backward()
        got.append(logprob_N.detach())

    torch.testing.assert_close(torch.cat(got), torch.cat(expected).detach(), rtol=0, atol=2e-6)
    for (name, left), right in zip(model.named_parameters(), reference.parameters(), strict=True):
        assert left.grad is not None
        assert right.grad is not None
        error = (left.grad - right.grad).norm() / right.grad.norm()
        assert error < 1e-5, f"{name}: relative gradient error {error:.1e}"


def test_a_group_that_fits_is_packed_with_its_prompt_once() -> None:
    (batch,) = pack(rows(), 10_000)
    assert batch.input_ids.tolist() == [
        [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27]
    ]
    assert batch.position_ids.tolist() == [[0, 1, 2, 3, 4, 5, 6, 7, 5, 6, 7, 8, 9, 10, 5, 0, 1, 2, 3, 4, 5, 2, 3]]
    assert batch.target_N.tolist() == [10, 11, 12, 13, 14, 17, 18, 19, 22, 23, 24, 25, 26, 27]
    assert batch.source_N.tolist() == [4, 5, 6, 4, 8, 11, 12, 4, 16, 17, 18, 19, 16, 21]


def test_a_group_over_the_budget_is_split_and_its_prompt_repeated() -> None:
    batches = pack(rows(), 14)
    assert [batch.input_ids.tolist()[0] for batch in batches] == [
        [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18],
        [5, 6, 7, 8, 9, 19, 20, 21, 22, 23, 24, 25, 26, 27],
    ]
    assert [batch.target_N.tolist() for batch in batches] == [
        [10, 11, 12, 13, 14, 17, 18],
        [19, 22, 23, 24, 25, 26, 27],
    ]


def test_batches_are_as_few_as_fit_and_about_equal() -> None:
    sizes = {budget: [batch.input_ids.shape[1] for batch in pack(rows(), budget)] for budget in (23, 22, 14, 13)}
    assert sizes == {23: [23], 22: [14, 14], 14: [14, 14], 13: [8, 12, 8]}


def test_rows_of_one_group_that_began_differently_each_see_their_own_prompt() -> None:
    odd = [
        row_of(0, [1, 2], [3], 1.0),
        row_of(0, [1, 4], [3, 5], 1.0),
        row_of(0, [1, 4], [6], 1.0),
    ]
    (batch,) = pack(odd, 100)
    assert batch.input_ids.tolist() == [[1, 2, 3, 4, 3, 5, 6]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 1, 2, 3, 2]]
    assert batch.target_N.tolist() == [3, 3, 5, 6]
    assert batch.source_N.tolist() == [1, 3, 4, 3]


def test_what_all_prompts_begin_with_is_packed_once_for_each_batch() -> None:
    (batch,) = pack(rows([31, 32]), 10_000)
    assert batch.input_ids.tolist()[0][:11] == [31, 32, 5, 6, 7, 8, 9, 10, 11, 12, 13]
    assert batch.input_ids.shape[1] == 2 + 5 + 3 + 6 + 1 + 2 + 4 + 2
    assert batch.position_ids.tolist()[0][-8:] == [2, 3, 4, 5, 6, 7, 4, 5]
    sizes = [batch.input_ids.shape[1] for batch in pack(rows([31, 32]), 16)]
    assert sizes == [2 + 5 + 3 + 6, 2 + 5 + 1 + 2 + 4 + 2]


def test_a_single_prompt_keeps_one_id_of_its_own_below_the_root() -> None:
    (batch,) = pack([row_of(0, [1, 2, 3], [4, 5], 1.0)], 100)
    assert [block.ancestor_A.tolist() for block in batch.plan.blocks] == [[], [0, 1, 2], [0, 1]]
    assert [block.index_RL.tolist() for block in batch.plan.blocks] == [[[0, 1]], [[3, 4]], [[2]]]
