"""vLLM in this process: requests join a running batch, logprobs are the policy's, and new weights take hold."""

from __future__ import annotations

import asyncio
import builtins
import importlib.util
from typing import TYPE_CHECKING, Any

import pytest
import torch
from envport_trainer.errors import SamplerError
from envport_trainer.models.folder import LoadedModel, load_policy, stop_ids
from envport_trainer.samplers.vllm import VllmSampler
from envport_trainer.types import Sample, SampleRequest
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

needs_vllm = [
    pytest.mark.vllm,
    pytest.mark.model,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="needs vLLM: pip install 'envport[vllm]'"),
    pytest.mark.filterwarnings("ignore"),
]


def with_vllm(test: Any) -> Any:
    """Marks a test that starts the engine."""
    for mark in needs_vllm:
        test = mark(test)
    return test


@pytest.fixture(scope="module")
def loaded(smollm2: Path) -> LoadedModel:
    return load_policy(str(smollm2))


@pytest.fixture(scope="module")
def sampler(smollm2: Path, loaded: LoadedModel) -> Iterator[VllmSampler]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("envport_trainer.samplers.vllm._PREFILL_TOKENS", 512)  # two prompts and a half
        sampler = VllmSampler(smollm2, stop_ids=stop_ids(loaded), max_tokens=256, cache_bytes=2**28)
    yield sampler
    sampler.close()


def question(loaded: LoadedModel, text: str) -> list[int]:
    messages = [{"role": "user", "content": text}]
    return loaded.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]


def greedy(loaded: LoadedModel, prompt: list[int], count: int) -> list[int]:
    """Transformers' own greedy ids."""
    ids = torch.tensor([prompt])
    answer = loaded.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False)
    return answer[0, len(prompt) :].tolist()


def logprobs_of(loaded: LoadedModel, prompt: list[int], sample: Sample, temperature: float) -> torch.Tensor:
    """The trainer's logprobs of the sampled ids, in fp32."""
    with torch.no_grad():
        logits = loaded.model(torch.tensor([prompt + sample.token_ids])).logits[0, len(prompt) - 1 : -1]
    return functional.log_softmax(logits / temperature, -1).gather(1, torch.tensor(sample.token_ids)[:, None])[:, 0]


@with_vllm
async def test_greedy_text_is_that_of_transformers_and_ends_with_the_stop_token(loaded, sampler):
    prompt = question(loaded, "What is the capital of France?")
    sample = await sampler.sample(SampleRequest(prompt, 32, temperature=0.0))
    assert loaded.tokenizer.decode(sample.token_ids) == "The capital of France is Paris.<|im_end|>"
    assert sample.token_ids == greedy(loaded, prompt, 32)
    assert not sample.truncated
    cut = await sampler.sample(SampleRequest(prompt, 3, temperature=0.0))
    assert (cut.token_ids, cut.truncated) == (sample.token_ids[:3], True)


@with_vllm
@pytest.mark.parametrize("temperature", [1.0, 0.7])
async def test_logprobs_are_those_of_the_policy_at_the_requests_temperature(loaded, sampler, temperature):
    prompt = question(loaded, "Name three rivers.")
    samples = await asyncio.gather(
        *(sampler.sample(SampleRequest(prompt, 24, temperature, seed=seed)) for seed in range(8))
    )
    distance = torch.cat(
        [(logprobs_of(loaded, prompt, sample, temperature) - torch.tensor(sample.logprobs)).abs() for sample in samples]
    )
    assert distance.mean() < 0.1, "bf16 noise is 0.03 to 0.06; raw logprobs at 0.7 would be 0.4 away"
    assert len({tuple(sample.token_ids) for sample in samples}) > 4


@with_vllm
async def test_a_seed_gives_the_same_text_again(loaded, sampler):
    request = SampleRequest(question(loaded, "Tell me a story."), 16, seed=7)
    assert await sampler.sample(request) == await sampler.sample(request)


@with_vllm
async def test_many_prompts_longer_than_a_step_of_the_engine_are_sampled(loaded, sampler):
    """On a CPU, a prompt cut in two by chunked prefill would end the engine."""
    prompt = question(loaded, "word " * 150)
    samples = await asyncio.gather(*(sampler.sample(SampleRequest([n, *prompt], 2, seed=n)) for n in range(12)))
    assert [1 <= len(sample.token_ids) <= 2 for sample in samples] == [True] * 12


@with_vllm
async def test_a_short_request_that_joins_late_ends_first(loaded, sampler):
    ended: list[str] = []

    async def run(name: str, count: int) -> None:
        await sampler.sample(SampleRequest(question(loaded, "Count to a thousand."), count, seed=1))
        ended.append(name)

    long = asyncio.create_task(run("long", 150))
    await asyncio.sleep(0.2)
    await run("short", 2)
    await long
    assert ended == ["short", "long"]


