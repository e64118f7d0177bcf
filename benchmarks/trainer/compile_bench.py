"""Seconds of an update with the layers compiled beside plain ones: same model, optimizer and rollouts, in turn.

    python benchmarks/trainer/compile_bench.py --model models/smollm2-135m-instruct

The work: groups of made rollouts of random tokens with logprobs of the model's own size, one update of `Learner`, AdamW
on fp32 weights, bf16 autocast. No sampler and no environment. One model in one process does plain and compiled updates
alternately, after one of each that is left out. The compiler's caches on disk are empty, so its time is that of a first
run. CPU seconds stand beside wall-clock seconds: they tell more where other work runs on the machine.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from envport_trainer.types import Trajectory


def main() -> None:
    """Print the times of both, their ratio, and the steps after which compiling pays."""
    parser = argparse.ArgumentParser(description="Seconds of an update with compiled layers beside plain ones.")
    parser.add_argument("--model", default="models/smollm2-135m-instruct")
    parser.add_argument("--groups", type=int, default=4)
    parser.add_argument("--group-size", type=int, default=8)
    parser.add_argument("--prompt-tokens", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=64, help="of each rollout's completion")
    parser.add_argument("--pairs", type=int, default=3, help="of a plain and a compiled update that count")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        _measure(args)


def _measure(args: argparse.Namespace) -> None:
    import torch
    from envport_trainer.config import TrainConfig
    from envport_trainer.learning.adapters import ordinary
    from envport_trainer.learning.compiling import compile_layers, warm_up
    from envport_trainer.learning.making import load_trained, make_learner
    from torch._dynamo.utils import counters

    torch.set_num_threads(args.threads)
    config = TrainConfig.model_validate(
        {
            "envs": [{"url": "http://none"}],
            "model": args.model,
            "device": "cpu",
            "lr": 1e-9,
            "max_new_tokens": args.tokens,
        }
    )
    learner = make_learner(config, load_trained(config))
    groups = _made_groups(args)
    times = {True: _Times(), False: _Times()}
    learner.update(groups, 0)
    compile_layers(ordinary(learner.policy.model))
    learner.policy.compiled = True
    compile_s = warm_up(learner)
    print(f"compiling and one pass over the warm-up's tokens: {compile_s:.1f} s", flush=True)
    learner.update(groups, 0)
    graphs = counters["stats"]["unique_graphs"]
    for pair in range(args.pairs):
        for compiled in (False, True) if pair % 2 else (True, False):
            learner.policy.compiled = compiled
            times[compiled].add(partial(learner.update, groups, 0))
            print(f"{'compiled' if compiled else 'plain':<9} {times[compiled].last}", flush=True)
    _report(times[False], times[True], compile_s, counters["stats"]["unique_graphs"] - graphs)


class _Times:
    """Wall-clock and CPU seconds of what was done."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def add(self, work: Callable[[], object]) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        self.wall.append(time.perf_counter() - wall)
        self.cpu.append(time.process_time() - cpu)

    @property
    def last(self) -> str:
        return f"{self.wall[-1]:.1f} s, {self.cpu[-1]:.1f} CPU s"


def _report(plain: _Times, compiled: _Times, compile_s: float, recompiled: int) -> None:
    print(f"recompiled in the updates that count: {recompiled}")
    for name, before, after in (("wall", plain.wall, compiled.wall), ("CPU", plain.cpu, compiled.cpu)):
        print(
            f"{name}: plain {median(before):.1f} s, compiled {median(after):.1f} s (medians of {len(before)}), "
            f"ratio {median(after) / median(before):.2f}"
        )
    saved = median(plain.wall) - median(compiled.wall)
    pays = f"pays after {compile_s / saved:.0f} updates" if saved > 0 else "does not pay: it saves nothing"
    print(f"{pays}, by wall-clock seconds")


def _made_groups(args: argparse.Namespace) -> list[list[Trajectory]]:
    from envport_trainer.types import Finish, TokenRow, Trajectory

    choice = random.Random(0)

    def ids(count: int) -> list[int]:
        return [choice.randrange(100, 40_000) for _ in range(count)]

    def rollout(group: int, prompt: list[int]) -> Trajectory:
        length = args.prompt_tokens + args.tokens
        mask = [place >= args.prompt_tokens for place in range(length)]
        logprobs = [-8.0 if sampled else 0.0 for sampled in mask]
        row = TokenRow(prompt + ids(args.tokens), mask, logprobs, args.prompt_tokens)
        return Trajectory(
            env="http://none",
            env_digest=None,
            task_id=None,
            rollout_id=str(group),
            group=group,
            rows=[row],
            policy_version=0,
            finish=Finish.STOP,
            messages=[],
            reward=choice.random(),
        )

    prompts = [ids(args.prompt_tokens) for _ in range(args.groups)]
    return [[rollout(group, prompt) for _ in range(args.group_size)] for group, prompt in enumerate(prompts)]


if __name__ == "__main__":
    main()
