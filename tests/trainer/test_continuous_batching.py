"""Requests join, leave and go on through new weights between two tokens, and none notices the others."""

from __future__ import annotations

import asyncio
import copy
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from envport_trainer.errors import SamplerError
from envport_trainer.learning.adapters import add_adapters
from envport_trainer.samplers.decoding import Decoder
from envport_trainer.samplers.rows import Row
from envport_trainer.samplers.transformers import TransformersSampler
from envport_trainer.types import Sample, SampleRequest

from .test_transformers_sampler import at_once, logprobs_by_forward, model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from transformers import PreTrainedModel

__all__ = ["model"]

NEVER: frozenset[int] = frozenset()
ENDLESS = SampleRequest([3, 4], 50_000, seed=99)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Several threads split a product by its size, and then the last bits of a result hang on what is beside it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def sampler(model: PreTrainedModel) -> Iterator[TransformersSampler]:
    made = TransformersSampler(model, NEVER, "fp32")
    yield made
    made.close()


def mixed_requests() -> list[SampleRequest]:
    """Groups of four with long and short prompts, of which some begin alike, and samples of all lengths."""
    draw = random.Random(0)
    root = [draw.randrange(1, 61) for _ in range(70)]
    prompts = [
        root[: draw.choice([0, 40, 70])] + [draw.randrange(1, 61) for _ in range(draw.randrange(1, 80))]
        for _ in range(4)
    ]
    return [
        SampleRequest(
            prompt, draw.randrange(1, 90), seed=10 * number + member, temperature=draw.choice([0.0, 0.7, 1.0])
        )
        for number, prompt in enumerate(prompts)
        for member in range(4)
    ]


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.001)


