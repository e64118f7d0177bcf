"""Seconds per GRPO step beside TRL's, on the same model, prompts, group sizes and forced lengths, one after the other.

    .venv/bin/python benchmarks/trainer_bench.py --model models/smollm2-135m-instruct --steps 4

The work: 8 prompts x 8 rollouts x exactly 64 sampled tokens, one weight update, AdamW on fp32 weights, bf16 autocast,
no reference model. envport does it over HTTP against an environment server in its own process; TRL calls a Python
function. The reward is the share of distinct words. The first step of each is left out. Each side runs in a process of
its own; peak memory is that process's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

QUESTIONS = [
    "What is the capital of France?",
    "Name three prime numbers.",
    "Write a short poem about rain.",
    "What is 17+25?",
    "Explain gravity briefly.",
    "List two colours.",
    "Who wrote Hamlet?",
    "Translate 'dog' to Spanish.",
]


def distinct_share(text: str) -> float:
    """Share of distinct words; not constant, so that every group has something to learn."""
    words = text.split()
    return len(set(words)) / max(len(words), 1)


def main() -> None:
    """Run both sides in turn and print one table."""
    parser = argparse.ArgumentParser(description="Seconds per GRPO step beside TRL's on the same work.")
    parser.add_argument("--model", default="models/smollm2-135m-instruct")
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--sides", default="envport,trl", help="which, and in which order")
    parser.add_argument("--side", choices=["envport", "trl"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        result = _run_envport(args) if args.side == "envport" else _run_trl(args)
        print("RESULT " + json.dumps(result))
        return
    results = {side: _in_a_process(side) for side in args.sides.split(",")}
    print(f"{'':<10}{'s/step':>8}{'rollouts s':>12}{'update s':>10}{'sampled/s':>11}{'trained/s':>11}{'peak MiB':>10}")
    for side, r in results.items():
        print(
            f"{side:<10}{r['step_s']:>8.1f}{r['rollouts_s']:>12.1f}{r['update_s']:>10.1f}"
            f"{r['sampled_per_s']:>11.0f}{r['trained_per_s']:>11.0f}{r['peak_mib']:>10.0f}"
        )
    if len(results) == 2:
        print(f"envport takes {results['envport']['step_s'] / results['trl']['step_s']:.2f} of TRL's time for a step")


def _in_a_process(side: str) -> dict[str, float]:
    environ = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, *sys.argv, "--side", side]
    done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, text=True, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    result: dict[str, float] = json.loads(line.removeprefix("RESULT "))
    return result


def _summary(steps: list[float], rollouts: list[float], args: argparse.Namespace) -> dict[str, float]:
    step_s, rollouts_s = median(steps[1:]), median(rollouts[1:])
    tokens = args.prompts * args.group * args.tokens
    return {
        "step_s": step_s,
        "rollouts_s": rollouts_s,
        "update_s": step_s - rollouts_s,
        "sampled_per_s": tokens / rollouts_s,
        "trained_per_s": tokens / (step_s - rollouts_s),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _run_envport(args: argparse.Namespace) -> dict[str, float]:
    server = subprocess.Popen(
        [sys.executable, __file__.replace("trainer_bench", "trainer_bench_env")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        url = next(word for line in server.stdout for word in line.split() if word.startswith("http://"))
        return asyncio.run(_envport_steps(args, url))
    finally:
        server.terminate()
        server.wait(15)


async def _envport_steps(args: argparse.Namespace, url: str) -> dict[str, float]:
    import envport
    import torch
    from envport_trainer.config import TrainConfig
    from envport_trainer.conversation.chat import Chat
    from envport_trainer.learning.learner import Learner
    from envport_trainer.learning.policy import Policy
    from envport_trainer.models.folder import load_policy, stop_ids
    from envport_trainer.rollouts.playing import RolloutLimits, collect_step
    from envport_trainer.rollouts.tasks import TaskSource, TaskStream
    from envport_trainer.samplers.transformers import TransformersSampler

    torch.set_num_threads(args.threads)
    config = TrainConfig.model_validate(
        {
            "envs": [{"url": url}],
            "model": args.model,
            "group_size": args.group,
            "lr": 1e-5,
            "max_new_tokens": args.tokens,
        }
    )
    loaded = load_policy(args.model)
    sampler = TransformersSampler(loaded.model, frozenset(), "bf16")  # no stop token: every sample has the full length
    learner = Learner(Policy.under_plan(loaded.model, "bf16"), config)
    chat = Chat(loaded.tokenizer, frozenset(stop_ids(loaded)))
    limits = RolloutLimits(args.tokens, 1, 2048, 1.0, 0)
    steps: list[float] = []
    rollouts: list[float] = []
    async with envport.connect(url) as env:
        stream = TaskStream([TaskSource(env, "train", 1.0)], 0, args.group)
        for step in range(args.steps):
            began = time.perf_counter()
            done = await collect_step(
                args.prompts, 0, args.group, lambda n, step=step: stream.start_group(step, n), sampler, chat, limits
            )
            rollouts.append(time.perf_counter() - began)
            learner.update(done.groups, step)
            sampler.update_weights(loaded.model)
            steps.append(time.perf_counter() - began)
            assert all(t.sampled_tokens == args.tokens for t in done.all)
            assert len(done.groups) == args.prompts
    sampler.close()
    return _summary(steps, rollouts, args)


def _run_trl(args: argparse.Namespace) -> dict[str, float]:
    import torch
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    torch.set_num_threads(args.threads)
    steps: list[float] = []
    rollouts: list[float] = []
    count = args.prompts * args.group

    class Timed(GRPOTrainer):
        def _generate_single_turn(self, *values: Any, **named: Any) -> Any:
            began = time.perf_counter()
            answer = super()._generate_single_turn(*values, **named)
            rollouts.append(time.perf_counter() - began)
            return answer

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.began = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            steps.append(time.perf_counter() - self.began)

    def reward(completions: list[list[dict[str, str]]], **_: Any) -> list[float]:
        return [distinct_share(completion[-1]["content"]) for completion in completions]

    rows = [
        {"prompt": [{"role": "user", "content": QUESTIONS[n % len(QUESTIONS)]}]}
        for n in range(args.prompts * args.steps)
    ]
    with tempfile.TemporaryDirectory() as folder:
        config = GRPOConfig(
            output_dir=str(Path(folder)),
            per_device_train_batch_size=16,
            gradient_accumulation_steps=count // 16,
            num_generations=args.group,
            max_completion_length=args.tokens,
            generation_kwargs={"min_new_tokens": args.tokens},
            max_steps=args.steps,
            learning_rate=1e-5,
            beta=0.0,
            temperature=1.0,
            loss_type="dapo",
            bf16=True,
            use_cpu=not torch.cuda.is_available(),
            model_init_kwargs={"dtype": "float32"},
            gradient_checkpointing=False,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            shuffle_dataset=False,
        )
        trainer = Timed(
            model=args.model,
            reward_funcs=reward,
            args=config,
            train_dataset=Dataset.from_list(rows),
            callbacks=[Clock()],
        )
        trainer.train()
    return _summary(steps, rollouts, args)


if __name__ == "__main__":
    main()
