"""Seconds until a vLLM server has new weights: by files and by broadcast, to the same server, in turn.

    python benchmarks/trainer/weights_bench.py --model models/smollm2-135m-instruct --updates 5

It starts `vllm serve` on this machine, on the CPU where there is no GPU, and hands it the model's weights in fp32 (or
`--dtype bfloat16`) as a run does after each step. The first update of each way is left out: it opens the group, and
warms what is warmed.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Literal

import httpx
import torch
from envport_trainer.models.folder import LoadedModel, load_policy, stop_ids
from envport_trainer.samplers.vllm_server import VllmServerSampler

if TYPE_CHECKING:
    from collections.abc import Iterator

WAYS: tuple[Literal["files", "broadcast"], ...] = ("files", "broadcast")
START_TIMEOUT_S = 600.0
MAX_TOKENS = 512


def main() -> None:
    """Measure both ways in turn and print a line for each."""
    parser = argparse.ArgumentParser(
        description="Seconds of one weight update of a vLLM server, by files and broadcast."
    )
    parser.add_argument("--model", default="models/smollm2-135m-instruct")
    parser.add_argument("--updates", type=int, default=5, help="measured of each way")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    args = parser.parse_args()
    loaded = load_policy(args.model)
    if torch.cuda.is_available():
        loaded.model.to("cuda")
    with tempfile.TemporaryDirectory() as folder:
        process, url = start(args.model, args.dtype, Path(folder) / "log")
        try:
            wait_until_it_answers(process, url, Path(folder) / "log")
            seconds = measure(loaded, args, url, Path(folder))
        finally:
            process.terminate()
            process.wait(60)
    weights = sum(weight.numel() for weight in loaded.model.parameters())
    print(f"{args.model}: {weights / 1e6:.0f} M weights as {args.dtype}, {args.updates} updates of each way in turn")
    print(f"{'':<12}{'median s':>10}{'least s':>10}{'most s':>10}")
    for way in WAYS:
        print(f"{way:<12}{median(seconds[way]):>10.2f}{min(seconds[way]):>10.2f}{max(seconds[way]):>10.2f}")


def start(model: str, dtype: str, log: Path) -> tuple[subprocess.Popen[bytes], str]:
    """A server that takes weights both ways, and its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model, "--port", str(port)]
    command += ["--host", "127.0.0.1", "--dtype", dtype, "--max-model-len", str(MAX_TOKENS), "--enforce-eager"]
    command += ["--generation-config", "vllm", "--logprobs-mode", "processed_logprobs"]
    command += ["--no-enable-chunked-prefill", "--max-num-batched-tokens", str(MAX_TOKENS), "--max-num-seqs", "16"]
    command += ["--worker-extension-cls", "envport_trainer.samplers.vllm_receiver.WeightReceiver"]
    settings = {"VLLM_SERVER_DEV_MODE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    settings["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=os.environ | settings, stdout=output, stderr=output)
    return process, f"http://127.0.0.1:{port}"


def wait_until_it_answers(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Return when the server lives; end the program when it does not come up."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(url + "/health", timeout=5).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    raise SystemExit(f"vllm serve did not start:\n{log.read_text()[-3000:]}")


def measure(loaded: LoadedModel, args: argparse.Namespace, url: str, folder: Path) -> dict[str, list[float]]:
    """Seconds of each measured update, by its way."""
    samplers = {
        way: VllmServerSampler(
            url,
            model=args.model,
            stop_ids=stop_ids(loaded),
            folder=folder / way,
            max_tokens=MAX_TOKENS,
            dtype=getattr(torch, args.dtype),
            weights=way,
        )
        for way in WAYS
    }
    try:
        rounds = [{way: seconds_of(samplers[way], loaded) for way in order} for order in orders(1 + args.updates)]
    finally:
        for sampler in samplers.values():
            sampler.close()
    return {way: [seconds[way] for seconds in rounds[1:]] for way in WAYS}


def orders(count: int) -> Iterator[tuple[Literal["files", "broadcast"], ...]]:
    """The ways of each round, so that each is first as often as last."""
    return (WAYS if number % 2 else WAYS[::-1] for number in range(count))


def seconds_of(sampler: VllmServerSampler, loaded: LoadedModel) -> float:
    """Of one update, until the server has it."""
    began = time.monotonic()
    sampler.update_weights(loaded.model)
    return time.monotonic() - began


if __name__ == "__main__":
    main()