def forward_widths(sampler: TransformersSampler, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Tokens of each forward pass to come."""
    widths: list[int] = []
    base = sampler._model.base_model
    forward = base.forward

    def counted(**named: Any) -> Any:
        widths.append(named["input_ids"].shape[1])
        return forward(**named)

    monkeypatch.setattr(base, "forward", counted)
    return widths


def running(sampler: TransformersSampler) -> list[Row]:
    return list(sampler._decoder.rows)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
async def test_a_sample_has_the_same_bits_alone_in_company_and_whenever_it_came(
    model: PreTrainedModel, precision: Any
) -> None:
    requests = mixed_requests()

    async def in_a_new_one(chosen: list[SampleRequest], pause_s: float = 0.0) -> list[Sample]:
        sampler = TransformersSampler(model, frozenset({0}), precision)

        async def one(number: int, request: SampleRequest) -> Sample:
            await asyncio.sleep(number * pause_s)
            return await sampler.sample(request)

        samples = await asyncio.gather(*(one(number, request) for number, request in enumerate(chosen)))
        sampler.close()
        return samples

    together = await in_a_new_one(requests)
    assert await in_a_new_one(requests[::-1]) == together[::-1]
    assert await in_a_new_one(requests, pause_s=0.007) == together
    assert [(await in_a_new_one([request]))[0] for request in requests] == together


async def test_a_prompt_gives_the_same_bits_whatever_is_prefilled_beside_it(
    model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = mixed_requests()
    whole = TransformersSampler(model, NEVER, "fp32")
    expected = await at_once(whole, requests)
    whole.close()
    monkeypatch.setattr("envport_trainer.samplers.decoding.PREFILL_TOKENS", 8)
    monkeypatch.setattr("envport_trainer.samplers.block_attention.QUERY_TOKENS", 7)
    pieces = TransformersSampler(model, NEVER, "fp32")
    assert await at_once(pieces, requests) == expected
    pieces.close()


async def test_a_later_turn_begins_with_the_keys_of_the_earlier_ones(
    model: PreTrainedModel, sampler: TransformersSampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    widths = forward_widths(sampler, monkeypatch)
    ids = list(range(1, 41))
    for turn in range(3):
        request = SampleRequest(tuple(ids), 30, seed=turn)
        widths.clear()
        sample = await sampler.sample(request)
        expected = 40 if turn == 0 else len(ids) - (len(ids) - 6) // 32 * 32
        assert widths[0] == expected, "all but the whole blocks that the turn before had computed"
        assert sample.logprobs == pytest.approx(logprobs_by_forward(model, request, sample), abs=3e-5)
        fresh = TransformersSampler(model, NEVER, "fp32")
        assert await fresh.sample(request) == sample
        fresh.close()
        ids += [*sample.token_ids, 7, 8, 9, 10, 11]


def test_the_prompt_of_a_group_is_computed_once(sampler: TransformersSampler, monkeypatch: pytest.MonkeyPatch) -> None:
    widths = forward_widths(sampler, monkeypatch)
    root = list(range(1, 34))
    rows = [Row(SampleRequest([*root, number // 3], 2, seed=number), 0) for number in range(6)]
    decoded(Decoder(sampler._model, NEVER), rows)
    assert widths == [32 + 2 * 2, 6], "the block that all have in common, and two ids of each of two prompts"


async def test_a_short_sample_is_handed_out_while_a_long_one_runs(sampler: TransformersSampler) -> None:
    long = asyncio.create_task(sampler.sample(ENDLESS))
    await until(lambda: bool(running(sampler)))
    short = await asyncio.wait_for(sampler.sample(SampleRequest([5, 6], 5, seed=1)), 60)
    assert len(short.token_ids) == 5
    assert not long.done()
    long.cancel()


async def test_a_rollout_that_asks_for_nothing_holds_up_nobody(sampler: TransformersSampler) -> None:
    async with sampler.rollout():
        (sample,) = await asyncio.wait_for(at_once(sampler, [SampleRequest([5, 6], 5, seed=1)]), 60)
    assert len(sample.token_ids) == 5


async def test_a_cancelled_request_leaves_the_others_as_they_were(sampler: TransformersSampler) -> None:
    request = SampleRequest([9, 10], 60, seed=1)
    expected = await sampler.sample(request)
    long = asyncio.create_task(sampler.sample(ENDLESS))
    await until(lambda: bool(running(sampler)))
    other = asyncio.create_task(sampler.sample(request))
    await until(lambda: len(running(sampler)) == 2)
    long.cancel()
    assert await asyncio.wait_for(other, 60) == expected
    await until(lambda: not running(sampler))


async def test_equal_weights_in_flight_change_nothing(model: PreTrainedModel, sampler: TransformersSampler) -> None:
    request = SampleRequest(list(range(1, 50)), 300, seed=5)
    expected = await sampler.sample(request)
    again = asyncio.create_task(sampler.sample(request))
    await until(lambda: bool(running(sampler)))
    await asyncio.to_thread(sampler.update_weights, model)
    assert not again.done()
    assert await again == expected


async def sampled_through_an_update(
    sampler: TransformersSampler, request: SampleRequest, new: PreTrainedModel
) -> tuple[Sample, int]:
    """The sample, and how many of its tokens were there when the new weights came."""
    seen: list[int] = []
    renew = sampler._decoder.renew

    def counted() -> None:
        seen.append(len(running(sampler)[0].token_ids))
        renew()

    sampler._decoder.renew = counted  # type: ignore[method-assign]
    task = asyncio.create_task(sampler.sample(request))
    await until(lambda: bool(running(sampler)))
    await asyncio.to_thread(sampler.update_weights, new)
    return await task, seen[0]


def other_weights(model: PreTrainedModel) -> PreTrainedModel:
    new = copy.deepcopy(model)
    torch.manual_seed(2)
    with torch.no_grad():
        for weight in new.parameters():
            weight += 0.05 * torch.randn_like(weight)
    return new


async def test_new_weights_in_flight_go_on_with_the_old_keys(
    model: PreTrainedModel, sampler: TransformersSampler
) -> None:
    request, new = SampleRequest(list(range(1, 50)), 300, seed=5), other_weights(model)
    sample, count = await sampled_through_an_update(sampler, request, new)
    assert 0 < count < 300
    fed = [*request.prompt_ids, *sample.token_ids][:-1]
    cut = len(request.prompt_ids) + count - 1
    with torch.no_grad():
        before = model(torch.tensor([fed[:cut]]), use_cache=True)
        after = new(torch.tensor([fed[cut:]]), past_key_values=before.past_key_values, use_cache=True)
    logits = torch.cat([before.logits[0, len(request.prompt_ids) - 1 :], after.logits[0]])
    expected = logits.log_softmax(-1).gather(1, torch.tensor(sample.token_ids)[:, None])[:, 0]
    assert sample.logprobs == pytest.approx(expected.tolist(), abs=1e-4)


async def test_new_prompts_are_computed_with_the_new_weights_alone(
    model: PreTrainedModel, sampler: TransformersSampler
) -> None:
    request, new = SampleRequest(list(range(1, 50)), 300, seed=5), other_weights(model)
    await sampler.sample(replace(request, max_new_tokens=3))
    sample, _ = await sampled_through_an_update(sampler, request, new)
    for prompt in (request.prompt_ids, [*request.prompt_ids, *sample.token_ids, 1, 2]):
        later = SampleRequest(prompt, 4, seed=8)
        got = await sampler.sample(later)
        assert got.logprobs == pytest.approx(logprobs_by_forward(new, later, got), abs=1e-4)


async def test_a_greater_head_in_flight_changes_the_logprobs_from_then_on(
    model: PreTrainedModel, sampler: TransformersSampler
) -> None:
    request = SampleRequest(list(range(1, 50)), 300, seed=5, temperature=0.0)
    new = copy.deepcopy(model)
    with torch.no_grad():
        new.lm_head.weight.mul_(2)
    sample, count = await sampled_through_an_update(sampler, request, new)
    old_logprobs, new_logprobs = (logprobs_by_forward(m, request, sample) for m in (model, new))
    assert 0 < count < 300
    assert sample.logprobs == pytest.approx(old_logprobs[:count] + new_logprobs[count:], abs=3e-5)


async def test_merged_adapters_are_what_is_sampled_from(model: PreTrainedModel, sampler: TransformersSampler) -> None:
    adapted = add_adapters(copy.deepcopy(model), rank=2, alpha=4.0)
    torch.manual_seed(3)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if ".lora_" in name:
                weight.copy_(0.2 * torch.randn_like(weight))
    sampler.update_weights(adapted)
    request = SampleRequest([5, 6, 7], 12, seed=1)
    sample = await sampler.sample(request)
    assert sample.logprobs == pytest.approx(logprobs_by_forward(adapted, request, sample), abs=1e-4)
    assert sample.logprobs != pytest.approx(logprobs_by_forward(model, request, sample), abs=1e-2)


def test_weights_of_another_shape_are_refused(model: PreTrainedModel, sampler: TransformersSampler) -> None:
    other = type(model)(type(model.config)(**model.config.to_dict() | {"vocab_size": 7}))
    with pytest.raises(SamplerError, match=r"embed_tokens.weight \(7, 48\) does not fit .* which has \(61, 48\)"):
        sampler.update_weights(other)


def decoded(decoder: Decoder, rows: list[Row]) -> list[list[Row]]:
    """The rows that ended in each step; after each step, those in hand are within the limits."""
    decoder.waiting.extend(rows)
    steps: list[list[Row]] = []
    while decoder.rows or decoder.waiting:
        steps.append(decoder.step())
        assert len(steps) < 500
    return steps


def test_requests_beyond_the_room_wait_their_turn(
    sampler: TransformersSampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("envport_trainer.samplers.decoding.LIVE_TOKENS", 30)
    rows = [Row(SampleRequest([number + 1, 2], 10, seed=number), 0) for number in range(5)]
    steps = decoded(Decoder(sampler._model, NEVER), rows)
    assert {place: done for place, done in enumerate(steps, 1) if done} == {10: rows[:2], 20: rows[2:4], 30: rows[4:]}


def test_a_request_too_long_for_the_room_gets_its_turn_alone(
    sampler: TransformersSampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("envport_trainer.samplers.decoding.LIVE_TOKENS", 30)
    lengths = [5, 10, 40, 10, 10]
    rows = [Row(SampleRequest([number + 1, 2], length, seed=number), 0) for number, length in enumerate(lengths)]
    steps = decoded(Decoder(sampler._model, NEVER), rows)
    ends = {row: place for place, done in enumerate(steps, 1) for row in done}
    assert [ends[row] for row in rows] == [5, 10, 50, 60, 60]


def test_what_is_kept_for_later_turns_is_bounded_and_the_unused_goes_first(
    sampler: TransformersSampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("envport_trainer.samplers.decoding.CACHED_TOKENS", 4 * 32)
    decoder = Decoder(sampler._model, NEVER)
    rows = [Row(SampleRequest([number] * 70, 2, seed=number), 0) for number in range(3)]
    known: list[list[int]] = []
    for row in rows:
        decoded(decoder, [row])
        known.append([sum(p.end - p.first for p in decoder.index.match(other.names)) for other in reversed(rows)])
    assert known == [[0, 0, 2], [0, 2, 2], [2, 0, 2]], (
        "what was asked for last is kept: the first row, then the new one"
    )


async def test_a_failed_step_is_told_to_those_in_it_and_the_next_one_works(
    sampler: TransformersSampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [SampleRequest([5, 6, 7], 4, seed=1), SampleRequest([5, 6, 8], 4, seed=2)]
    expected = await at_once(sampler, requests)

    def broken(**_: object) -> None:
        raise KeyError("layer")

    with monkeypatch.context() as patch:
        patch.setattr(sampler._model.base_model, "forward", broken)
        with pytest.raises(SamplerError, match="sampling 2 requests failed: 'layer'"):
            await asyncio.wait_for(at_once(sampler, requests), 60)
    assert await at_once(sampler, requests) == expected


async def test_closing_is_told_to_those_that_run_and_those_that_wait(
    model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("envport_trainer.samplers.decoding.LIVE_TOKENS", 30)
    sampler = TransformersSampler(model, NEVER, "fp32")
    tasks = [asyncio.create_task(sampler.sample(replace(ENDLESS, seed=seed))) for seed in range(2)]
    await until(lambda: len(running(sampler)) == 1 and len(sampler._decoder.waiting) == 1)
    await asyncio.to_thread(sampler.close)
    for task in tasks:
        with pytest.raises(SamplerError, match="closed while it sampled"):
            await task
    for call in (sampler.sample(ENDLESS), asyncio.to_thread(sampler.update_weights, model)):
        with pytest.raises(SamplerError, match="the sampler was closed"):
            await call


def test_one_event_loop_after_another_may_sample(sampler: TransformersSampler) -> None:
    request = SampleRequest([5, 6], 5, seed=1)
    first, second = (asyncio.run(sampler.sample(request)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("request_", [SampleRequest([], 5), SampleRequest([5], 0)])
async def test_a_request_for_nothing_is_refused(sampler: TransformersSampler, request_: SampleRequest) -> None:
    with pytest.raises(SamplerError, match="expected at least one of each"):
        await sampler.sample(request_)
