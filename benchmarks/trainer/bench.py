"""Seconds and memory of a GRPO step beside TRL's: the same model, prompts, group sizes, forced lengths, in turn.

    python benchmarks/trainer/bench.py --model models/smollm2-135m-instruct --steps 4
    python benchmarks/trainer/bench.py --latency-ms 20 --tool-calls 4

The work without tools: 8 prompts x 8 rollouts x exactly 64 sampled tokens, one weight update, AdamW on fp32 weights,
bf16 autocast, no reference model. The reward is the share of distinct words.

With `--tool-calls N` each rollout has N + 1 turns of 16 sampled tokens, and each of the first N ends in a tool call.
The model does not call tools by itself, so both sides are forced alike: after the 16 tokens of a turn the text of one
call is appended to what was sampled, and is trained on as if it had been. Starting a rollout, each tool call and the
reward take `--latency-ms` each. Both sides use TRL's own `qwen2_5.jinja` as the chat template.

What runs: envport's side is `envport_trainer.training.train` with its defaults, over HTTP against an environment server
in another process; its times are those of its `metrics.jsonl`. TRL's side is `GRPOTrainer` with a reward function, or
with tools `environment_factory` and `get_reward`; its loop, its calls to the environment and its update are TRL's own.
Forced on envport's side: no stop token, the appended calls, and no check that sampler and trainer agree (an appended
call was not sampled). Forced on TRL's: `min_new_tokens`, and the appended calls in `_generate_single_turn`.

The first step of each is left out. Each side runs in a process of its own; peak memory is that process's, which for TRL
has the environment in it and for envport has not.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from bench_env import QUESTIONS, RESULT, distinct_share

if TYPE_CHECKING:
    from envport_trainer.types import Sample, SampleRequest

TURN_TOKENS = 16
CALL = '<tool_call>\n{"name": "search", "arguments": {"query": "rain"}}\n</tool_call><|im_end|>'


def main() -> None:
    """Run both sides in turn and print one table."""
    parser = argparse.ArgumentParser(description="Seconds and memory of a GRPO step beside TRL's on the same work.")
    parser.add_argument("--model", default="models/smollm2-135m-instruct")
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=64, help="sampled in a rollout without tools")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--latency-ms", type=float, default=0.0, help="of each call to the environment")
    parser.add_argument("--tool-calls", type=int, default=0, help="in each rollout")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--sides", default="envport,trl", help="which, and in which order")
    parser.add_argument("--side", choices=["envport", "trl"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        result = _run_envport(args) if args.side == "envport" else _run_trl(args)
        print("RESULT " + json.dumps(result))
        return
    results = {side: _in_a_process(side) for side in args.sides.split(",")}
    print(f"{'':<10}{'s/step':>8}{'rollouts s':>12}{'update s':>10}{'sampled/s':>11}{'peak MiB':>10}")
    for side, r in results.items():
        print(
            f"{side:<10}{r['step_s']:>8.1f}{r['rollouts_s']:>12.1f}{r['update_s']:>10.1f}"
            f"{r['sampled_per_s']:>11.0f}{r['peak_mib']:>10.0f}"
        )
    if len(results) == 2:
        time_share = results["envport"]["step_s"] / results["trl"]["step_s"]
        memory_share = results["envport"]["peak_mib"] / results["trl"]["peak_mib"]
        print(f"envport takes {time_share:.2f} of TRL's time for a step and {memory_share:.2f} of its memory")


def _in_a_process(side: str) -> dict[str, float]:
    environ = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, *sys.argv, "--side", side]
    done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, text=True, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    result: dict[str, float] = json.loads(line.removeprefix("RESULT "))
    return result


def _summary(steps: list[float], rollouts: list[float], args: argparse.Namespace) -> dict[str, float]:
    step_s, rollouts_s = median(steps[1:]), median(rollouts[1:])
    of_rollout = TURN_TOKENS * (args.tool_calls + 1) if args.tool_calls else args.tokens
    return {
        "step_s": step_s,
        "rollouts_s": rollouts_s,
        "update_s": step_s - rollouts_s,
        "sampled_per_s": args.prompts * args.group * of_rollout / rollouts_s,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _template() -> Path:
    """TRL knows chat templates by their text, so that both sides take one of its own."""
    import trl

    return Path(trl.__file__).parent / "chat_templates" / "qwen2_5.jinja"


def _run_envport(args: argparse.Namespace) -> dict[str, float]:
    environ = os.environ | {"BENCH_LATENCY_MS": str(args.latency_ms), "BENCH_TOOL": "1" if args.tool_calls else ""}
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("bench_env.py"))], stdout=subprocess.PIPE, text=True, env=environ
    )
    try:
        assert server.stdout is not None
        url = next(word for line in server.stdout for word in line.split() if word.startswith("http://"))
        with tempfile.TemporaryDirectory() as folder:
            return _train(args, url, Path(folder) / "run")
    finally:
        server.terminate()
        server.wait(15)


def _train(args: argparse.Namespace, url: str, output: Path) -> dict[str, float]:
    import torch
    from envport_trainer import training
    from envport_trainer.config import TrainConfig
    from envport_trainer.recording.metrics import FILE_NAME, read_metrics

    torch.set_num_threads(args.threads)
    values: dict[str, Any] = {
        "envs": [{"url": url}],
        "model": args.model,
        "output": output,
        "steps": args.steps,
        "prompts_per_step": args.prompts,
        "group_size": args.group,
        "max_refills": 0,
        "max_new_tokens": args.tokens,
        "lr": 1e-5,
        "checkpoint_every": args.steps,
    }
    if args.tool_calls:
        values |= {"max_new_tokens": TURN_TOKENS, "max_turns": args.tool_calls + 1, "chat_template": _template()}
    make_sampler = training.make_sampler

    def forced(config: TrainConfig, loaded: Any, _stops: frozenset[int], *more: Any, **named: Any) -> Any:
        sampler = make_sampler(config, loaded, frozenset(), *more, **named)
        return _Calling(sampler, _call_ids(loaded.tokenizer), args.tool_calls) if args.tool_calls else sampler

    training.make_sampler = forced
    if args.tool_calls:
        training.check_agreement = lambda *_: None
    training.train(TrainConfig.model_validate(values))
    lines = read_metrics(output / FILE_NAME)
    assert all(line["tool_calls"] == args.tool_calls for line in lines), [line["tool_calls"] for line in lines]
    return _summary([line["step_s"] for line in lines], [line["rollouts_s"] for line in lines], args)


def _call_ids(tokenizer: Any) -> list[int]:
    ids: list[int] = tokenizer(CALL, add_special_tokens=False)["input_ids"]
    return ids


class _Calling:
    """A sampler whose first `calls` turns of a rollout end in a tool call that nobody sampled."""

    def __init__(self, sampler: Any, call_ids: list[int], calls: int) -> None:
        self._sampler, self._call_ids, self._calls = sampler, call_ids, calls

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sampler, name)

    async def sample(self, request: SampleRequest) -> Sample:
        """What the sampler says, and the call."""
        sample: Sample = await self._sampler.sample(request)
        n, ids = len(self._call_ids), list(request.prompt_ids)
        made = sum(ids[place : place + n] == self._call_ids for place in range(len(ids)))
        if made >= self._calls:
            return sample
        return replace(
            sample,
            token_ids=[*sample.token_ids, *self._call_ids],
            logprobs=[*sample.logprobs, *[0.0] * n],
            truncated=False,
        )


class _TrlEnvironment:
    """What `bench_env.WithTool` is, as TRL wants it: one object a rollout, its public methods are tools."""

    def __init__(self, latency_s: float) -> None:
        self._latency_s = latency_s

    def reset(self, **_: Any) -> None:
        """The first call of a rollout."""
        time.sleep(self._latency_s)

    def search(self, query: str) -> str:
        """Search for a text.

        Args:
            query: What to look for.

        Returns:
            The result.
        """
        time.sleep(self._latency_s)
        return RESULT

    def get_reward(self) -> float:
        """The last call of a rollout; the share of distinct words is added by the reward function."""
        time.sleep(self._latency_s)
        return 0.0


def _run_trl(args: argparse.Namespace) -> dict[str, float]:
    import torch
    from datasets import Dataset
    from transformers import AutoTokenizer, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    torch.set_num_threads(args.threads)
    tokenizer = AutoTokenizer.from_pretrained(args.model, padding_side="left")
    if args.tool_calls:
        tokenizer.chat_template = _template().read_text(encoding="utf-8")
    call_ids = _call_ids(tokenizer)
    steps: list[float] = []
    rollouts: list[float] = []
    count = args.prompts * args.group

    class Timed(GRPOTrainer):
        turn = 0

        def _generate_and_score_completions(self, *values: Any, **named: Any) -> Any:
            self.turn = 0
            began = time.perf_counter()
            answer = super()._generate_and_score_completions(*values, **named)
            rollouts.append(time.perf_counter() - began)
            return answer

        def _generate_single_turn(self, *values: Any, **named: Any) -> Any:
            ids, logprobs = super()._generate_single_turn(*values, **named)
            self.turn += 1
            if self.turn <= args.tool_calls:
                ids = [[*each, *call_ids] for each in ids]
            return ids, logprobs

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.began = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            steps.append(time.perf_counter() - self.began)

    latency_s = args.latency_ms / 1000

    def distinct(completions: list[list[dict[str, Any]]], **_: Any) -> list[float]:
        if not args.tool_calls:
            time.sleep(latency_s * len(completions))  # as the calls to `get_reward` come one after the other
        return [distinct_share(completion[-1]["content"] or "") for completion in completions]

    turn_tokens = TURN_TOKENS if args.tool_calls else args.tokens
    rows = [
        {"prompt": [{"role": "user", "content": QUESTIONS[n % len(QUESTIONS)]}]}
        for n in range(args.prompts * args.steps)
    ]
    with tempfile.TemporaryDirectory() as folder:
        config = GRPOConfig(
            output_dir=str(Path(folder)),
            per_device_train_batch_size=min(16, count),
            gradient_accumulation_steps=max(1, count // 16),
            num_generations=args.group,
            max_completion_length=1024 if args.tool_calls else args.tokens,
            generation_kwargs={"max_new_tokens": turn_tokens, "min_new_tokens": turn_tokens},
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
            reward_funcs=distinct,
            processing_class=tokenizer,
            environment_factory=functools.partial(_TrlEnvironment, latency_s) if args.tool_calls else None,
            args=config,
            train_dataset=Dataset.from_list(rows),
            callbacks=[Clock()],
        )
        trainer.train()
    return _summary(steps, rollouts, args)


if __name__ == "__main__":
    main()
