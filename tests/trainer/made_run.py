"""A run's folder as training leaves it, made through the real writers: six steps, held-out rollouts, an alarm."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from envport_protocol.messages import Manifest, RewardSpec, ToolSpec
from envport_trainer.config import TrainConfig
from envport_trainer.evaluation.result import EvalRow
from envport_trainer.recording.logged_rollout import Evaluated
from envport_trainer.recording.metrics import MetricsLog
from envport_trainer.recording.rollout_log import RolloutLog
from envport_trainer.recording.run_facts import run_facts, write_run_facts
from envport_trainer.recording.trackers import Trackers
from envport_trainer.types import Finish, TokenRow, Trajectory

if TYPE_CHECKING:
    from pathlib import Path

URL = "http://127.0.0.1:8000"
DIGEST = "sha256:" + "5e" * 32
WEIGHTS = {"fields": 0.75, "json": 0.25}
MANIFEST = Manifest(
    name="extraction",
    version="1.2.0",
    digest=DIGEST,
    rewards=[
        RewardSpec(name="fields", weight=0.75, description="Share of the fields that are right."),
        RewardSpec(name="json", weight=0.25),
    ],
    tools=[ToolSpec(name="lookup", description="Looks up a province.")],
)


def conversation(answer: str, *, task: str = "Which province?") -> list[dict[str, Any]]:
    """A task, one tool call with its answer, and the model's last word."""
    return [
        {"role": "user", "content": task},
        {
            "role": "assistant",
            "content": 'I look.\n<tool_call>{"name": "lookup", "arguments": {"name": "Yakawlang"}}</tool_call>',
        },
        {"role": "tool", "name": "lookup", "content": "bamyan"},
        {"role": "assistant", "content": answer},
    ]


def trajectory(number: int = 0, *, reward: float = 0.5, group: int = 0, **more: Any) -> Trajectory:
    """A rollout of four tokens, two of them sampled."""
    values: dict[str, Any] = {
        "env": URL,
        "env_digest": DIGEST,
        "task_id": f"task-{group}",
        "rollout_id": f"r-{group}-{number}",
        "group": group,
        "rows": [TokenRow([1, 2, 3, 4], [False, False, True, True], [0.0, 0.0, -0.5, -0.25], 2)],
        "policy_version": 0,
        "finish": Finish.STOP,
        "messages": conversation(f"answer {number}"),
        "reward": reward,
        "rewards": {"fields": (reward - 0.25) / 0.75, "json": 1.0},
        "weights": dict(WEIGHTS),
        "tool_calls": 1,
    } | more
    return Trajectory(**values)


def row(index: int, reward: float, answer: str) -> EvalRow:
    """An attempt at held-out task number `index`."""
    return EvalRow(
        index=index,
        task_id=f"held-{index}",
        reward=reward,
        rewards={"fields": (reward - 0.25) / 0.75, "json": 1.0},
        finish="stop",
        tokens=12 + index,
        tool_calls=1,
        messages=conversation(answer, task=f"Held-out task {index}?"),
    )


def evaluated(*rows: EvalRow) -> list[Evaluated]:
    return [Evaluated(URL, DIGEST, "eval", rows, WEIGHTS)]


def config(folder: Path, **more: Any) -> TrainConfig:
    return TrainConfig.model_validate(
        {"envs": [{"url": URL}], "model": "models/tiny", "output": str(folder), "steps": 6, "eval_every": 3} | more
    )


def make_run(folder: Path, *, steps: int = 6, evals: bool = True) -> Path:
    """The folder of a run whose training reward rises by 0.1 a step from 0.3, and whose held-out tasks go from
    0.25, 0.5, 0.75, 0.25 before to 1, 0.5, 0.5, 0.75 after."""
    write_run_facts(folder, run_facts(config(folder), [MANIFEST], "cpu"))
    log = RolloutLog(folder)
    with MetricsLog(folder, trackers=Trackers((), folder, "made", {})) as metrics:
        if evals:
            log.write_eval(0, evaluated(*(row(n, r, f"before {n}") for n, r in enumerate((0.25, 0.5, 0.75, 0.25)))))
        for step in range(1, steps + 1):
            reward = 0.2 + step / 10
            metrics.write(
                step,
                {
                    "reward": reward,
                    "reward_se": 0.05,
                    "rewards/fields": (reward - 0.25) / 0.75,
                    "rewards/json": 1.0,
                    "completion_tokens": 60.0 - step,
                    "prompt_tokens": 120.0,
                    "truncated_share": 0.25,
                    "tool_calls": 1.0,
                    "entropy": 1.0 / step,
                    "grad_norm": 0.5,
                    "rollouts_s": 3.0,
                    "step_s": 4.0,
                    "sampled_tokens": 400.0,
                },
            )
            members = [trajectory(n, reward=reward + (n - 1.5) / 10, group=step) for n in range(4)]
            log.write(step, "train", members, {t.rollout_id: t.reward - reward for t in members})
            if evals and step % 3 == 0:
                last = (1.0, 0.5, 0.5, 0.75) if step == 6 else (0.5, 0.5, 0.5, 0.5)
                log.write_eval(step, evaluated(*(row(n, r, f"after {n}") for n, r in enumerate(last))))
                values = {"eval/reward": sum(last) / 4, "eval/reward_ci95": 0.2, "eval/rewards/fields": 0.5}
                metrics.amend(step, values)
    alarm = {"step": 4, "name": "entropy", "severity": "warning", "text": "entropy fell below 0.3"}
    (folder / "alarms.jsonl").write_text(json.dumps(alarm) + "\n")
    return folder
