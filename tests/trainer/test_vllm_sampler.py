"""vLLM in this process: requests join a running batch, logprobs are the policy's, and new weights take hold.

One engine at a time: the tests that start their own come first, the others share one in fp32, whose answers differ from
transformers' by little.
"""

from __future__ import annotations

import asyncio
import builtins
import copy
import importlib.util
import re
import threading
from dataclasses import make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

import pytest
import torch
from envport_trainer.errors import SamplerError
from envport_trainer.learning.adapters import add_adapters
from envport_trainer.models.folder import LoadedModel, load_policy, stop_ids
from envport_trainer.samplers.vllm import VllmSampler, _import_vllm
from envport_trainer.samplers.vllm_capabilities import (
    ENGINE_ARGUMENTS,
    ENGINE_METHODS,
    SAMPLING_ARGUMENTS,
    Vllm,
    check_capabilities,
    check_reload,
)
from envport_trainer.samplers.vllm_files import write_weights
from envport_trainer.types import Sample, SampleRequest
from safetensors.torch import load_file
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDING = 2e-3
"""How far two fp32 programs of one model may be apart, in nats."""

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
        sampler = VllmSampler(smollm2, stop_ids=stop_ids(loaded), max_tokens=256, dtype="float32", cache_bytes=2**28)
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


def distances(loaded: LoadedModel, prompt: list[int], sample: Sample, temperature: float) -> torch.Tensor:
    return (logprobs_of(loaded, prompt, sample, temperature) - torch.tensor(sample.logprobs)).abs()


