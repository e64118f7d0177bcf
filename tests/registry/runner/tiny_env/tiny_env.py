"""The smallest environment with a task, a tool and a reward. Its options make it misbehave."""

from __future__ import annotations

import subprocess
import sys

from envport_protocol import BaseEnv, EnvTask, tool

WORDS = ["river", "stone", "cloud"]


class TinyEnv(BaseEnv):
    deterministic = True

    def __init__(self, greeting: str = "hello", fail: bool = False, hoard_mb: int = 0, child: bool = False) -> None:
        if fail:
            raise RuntimeError("this environment was told to fail")
        self.hoard = b"x" * (hoard_mb * 2**20)
        if child:
            sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            print(f"child {sleeper.pid}", file=sys.stderr)
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

    def compute_reward(self, completion: str, ground_truth: str) -> dict[str, float]:
        return {"exact": float(completion.strip() == ground_truth)}