@with_vllm
async def test_a_cancelled_request_frees_its_place(loaded, sampler):
    task = asyncio.create_task(sampler.sample(SampleRequest(question(loaded, "Count."), 200, seed=1)))
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    sampler.update_weights(loaded.model)  # refused while a sample is in flight


@with_vllm
async def test_weights_are_not_replaced_under_a_sample_in_flight(loaded, sampler):
    task = asyncio.create_task(sampler.sample(SampleRequest(question(loaded, "Count."), 100, seed=1)))
    await asyncio.sleep(0.2)
    with pytest.raises(SamplerError, match="1 samples are in flight"):
        sampler.update_weights(loaded.model)
    assert (await task).token_ids


@with_vllm
async def test_a_prompt_without_room_for_an_answer_is_told(sampler):
    for prompt in ([], [5] * 256):
        with pytest.raises(SamplerError, match=f"the prompt has {len(prompt)} tokens; expected 1 to 255"):
            await sampler.sample(SampleRequest(prompt, 1))


@with_vllm
async def test_after_an_update_greedy_text_is_that_of_the_new_weights(smollm2, loaded, sampler):
    """The model is taught another answer through its inner layers alone, those whose weights vLLM repacks."""
    taught = load_policy(str(smollm2))
    prompt = question(loaded, "What is the capital of France?")
    answer = taught.tokenizer.encode(" It is Lyon, as everyone knows.<|im_end|>")
    teach(taught, prompt, answer)
    assert greedy(taught, prompt, 16) == answer
    before = await sampler.sample(SampleRequest(prompt, 16, temperature=0.0))
    assert taught.tokenizer.decode(before.token_ids) == "The capital of France is Paris.<|im_end|>"
    sampler.update_weights(taught.model)
    try:
        after = await sampler.sample(SampleRequest(prompt, 16, temperature=0.0))
        assert after.token_ids == answer
        distance = logprobs_of(taught, prompt, after, 1.0) - torch.tensor(after.logprobs)
        assert distance.abs().mean() < 0.1
    finally:
        sampler.update_weights(loaded.model)
    again = await sampler.sample(SampleRequest(prompt, 16, temperature=0.0))
    assert again.token_ids == before.token_ids


@with_vllm
async def test_after_an_update_nothing_cached_of_the_old_weights_is_used(loaded, sampler, monkeypatch):
    cached: list[int] = []
    hand_out = sampler._hand_out

    def watch(outputs: Any) -> None:
        cached.extend(output.num_cached_tokens for output in outputs)
        hand_out(outputs)

    monkeypatch.setattr(sampler, "_hand_out", watch)
    request = SampleRequest(question(loaded, "word " * 180), 1, seed=1)
    await sampler.sample(request)
    await sampler.sample(request)
    sampler.update_weights(loaded.model)
    await sampler.sample(request)
    assert cached == [0, 128, 0], "128 is the block size of the cache on a CPU"


def teach(loaded: LoadedModel, prompt: list[int], answer: list[int]) -> None:
    inner = [p for name, p in loaded.model.named_parameters() if ".layers." in name]
    optimizer = torch.optim.AdamW(inner, lr=1e-4)
    ids = torch.tensor([prompt + answer])
    labels = torch.tensor([[-100] * len(prompt) + answer])
    for _ in range(12):
        loss = loaded.model(ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


@with_vllm
async def test_a_closed_sampler_fails_what_is_in_flight_and_what_comes_later(smollm2, loaded):
    sampler = VllmSampler(smollm2, stop_ids=stop_ids(loaded), max_tokens=256, cache_bytes=2**28)
    task = asyncio.create_task(sampler.sample(SampleRequest(question(loaded, "Count."), 200, seed=1)))
    await asyncio.sleep(0.2)
    await asyncio.to_thread(sampler.close)
    sampler.close()
    with pytest.raises(SamplerError, match="the sampler was closed"):
        await task
    with pytest.raises(SamplerError, match="the sampler was closed"):
        await sampler.sample(SampleRequest([5], 1))
    assert torch.get_num_threads() > 0


def test_a_folder_without_a_model_is_told(tmp_path):
    with pytest.raises(SamplerError, match=f"vLLM reads ordinary model folders, and {tmp_path} has no config.json"):
        VllmSampler(tmp_path, stop_ids=[1])


@with_vllm
def test_a_folder_that_vllm_cannot_read_is_told(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(SamplerError, match=f"vLLM did not start on {tmp_path}"):
        VllmSampler(tmp_path, stop_ids=[1])


def test_without_vllm_the_error_names_the_extra(monkeypatch, tmp_path):
    real = builtins.__import__

    def without_vllm(name: str, *rest: Any) -> Any:
        if name.split(".")[0] == "vllm":
            raise ModuleNotFoundError("No module named 'vllm'", name="vllm")
        return real(name, *rest)

    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr(builtins, "__import__", without_vllm)
    with pytest.raises(SamplerError, match=r"pip install 'envport\[vllm\]', or use --sampler transformers"):
        VllmSampler(tmp_path, stop_ids=[1])
