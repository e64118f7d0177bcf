"""Weights from memory to memory: to a real `vllm serve` on the CPU, and to workers of our own for what it cannot do."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import torch
from envport_trainer.errors import SamplerError
from envport_trainer.models.folder import LoadedModel, load_policy
from envport_trainer.samplers import vllm_broadcast
from envport_trainer.samplers.vllm_broadcast import WeightBroadcast
from envport_trainer.samplers.vllm_http import VllmHttp
from envport_trainer.samplers.vllm_receiver import WeightReceiver
from envport_trainer.samplers.weight_group import packed, unpacked
from envport_trainer.types import SampleRequest
from torch.distributed import HashStore

from .test_vllm_sampler import ROUNDING, distances, greedy, perturbed, question
from .test_vllm_server import Serve, adapted, at, long_sample, with_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from envport_trainer.samplers.vllm_server import VllmServerSampler

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def loaded(smollm2: Path) -> LoadedModel:
    return load_policy(str(smollm2))


@pytest.fixture(scope="module")
def serve(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    extension = ["--worker-extension-cls", "envport_trainer.samplers.vllm_receiver.WeightReceiver"]
    serve = Serve(
        smollm2, tmp_path_factory.mktemp("serve") / "log", "--logprobs-mode", "processed_logprobs", *extension
    )
    try:
        serve.wait_until_it_answers()
        yield serve
    finally:
        serve.kill(signal.SIGTERM)


@pytest.fixture
def sampler(serve: Serve, loaded: LoadedModel, smollm2: Path, tmp_path: Path) -> Iterator[VllmServerSampler]:
    """With the model's own weights, sent in many buffers."""
    sampler = at(serve.url, smollm2, loaded, tmp_path, weights="broadcast")
    assert sampler._broadcast is not None
    sampler._broadcast._buffer_bytes = 2**25
    sampler.update_weights(loaded.model)
    yield sampler
    sampler.close()


@with_server
async def test_after_each_broadcast_greedy_text_is_that_of_the_new_weights(loaded, sampler, tmp_path):
    prompt = question(loaded, "What is the capital of France? " + "word " * 140)
    seen = [(await sampler.sample(SampleRequest(prompt, 16, temperature=0.0))).token_ids]
    for policy in (perturbed(loaded, 1), loaded):
        await asyncio.to_thread(sampler.update_weights, policy.model)
        sample = await sampler.sample(SampleRequest(prompt, 16, temperature=0.0))
        assert sample.token_ids == greedy(policy, prompt, 16)
        assert distances(policy, prompt, sample, 1.0).max() < ROUNDING, "nothing cached of the old weights was used"
        seen.append(sample.token_ids)
    assert seen[0] == seen[2] != seen[1], "the weights were to be really different"
    assert list(tmp_path.iterdir()) == [], "nothing went over the disk"


@with_server
async def test_adapters_are_merged_on_their_way_to_the_server(loaded, sampler):
    model, prompt = adapted(loaded, 1), question(loaded, "What is the capital of France?")
    await asyncio.to_thread(sampler.update_weights, model)
    sample = await sampler.sample(SampleRequest(prompt, 12, temperature=0.0))
    assert sample.token_ids == greedy(LoadedModel(model, loaded.tokenizer), prompt, 12)
    assert sample.token_ids != greedy(loaded, prompt, 12)