def perturbed(loaded: LoadedModel, seed: int) -> LoadedModel:
    """Other weights everywhere: noise of a twentieth of each one's spread."""
    model = copy.deepcopy(loaded.model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            spread = weight.std() if weight.ndim > 1 else weight.abs().mean()
            weight += 0.05 * spread * torch.randn(weight.shape, generator=generator)
    return LoadedModel(model, loaded.tokenizer)


@with_vllm
async def test_in_bf16_logprobs_agree_and_a_closed_sampler_fails_what_is_in_flight_and_what_comes_later(
    smollm2, loaded
):
    sampler = VllmSampler(smollm2, stop_ids=stop_ids(loaded), max_tokens=256, cache_bytes=2**28)
    prompt = question(loaded, "Name three rivers.")
    samples = await asyncio.gather(*(sampler.sample(SampleRequest(prompt, 24, 0.7, seed=seed)) for seed in range(8)))
    apart = torch.cat([distances(loaded, prompt, sample, 0.7) for sample in samples])
    assert 0 < apart.mean() < 0.1, "bf16 noise is 0.03 to 0.06; raw logprobs at 0.7 would be 0.4 away"
    task = asyncio.create_task(sampler.sample(SampleRequest(question(loaded, "Count."), 200, seed=1)))
    await asyncio.sleep(0.2)
    await asyncio.to_thread(sampler.close)
    sampler.close()
    with pytest.raises(SamplerError, match="the sampler was closed"):
        await task
    with pytest.raises(SamplerError, match="the sampler was closed"):
        await sampler.sample(SampleRequest([5], 1))
    assert torch.get_num_threads() > 0


@with_vllm
def test_a_folder_that_vllm_cannot_read_is_told(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(SamplerError, match=f"vLLM did not start on {tmp_path}"):
        VllmSampler(tmp_path, stop_ids=[1])


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
    assert torch.cat([distances(loaded, prompt, sample, temperature) for sample in samples]).max() < ROUNDING
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
    assert await asyncio.to_thread(lambda: sampler._ask(lambda: None, 60)) is None  # the engine has seen the end of it
    assert sampler._pending == {}


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
        assert distances(taught, prompt, after, 1.0).max() < ROUNDING
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


def test_a_folder_without_a_model_is_told(tmp_path):
    with pytest.raises(SamplerError, match=f"vLLM reads ordinary model folders, and {tmp_path} has no config.json"):
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


@with_vllm
async def test_after_each_of_three_updates_greedy_text_is_transformers_token_by_token(loaded, sampler):
    prompts = [
        question(loaded, text) for text in ("What is the capital of France?", "Count to ten.", "Why is ice cold?")
    ]
    seen: list[list[list[int]]] = []
    try:
        for policy in (perturbed(loaded, 1), perturbed(loaded, 2), loaded):
            await asyncio.to_thread(sampler.update_weights, policy.model)
            samples = await asyncio.gather(*(sampler.sample(SampleRequest(p, 24, temperature=0.0)) for p in prompts))
            assert [sample.token_ids for sample in samples] == [greedy(policy, prompt, 24) for prompt in prompts]
            seen.append([sample.token_ids for sample in samples])
    finally:
        sampler.update_weights(loaded.model)
    assert len({str(answers) for answers in seen}) == 3, "the weights were to be really different"


@with_vllm
async def test_adapters_are_merged_on_the_way_and_the_trained_model_keeps_them(loaded, sampler):
    adapted = add_adapters(copy.deepcopy(loaded.model), 4, 32.0, seed=1)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.copy_(0.02 * torch.randn(weight.shape, generator=generator))
    before = {name: weight.clone() for name, weight in adapted.state_dict().items()}
    prompt = question(loaded, "What is the capital of France?")
    expected = greedy(LoadedModel(adapted, loaded.tokenizer), prompt, 24)
    assert expected != greedy(loaded, prompt, 24)
    sampler.update_weights(adapted)
    try:
        assert (await sampler.sample(SampleRequest(prompt, 24, temperature=0.0))).token_ids == expected
    finally:
        sampler.update_weights(loaded.model)
    after = adapted.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@with_vllm
async def test_a_sample_in_flight_goes_on_with_the_new_weights_and_its_own_keys(loaded, sampler, monkeypatch):
    """Two samples get ten tokens of the old weights and ten of the new; the engine does as told between two steps."""
    new, prompt = perturbed(loaded, 4), question(loaded, "word " * 140)  # 128 tokens are a block of the cache on a CPU
    steps, middle, begin, go_on = iter(range(1, 1000)), threading.Event(), threading.Event(), threading.Event()
    hand_out, cached = sampler._hand_out, []

    def watch(outputs: Any) -> None:
        hand_out(outputs)
        cached.extend(output.num_cached_tokens for output in outputs)
        if next(steps) == 10:
            middle.set()
            go_on.wait(60)

    monkeypatch.setattr(sampler, "_hand_out", watch)
    monkeypatch.setattr(sampler, "_stop_ids", [])
    sampler._submit(lambda: begin.wait(60) and None)
    tasks = [asyncio.create_task(sampler.sample(SampleRequest(prompt, 20, seed=seed))) for seed in (1, 2)]
    await asyncio.sleep(0)
    begin.set()  # both are there: they begin in one step
    assert await asyncio.to_thread(middle.wait, 120)
    try:
        update = asyncio.create_task(asyncio.to_thread(sampler.update_weights, new.model))
        while sampler._jobs.empty():
            await asyncio.sleep(0)
        go_on.set()
        await update
        late = await sampler.sample(SampleRequest(prompt, 8, seed=3))
        for sample in await asyncio.gather(*tasks):
            of = torch.tensor(sample.logprobs)
            assert (switched(loaded, new, prompt, sample, 10) - of).abs().max() < ROUNDING
            for other in (9, 11):  # a moment too early and one too late are told apart from the right one
                assert (switched(loaded, new, prompt, sample, other) - of).abs().max() > 5 * ROUNDING
            assert distances(new, prompt, sample, 1.0)[10:].max() > 5 * ROUNDING, "the old keys are still there"
        assert distances(new, prompt, late, 1.0).max() < ROUNDING, "it must not see keys of the old weights"
        again = await sampler.sample(SampleRequest(prompt, 8, seed=3))
        assert again.token_ids == late.token_ids
        assert cached[-1] == 128, "keys of the new weights are used again"
    finally:
        sampler.update_weights(loaded.model)


def switched(old: LoadedModel, new: LoadedModel, prompt: list[int], sample: Sample, switch: int) -> torch.Tensor:
    """Logprobs where `old` sampled the first `switch` tokens, and `new` the others over the keys that `old` left."""
    ids = torch.tensor([prompt + sample.token_ids])
    seen = len(prompt) + switch - 1  # the last token before the switch is read by the new weights
    with torch.no_grad():
        first = old.model(ids[:, :seen], use_cache=True)
        rest = new.model(ids[:, seen:], past_key_values=first.past_key_values).logits[0, :-1]
    logits = torch.cat([first.logits[0, len(prompt) - 1 :], rest])
    return functional.log_softmax(logits, -1).gather(1, torch.tensor(sample.token_ids)[:, None])[:, 0]


class FakeSleepingEngine:
    """Stands for an engine on a GPU: writes down in which order it is put to sleep, loaded and woken."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def sleep(self, level: int) -> None:
        self.calls.append(f"sleep {level}")

    def wake_up(self, tags: list[str]) -> None:
        self.calls.append(f"wake {tags}")

    def collective_rpc(self, method: str, kwargs: dict[str, Any]) -> None:
        self.calls.append(f"{method} {[name for name, _ in kwargs['weights_iterator']]}")

    def reset_prefix_cache(self) -> bool:
        self.calls.append("reset")
        return True

    def has_unfinished_requests(self) -> bool:
        return False

    @property
    def engine_core(self) -> FakeSleepingEngine:
        return self

    def shutdown(self) -> None:
        self.calls.append("shutdown")


async def test_a_fake_engine_on_a_gpu_wakes_for_its_weights_before_its_cache(tmp_path, monkeypatch):
    engine = FakeSleepingEngine()
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr("envport_trainer.samplers.vllm._start_engine", lambda _: engine)
    monkeypatch.setattr("envport_trainer.samplers.vllm._gpu_is_there", lambda: True)
    sampler = VllmSampler(tmp_path, stop_ids=[1])
    try:
        sampler.sleep()
        with pytest.raises(SamplerError, match="the engine's weights were freed by sleep; call update_weights before"):
            sampler.wake()
        with pytest.raises(SamplerError, match="the engine sleeps; call update_weights and wake before sampling"):
            await sampler.sample(SampleRequest([5], 1))
        sampler.update_weights(torch.nn.Linear(1, 1))
        sampler.wake()
    finally:
        sampler.close()
    loads = ["wake ['weights']", "reload_weights ['weight', 'bias']", "reset"]
    assert engine.calls == ["sleep 2", *loads, "wake ['kv_cache']", "shutdown"]


@with_vllm
async def test_on_a_cpu_sleep_and_wake_leave_the_engine_as_it_is(loaded, sampler):
    sampler.sleep()
    sampler.wake()
    sample = await sampler.sample(SampleRequest(question(loaded, "What is the capital of France?"), 4, temperature=0.0))
    assert loaded.tokenizer.decode(sample.token_ids) == "The capital of France"


@pytest.mark.gpu
@with_vllm
async def test_on_a_gpu_sleep_frees_memory_and_the_woken_engine_has_the_new_weights(smollm2, loaded):
    sampler = VllmSampler(smollm2, stop_ids=stop_ids(loaded), max_tokens=256, dtype="float32", memory_share=0.2)
    try:
        awake, _ = torch.cuda.mem_get_info()
        sampler.sleep()
        assert torch.cuda.mem_get_info()[0] > awake + 2**28
        taught = perturbed(loaded, 5)
        sampler.update_weights(taught.model)
        sampler.wake()
        prompt = question(loaded, "What is the capital of France?")
        sample = await sampler.sample(SampleRequest(prompt, 16, temperature=0.0))
        assert sample.token_ids == greedy(taught, prompt, 16)
    finally:
        sampler.close()


def test_vllm_is_imported_in_one_file_alone():
    package = Path(__file__).parents[2] / "trainer/envport_trainer"
    imports = re.compile(r"^\s*(from|import) vllm\b", re.MULTILINE)
    files = [file.relative_to(package).as_posix() for file in package.rglob("*.py") if imports.search(file.read_text())]
    assert files == ["samplers/vllm.py"]


class FakeEngine:
    """Stands for a vLLM engine's class with all that is asked for."""

    def abort_request(self) -> None: ...
    def add_request(self) -> None: ...
    def collective_rpc(self) -> None: ...
    def has_unfinished_requests(self) -> None: ...
    def reset_prefix_cache(self) -> None: ...
    def sleep(self, level: int = 1) -> None: ...
    def wake_up(self, tags: list[str] | None = None) -> None: ...


class FakePrompt(TypedDict):
    cache_salt: NotRequired[str]


def fake_vllm(engine: Any = FakeEngine, without: str = "", prompt: Any = FakePrompt) -> Vllm:
    """A vLLM made up for this test, whose arguments have no `without`."""
    arguments = make_dataclass("EngineArgs", [name for name in ENGINE_ARGUMENTS if name != without])
    params = make_dataclass("SamplingParams", [name for name in SAMPLING_ARGUMENTS if name != without])
    return Vllm("0.99.0", engine, arguments, params, prompt)


def test_a_fake_vllm_that_lacks_something_is_refused_by_what_it_lacks():
    check_capabilities(fake_vllm(), sleeps=True)
    sleepless = type("Engine", (), dict.fromkeys(ENGINE_METHODS, print))
    check_capabilities(fake_vllm(sleepless), sleeps=False)
    for vllm, lacking in [
        (fake_vllm(without="logprobs_mode"), "the engine argument logprobs_mode"),
        (fake_vllm(without="seed"), "the sampling parameter seed"),
        (fake_vllm(prompt=TypedDict("Plain", {"prompt_token_ids": list[int]})), "cache_salt in a prompt of token ids"),
        (fake_vllm(sleepless), "an engine that sleeps by level and wakes by tag"),
        (
            fake_vllm(type("Bare", (), {}), without="seed"),
            ", ".join(["the sampling parameter seed", *(f"the engine's method {name}" for name in ENGINE_METHODS)]),
        ),
    ]:
        with pytest.raises(SamplerError) as caught:
            check_capabilities(vllm, sleeps=True)
        assert f"vLLM 0.99.0 lacks {lacking}" in str(caught.value)
    check_reload("0.99.0", lambda weights_iterator: None)
    for worker in (None, lambda weights_path: None):
        with pytest.raises(SamplerError, match=r"vLLM 0.99.0 lacks a worker that reloads weights from an iterator"):
            check_reload("0.99.0", worker)


@with_vllm
def test_the_installed_vllm_has_all_that_is_asked_for():
    check_capabilities(_import_vllm(), sleeps=True)


def test_written_weights_are_whole_files_in_the_asked_precision(tmp_path):
    weights = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.full((4,), 0.1), "n": torch.tensor([3])}
    write_weights(
        (item for item in [*weights.items(), ("tied", weights["a"])]), tmp_path / "w", torch.bfloat16, shard_bytes=20
    )
    files = sorted((tmp_path / "w").iterdir())
    assert [file.name for file in files] == [f"model-{number:05}.safetensors" for number in (1, 2)]
    read = {name: tensor for file in files for name, tensor in load_file(file).items()}
    assert read.keys() == {"a", "b", "n", "tied"}
    assert torch.equal(read["tied"], weights["a"].bfloat16())
    assert torch.equal(read["b"], weights["b"].bfloat16())
    assert torch.equal(read["n"], torch.tensor([3]))
    assert [path.name for path in tmp_path.iterdir()] == ["w"]


def test_weights_that_cannot_be_written_leave_nothing(tmp_path):
    def broken() -> Iterator[tuple[str, torch.Tensor]]:
        yield "a", torch.zeros(2)
        raise OSError("disk full")

    with pytest.raises(SamplerError, match=r"cannot write the sampler's weights to .*w: disk full; check the space"):
        write_weights(broken(), tmp_path / "w", torch.float32)
    assert list(tmp_path.iterdir()) == []
