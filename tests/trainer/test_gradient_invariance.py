"""What the gradient of an update must not depend on: micro-batches, order, padding, ranks, tool text."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from envport_trainer.learning.learner import training_rows
from envport_trainer.types import Finish
from torch.nn import functional

from .rank_process import EVERY_KIND, scored_groups, uneven_groups
from .updates import Groups, Updated, distance, nearby, padded, small_model, update, with_row

if TYPE_CHECKING:
    from envport_trainer.types import Trajectory
    from transformers import LlamaForCausalLM

ROOT = Path(__file__).parents[2]

kinds = pytest.mark.parametrize("kind", EVERY_KIND, ids=lambda kind: f"{kind['loss']} {kind['aggregation']}")


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    return small_model()


@pytest.fixture(scope="module")
def groups() -> Groups:
    return scored_groups()


@kinds
@pytest.mark.parametrize("micro_batch_tokens", [7, 23, 40])
def test_the_gradient_does_not_depend_on_the_split_in_micro_batches(model, groups, kind, micro_batch_tokens):
    whole = update(model, groups, nearby(model), micro_batch_tokens=10_000, **kind)
    split = update(model, groups, nearby(model), micro_batch_tokens=micro_batch_tokens, **kind)
    assert split.loss == pytest.approx(whole.loss, abs=1e-6)
    assert distance(split.gradient, whole.gradient) < 1e-5
    same = ("kl", "clip_share", "mismatch_mean", "mismatch_max", "ess", "correction_dropped_share", "entropy")
    assert {n: split.values[n] for n in same if n in split.values} == pytest.approx(
        {n: whole.values[n] for n in same if n in whole.values}, abs=1e-6
    )


@kinds
def test_the_gradient_does_not_depend_on_the_order_of_groups_and_rows(model, groups, kind):
    whole = update(model, groups, nearby(model), **kind)
    shuffled = [[group[place] for place in (2, 0, 3, 1)] for group in groups[::-1]]
    moved = update(model, shuffled, nearby(model), **kind)
    assert moved.loss == pytest.approx(whole.loss, abs=1e-6)
    assert distance(moved.gradient, whole.gradient) < 1e-5


def test_the_gradient_is_that_of_a_padded_batch(model, groups):
    inputs, mine = padded(groups), small_model()
    ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1)
    seen = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1)
    length = inputs["completion_ids"].shape[1]
    logits = mine(input_ids=ids, attention_mask=seen).logits[:, -length - 1 : -1]
    logprob = functional.log_softmax(logits, -1).gather(2, inputs["completion_ids"][..., None])[..., 0]
    ratio = (logprob - inputs["old_per_token_logps"]).exp()
    advantage = inputs["advantages"][:, None]
    token = torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.28) * advantage)
    mask = inputs["completion_mask"] * inputs["tool_mask"]
    (-(token * mask).sum() / mask.sum()).backward()
    expected = {name: p.grad for name, p in mine.named_parameters() if p.grad is not None}
    assert distance(update(model, groups).gradient, expected) < 1e-5


@pytest.fixture(scope="module")
def left_by_two_ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which two gloo processes left what they computed."""
    folder = tmp_path_factory.mktemp("ranks")
    command = [sys.executable, "-m", "tests.trainer.rank_process"]
    processes = [subprocess.Popen([*command, str(rank), str(folder)], cwd=ROOT) for rank in (0, 1)]
    try:
        assert [process.wait(timeout=240) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
    return folder


@pytest.fixture(scope="module")
def of_two_ranks(left_by_two_ranks: Path) -> list[list[Updated]]:
    """For each of the two what each of its updates computed."""
    return [[Updated(*each) for each in torch.load(left_by_two_ranks / f"{rank}.pt")] for rank in (0, 1)]


def test_a_parameter_that_no_rank_reached_has_no_gradient_after_the_sum(left_by_two_ranks):
    for rank in (0, 1):
        both, one, none, _ = torch.load(left_by_two_ranks / f"{rank}.sums.pt")
        assert both.tolist() == [2.0, 5.0]
        assert one.tolist() == [5.0, 7.0]
        assert none is None


def test_a_look_whether_a_rank_is_there_is_not_taken_for_a_message(left_by_two_ranks):
    assert torch.load(left_by_two_ranks / "1.sums.pt")[-1].tolist() == [7.0]


@pytest.mark.parametrize("number", range(len(EVERY_KIND) + 1))
@pytest.mark.parametrize("rank", [0, 1])
def test_two_ranks_have_the_gradient_of_one_process(of_two_ranks, model, number, rank):
    """The last number is an update in which one rank has no groups."""
    whole = update(model, uneven_groups(), nearby(model), **EVERY_KIND[number % len(EVERY_KIND)])
    got = of_two_ranks[rank][number]
    assert got.loss == pytest.approx(whole.loss, abs=1e-6)
    assert distance(got.gradient, whole.gradient) < 1e-5
    same = whole.values.keys() - {"update_s", "trained_tokens_per_s", "packed_tokens"}
    assert {n: got.values[n] for n in same} == pytest.approx({n: whole.values[n] for n in same}, abs=1e-5)


@kinds
def test_a_token_that_nobody_sampled_has_no_say_in_the_loss(model, groups, kind):
    """Whatever stands as its logprob; its text is read by later tokens and by nothing else."""
    whole = update(model, groups, nearby(model), **kind)
    wild = [[_with_wild_tool_logprobs(t) for t in group] for group in groups]
    got = update(model, wild, nearby(model), **kind)
    assert got.loss == whole.loss
    assert all(torch.equal(got.gradient[name], whole.gradient[name]) for name in whole.gradient)


def _with_wild_tool_logprobs(trajectory: Trajectory) -> Trajectory:
    (row,) = trajectory.rows
    wild = [value if mask else math.nan for value, mask in zip(row.logprobs, row.loss_mask, strict=True)]
    return with_row(trajectory, logprobs=wild)


def test_tool_text_has_no_influence_on_the_tokens_of_others(model, groups):
    """With the loss of its own rollout taken away, other tool text leaves the gradient as it was."""
    group = [dataclasses.replace(t, reward=r) for t, r in zip(groups[0], (0.5, 1.0, 0.0, 0.5), strict=True)]
    before = update(model, [group], micro_batch_tokens=10_000)
    (row,) = group[0].rows
    other_text = [
        5 if not m and place >= row.prompt_length else i
        for place, (i, m) in enumerate(zip(row.input_ids, row.loss_mask, strict=True))
    ]
    assert other_text != row.input_ids
    after = update(model, [[with_row(group[0], input_ids=other_text), *group[1:]]], micro_batch_tokens=10_000)
    assert distance(after.gradient, before.gradient) < 1e-5


@pytest.mark.parametrize(
    ("loss", "correction"),
    [("dppo", "none"), *product(["clip", "gspo", "cispo"], ["none", "mask", "geometric"])],
)
def test_rows_that_say_nothing_or_nonsense_leave_the_gradient_finite(model, groups, loss, correction):
    silent, unknown, far, fine = groups[0]
    length = [len(t.rows[0].input_ids) for t in groups[0]]
    odd = [
        with_row(silent, loss_mask=[False] * length[0]),
        with_row(unknown, logprobs=[math.nan] * length[1]),
        with_row(far, logprobs=[-1e30, math.inf, -math.inf] * (length[2] // 3) + [-1e4] * (length[2] % 3)),
        fine,
    ]
    got = update(model, [odd], nearby(model), loss=loss, correction=correction, kl_weight=0.1, micro_batch_tokens=7)
    assert math.isfinite(got.loss)
    assert all(torch.isfinite(gradient).all() for gradient in got.gradient.values())
    assert max(float(gradient.abs().max()) for gradient in got.gradient.values()) > 0
    assert all(map(math.isfinite, got.values.values()))


def test_a_batch_without_a_loss_token_changes_nothing(model, groups):
    silent = [[with_row(t, loss_mask=[False] * len(t.rows[0].input_ids)) for t in group] for group in groups]
    got = update(model, silent)
    assert got.loss == 0.0
    assert all(float(gradient.abs().max()) == 0.0 for gradient in got.gradient.values())
    assert update(model, []).values["trained_tokens"] == 0.0


def test_a_silent_rollout_counts_in_the_baseline_and_nowhere_else(model, groups):
    first, *others = groups[0]
    silent = with_row(first, loss_mask=[False] * len(first.rows[0].input_ids))
    both = update(model, [[silent, *others]])
    assert both.values["trained_tokens"] == sum(t.sampled_tokens for t in others)
    without = update(model, [[silent, *others]], aggregation="sequence", micro_batch_tokens=7)
    moved = with_row(silent, input_ids=[*silent.rows[0].input_ids[:-1], 5])
    assert distance(update(model, [[moved, *others]]).gradient, both.gradient) < 1e-5
    assert without.gradient.keys() == both.gradient.keys()


def test_a_masked_truncated_rollout_is_as_silent_as_one_without_loss_tokens(model, groups):
    first, *others = groups[0]
    cut = dataclasses.replace(first, finish=Finish.LENGTH)
    silent = with_row(first, loss_mask=[False] * len(first.rows[0].input_ids))
    for aggregation in ("token", "sequence", "constant"):
        expected = update(model, [[silent, *others]], aggregation=aggregation)
        masked = update(model, [[cut, *others]], aggregation=aggregation, truncated="mask")
        assert masked.loss == pytest.approx(expected.loss, abs=1e-7)
        assert distance(masked.gradient, expected.gradient) < 1e-5
    trained = update(model, [[cut, *others]], truncated="train")
    assert trained.values["trained_tokens"] == sum(t.sampled_tokens for t in groups[0])


def test_rows_carry_their_advantage_group_rollout_and_version(model, groups):
    versioned = [[dataclasses.replace(t, policy_version=7) for t in group] for group in groups]
    forked = [[dataclasses.replace(versioned[0][0], rows=versioned[0][0].rows * 2), *versioned[0][1:]], versioned[1]]
    rows = training_rows(forked, [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])
    assert [(r.rollout, r.group, r.advantages_T[0]) for r in rows] == [
        (0, 0, 1.0),
        *((rollout, rollout // 4, rollout + 1.0) for rollout in range(8)),
    ]
    assert {r.policy_version for r in rows} == {7}
    assert all(len(r.advantages_T) == len(r.tokens.input_ids) for r in rows)
