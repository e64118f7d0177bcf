"""The smallest environment with a task, a tool and a reward. Its options make it misbehave."""

from __future__ import annotations

import sys
from typing import Any

from envport_protocol import BaseEnv, EnvTask, tool

WORDS = ["river", "stone", "cloud"]


class TinyEnv(BaseEnv):
    def __init__(self, greeting: str = "hello", fail: bool = False) -> None:
        if fail:
            raise RuntimeError("this environment was told to fail")
        print(f"tiny says {greeting}", file=sys.stderr)

    def tasks(self, split: str) -> list[EnvTask]:
        return [
            EnvTask(task_id=f"{split}-{word}", prompt=f"Write {word!r} backwards.", ground_truth=word[::-1])
            for word in WORDS
        ]

    @tool
    def backwards(self, word: str) -> str:
        """Write a word backwards.

        Args:
            word: The word.
        """
        return word[::-1]

    def compute_reward(self, completion: str, ground_truth: Any) -> dict[str, float]:
        return {"exact": float(completion.strip() == ground_truth)}
