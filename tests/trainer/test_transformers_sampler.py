"""The transformers sampler gives what transformers' own forward would, for many requests at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
import torch
from envport_trainer.errors import SamplerError
from envport_trainer.samplers.transformers import TransformersSampler
from envport_trainer.types import Sample, SampleRequest
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

STOP = frozenset({0})


@pytest.fixture
def model() -> PreTrainedModel:
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=61,
        hidden_size=48,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        initializer_range=0.3,
    )
    return LlamaForCausalLM(config).float().eval()


async def at_once(sampler: TransformersSampler, requests: list[SampleRequest]) -> list[Sample]:
    async def one(request: SampleRequest) -> Sample:
        async with sampler.rollout():
            return await sampler.sample(request)

    return await asyncio.gather(*(one(request) for request in requests))


def logprobs_by_forward(model: PreTrainedModel, request: SampleRequest, sample: Sample) -> list[float]:
    ids = torch.tensor([[*request.prompt_ids, *sample.token_ids]])
    with torch.no_grad():
        logits = model(ids).logits[0, len(request.prompt_ids) - 1 : -1] / (request.temperature or 1.0)
    chosen = functional.log_softmax(logits, -1).gather(1, torch.tensor(sample.token_ids)[:, None])
    return chosen[:, 0].tolist()


REQUESTS = [
    SampleRequest([5, 6, 7, 8], 12, seed=1),
    SampleRequest([9, 10], 7, seed=2),
    SampleRequest([5, 6, 7, 8], 12, seed=3, temperature=0.6),
    SampleRequest([5, 6, 7, 8], 5, seed=4, temperature=0.0),
    SampleRequest([11, 12, 13, 14, 15, 16], 9, seed=5, temperature=0.0),
]


@pytest.mark.parametrize("root", [(), (20,), (20, 21, 22)])
@pytest.mark.parametrize("prefill_tokens", [4096, 5])
async def test_logprobs_equal_those_of_an_ordinary_forward(
    model: PreTrainedModel, root: tuple[int, ...], prefill_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("envport_trainer.samplers.decoding.PREFILL_TOKENS", prefill_tokens)
    sampler = TransformersSampler(model, STOP, "fp32")
    requests = [replace(request, prompt_ids=[*root, *request.prompt_ids]) for request in REQUESTS]
    samples = await at_once(sampler, requests)
    for request, sample in zip(requests, samples, strict=True):
        assert sample.logprobs == pytest.approx(logprobs_by_forward(model, request, sample), abs=3e-5)
    sampler.close()


async def test_greedy_requests_get_the_ids_of_generate(model: PreTrainedModel) -> None:
    sampler = TransformersSampler(model, STOP, "fp32")
    samples = await at_once(sampler, REQUESTS)
    for place in (3, 4):
        request = REQUESTS[place]
        expected = model.generate(
            torch.tensor([request.prompt_ids]),
            attention_mask=torch.ones(1, len(request.prompt_ids)),
            max_new_tokens=request.max_new_tokens,
            do_sample=False,
            eos_token_id=0,
            pad_token_id=0,
        )[0, len(request.prompt_ids) :]
        assert samples[place].token_ids == expected.tolist()
    sampler.close()


async def test_a_request_samples_the_same_alone_and_in_company_in_any_order(model: PreTrainedModel) -> None:
    sampler = TransformersSampler(model, STOP, "fp32")
    together = await at_once(sampler, REQUESTS)
    backwards = (await at_once(sampler, REQUESTS[::-1]))[::-1]
    alone = [(await at_once(sampler, [request]))[0] for request in REQUESTS]
    assert [s.token_ids for s in together] == [s.token_ids for s in backwards] == [s.token_ids for s in alone]
    sampler.close()


async def test_samples_follow_the_models_distribution(model: PreTrainedModel) -> None:
    sampler = TransformersSampler(model, STOP, "fp32")
    count = 4000
    samples = await at_once(sampler, [SampleRequest([5, 6, 7], 1, seed=seed) for seed in range(count)])
    with torch.no_grad():
        expected = model(torch.tensor([[5, 6, 7]])).logits[0, -1].softmax(-1)
    seen = torch.bincount(torch.tensor([s.token_ids[0] for s in samples]), minlength=61) / count
    # Five standard errors of a binomial share, for each of the 61 tokens.
    bound = 5 * (expected * (1 - expected) / count).sqrt() + 1e-3
    assert ((seen - expected).abs() <= bound).all()
    sampler.close()


async def test_a_stop_token_ends_a_sample_and_is_its_last_id(model: PreTrainedModel) -> None:
    (free,) = await at_once(TransformersSampler(model, frozenset(), "fp32"), [SampleRequest([5, 6], 20, seed=7)])
    assert free.truncated
    assert len(free.token_ids) == 20
    stop = free.token_ids[4]
    (stopped,) = await at_once(
        TransformersSampler(model, frozenset({stop}), "fp32"), [SampleRequest([5, 6], 20, seed=7)]
    )
    assert stopped.token_ids == free.token_ids[: free.token_ids.index(stop) + 1]
    assert not stopped.truncated


async def test_new_weights_change_what_is_sampled(model: PreTrainedModel) -> None:
    sampler = TransformersSampler(model, STOP, "fp32")
    with torch.no_grad():
        model.lm_head.weight.copy_(model.lm_head.weight.roll(1, 0))
    sampler.update_weights(model)
    (sample,) = await at_once(sampler, [REQUESTS[0]])
    assert sample.logprobs == pytest.approx(logprobs_by_forward(model, REQUESTS[0], sample), abs=3e-5)
    sampler.close()


async def test_a_sleeping_sampler_holds_no_weights_and_new_ones_wake_it(model: PreTrainedModel) -> None:
    sampler = TransformersSampler(model, STOP, "fp32")
    (before,) = await at_once(sampler, [REQUESTS[0]])
    sampler.sleep()
    with pytest.raises(SamplerError, match="the sampler sleeps"):
        await at_once(sampler, [REQUESTS[0]])
    assert {parameter.untyped_storage().nbytes() for parameter in sampler._model.parameters()} == {0}
    sampler.update_weights(model)
    assert await at_once(sampler, [REQUESTS[0]]) == [before]
    sampler.close()


async def test_sleep_leaves_samples_in_flight_alone(model: PreTrainedModel) -> None:
    sampler = TransformersSampler(model, frozenset(), "fp32")
    work = asyncio.create_task(at_once(sampler, [SampleRequest([5, 6], 400, seed=1)]))
    while not sampler._decoder.rows:
        await asyncio.sleep(0)
    sampler.sleep()
    (sample,) = await work
    assert len(sample.token_ids) == 400
    sampler.close()


async def test_closing_ends_all_at_its_next_token(model: PreTrainedModel) -> None:
    sampler = TransformersSampler(model, frozenset(), "fp32")
    work = asyncio.create_task(at_once(sampler, [SampleRequest([5, 6], 100_000, seed=1)]))
    await asyncio.sleep(0.2)
    await asyncio.wait_for(asyncio.to_thread(sampler.close), timeout=20)
    with pytest.raises(SamplerError, match="closed while it sampled"):
        await work


def test_rotary_frequencies_keep_their_precision(model: PreTrainedModel) -> None:
    sampler = TransformersSampler(model, STOP, "bf16")
    assert {str(x.dtype) for x in sampler._model.buffers()} == {"torch.float32"}
    assert {str(x.dtype) for x in sampler._model.parameters()} == {"torch.bfloat16"}
    sampler.close()