@with_server
async def test_a_broadcast_does_not_wait_for_samples_in_flight(loaded, sampler):
    new, prompt = perturbed(loaded, 3), question(loaded, "Count to a thousand.")
    task = await long_sample(sampler, prompt)
    await asyncio.to_thread(sampler.update_weights, new.model)
    assert not task.done()
    late = await sampler.sample(SampleRequest(prompt, 8, seed=2))
    assert distances(new, prompt, late, 1.0).max() < ROUNDING
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@with_server
def test_the_group_listens_on_the_loopback_alone(serve, sampler):
    ends = [psutil.Process(os.getpid()), *psutil.Process(serve.process.pid).children(recursive=True)]
    listening = [c.laddr.ip for end in ends for c in end.net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert set(listening) == {"127.0.0.1"}


@with_server
def test_a_server_killed_in_the_middle_of_a_broadcast_is_told_within_seconds(loaded, sampler, serve, monkeypatch):
    """The last test of the server."""

    def until_it_is_killed(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
        for number, item in enumerate(model.state_dict().items()):
            if number == 100:
                serve.kill()
            yield item

    monkeypatch.setattr("envport_trainer.samplers.vllm_server.merged_state", until_it_is_killed)
    began = time.monotonic()
    with pytest.raises(SamplerError, match=f"the vLLM server at {serve.url} is gone: .*; look at its log, start it"):
        sampler.update_weights(loaded.model)
    assert time.monotonic() - began < 30
    with pytest.raises(SamplerError, match="is gone"):
        sampler._http.wait_for(sampler.sample(SampleRequest([5], 1)))


class Worker(WeightReceiver):
    """A worker of no engine, which keeps the weights that it is told to load."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.device = rank, CPU
        self.parallel_config = SimpleNamespace(world_size=size, data_parallel_size=1)
        self.weights: dict[str, torch.Tensor] = {}
        self.refuses = ""
        self.loads = 0

    def reload_weights(self, weights_iterator: Any) -> None:
        self.loads += 1
        for name, tensor in weights_iterator:
            if name == self.refuses:
                raise ValueError(f"there is no\nweight {name}")
            self.weights[name] = tensor


class Workers:
    """A server of `/collective_rpc` alone, whose workers are threads of this process."""

    def __init__(self, size: int) -> None:
        self.workers = [Worker(rank, size) for rank in range(size)]
        self.absent: set[str] = set()
        """Methods that never return."""
        self.held = threading.Event()
        rpc = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.reply(200, {})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if body["method"] in rpc.absent:
                    rpc.held.wait(60)
                with ThreadPoolExecutor(len(rpc.workers)) as pool:
                    calls = [pool.submit(getattr(worker, body["method"]), **body["kwargs"]) for worker in rpc.workers]
                    self.reply(200, {"results": [call.result() for call in calls]})

            def reply(self, status: int, value: Any) -> None:
                data = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.http = VllmHttp(f"http://127.0.0.1:{self.server.server_address[1]}")
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.held.set()
        self.http.close()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def two() -> Iterator[Workers]:
    """As of a server with two GPUs for one model."""
    workers = Workers(2)
    yield workers
    workers.stop()


def weights(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"a": (3, 5), "b": (7,), "c": (0, 4), "d": (), "e": (2, 3, 4)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()} | {
        "f": torch.arange(seed, seed + 9),
        "g": torch.randn((6, 6), generator=generator).T,
    }


def as_dtype(tensors: dict[str, torch.Tensor], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    return {name: t.to(dtype) if t.is_floating_point() else t for name, t in tensors.items()}


def assert_same(got: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert list(got) == list(expected)
    for name, tensor in expected.items():
        assert got[name].dtype == tensor.dtype, name
        assert torch.equal(got[name], tensor), name


@pytest.mark.parametrize(("limit", "count"), [(1, 6), (512, 3), (1024, 2), (10**6, 1)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_what_is_unpacked_is_what_was_packed_in_buffers_of_at_most_the_limit(limit, count, dtype):
    tensors = weights(1)
    buffers = list(packed(tensors.items(), dtype, CPU, limit=limit))
    got = {name: tensor for buffer, places in buffers for name, tensor in unpacked(buffer, places)}
    assert_same(got, as_dtype(tensors, dtype))
    assert len(buffers) == count, "six tensors that are not empty, each on a border of 256 bytes"
    assert all(buffer.numel() <= max(limit, 256) for buffer, _ in buffers)


def test_each_worker_of_a_server_gets_every_update_and_keeps_what_it_got(two):
    broadcast = WeightBroadcast(two.http, buffer_bytes=600)
    for update in (1, 2):
        broadcast.send(weights(update).items(), torch.bfloat16, CPU)
        kept = [dict(worker.weights) for worker in two.workers]
        for worker in kept:
            assert_same(worker, as_dtype(weights(update), torch.bfloat16))
    store = broadcast._group.store
    assert [key for update in "12" for key in range(9) if store.check([f"{update} {key}"])] == [], "all is taken back"
    broadcast.close()
    assert [worker._envport_group for worker in two.workers] == [None, None]


def test_a_worker_that_is_asked_twice_for_an_update_takes_it_once(two):
    """As when the answer was lost and the request is made again."""
    broadcast = WeightBroadcast(two.http)
    broadcast.send(weights(1).items(), torch.float32, CPU)
    assert two.workers[0].envport_receive(1) == {"tensors": 7}
    assert two.workers[0].loads == 1
    broadcast.close()


def test_another_run_opens_a_group_of_its_own_where_one_died(two):
    WeightBroadcast(two.http).send(weights(1).items(), torch.float32, CPU)
    second = WeightBroadcast(two.http)
    second.send(weights(2).items(), torch.float32, CPU)
    for worker in two.workers:
        assert_same(worker.weights, weights(2))
    second.close()


def test_what_one_worker_refuses_is_told_at_once_though_the_other_waits(two):
    two.workers[1].refuses = "e"
    broadcast = WeightBroadcast(two.http, buffer_bytes=1)
    began = time.monotonic()
    with pytest.raises(SamplerError, match="did not take the weights: worker 1: ValueError: there is no weight e"):
        broadcast.send(weights(1).items(), torch.float32, CPU)
    assert time.monotonic() - began < vllm_broadcast.STALL_TIMEOUT_S / 2


def test_workers_that_never_come_are_told_at_the_deadline(two, monkeypatch):
    monkeypatch.setattr(vllm_broadcast, "JOIN_TIMEOUT_S", 0.5)
    two.absent = {"envport_join"}
    with pytest.raises(SamplerError, match=r"took nothing for 0 s|gave no answer to /collective_rpc within 0 s"):
        WeightBroadcast(two.http).send(weights(1).items(), torch.float32, CPU)


def test_workers_that_take_nothing_are_told_at_the_deadline(two, monkeypatch):
    monkeypatch.setattr(vllm_broadcast, "STALL_TIMEOUT_S", 1.0)
    broadcast = WeightBroadcast(two.http)
    broadcast.send(weights(1).items(), torch.float32, CPU)
    two.absent = {"envport_receive"}
    large = [("large", torch.zeros(2**24))]  # more than a socket takes unread
    with pytest.raises(SamplerError, match=r"took nothing for 1 s|left in the middle of an update"):
        broadcast.send(large, torch.float32, CPU)


def test_a_wait_ends_at_its_deadline_whatever_becomes_of_its_request(two):
    broadcast = WeightBroadcast(two.http)
    with pytest.raises(SamplerError, match="took nothing for 0 s; look at its log and its load"):
        broadcast._wait(lambda: False, HashStore(), Future(), 0.1)


def test_a_worker_that_cannot_reach_the_trainer_is_told(two, monkeypatch):
    monkeypatch.setattr(vllm_broadcast, "_REACH_TIMEOUT_S", 0.5)
    opened = vllm_broadcast.open_store

    def elsewhere(address: str, timeout_s: float) -> Any:
        return opened(address, timeout_s)[0], 9

    monkeypatch.setattr(vllm_broadcast, "open_store", elsewhere)
    with pytest.raises(SamplerError, match=r"worker 0: it did not reach the trainer at 127.0.0.1, port 9: Dist"):
        WeightBroadcast(two.http).send(weights(1).items(), torch.float32, CPU)


def test_a_trainer_that_fails_in_the_middle_frees_the_workers(two):
    broadcast = WeightBroadcast(two.http, buffer_bytes=1)

    def failing() -> Iterator[tuple[str, torch.Tensor]]:
        yield from weights(1).items()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broadcast.send(failing(), torch.float32, CPU)
    deadline = time.monotonic() + 20
    while any(worker._envport_group for worker in two.workers) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [worker._envport_group for worker in two.workers] == [None, None]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"data_parallel_size": 2, "world_size": 2}, "has 2 engines of 2 workers, and 2 workers answered"),
        ({"data_parallel_size": 1, "world_size": 4}, "has 1 engines of 4 workers, and 2 workers answered"),
    ],
)
def test_a_server_whose_workers_do_not_all_answer_is_refused(two, change, told):
    for worker in two.workers:
        worker.parallel_config = SimpleNamespace(**change)
    with pytest.raises(SamplerError, match=told):
        WeightBroadcast(two.http)


def test_two_workers_of_one_rank_are_told(two):
    two.workers[1].rank = 0
    with pytest.raises(SamplerError, match="there are two workers of rank 0"):
        WeightBroadcast(two.http).send(weights(1).items(), torch.float32, CPU)


def test_a_receiver_of_another_version_is_refused(two, monkeypatch):
    monkeypatch.setattr(vllm_broadcast, "PROTOCOL", 2)
    with pytest.raises(SamplerError, match="a weight receiver of version 1, expected 2; install the same envport"):
        WeightBroadcast(two.http)
