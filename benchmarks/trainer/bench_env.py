"""The environment of the trainer's benchmark: eight questions, one tool, and the share of distinct words as reward.

Each call takes `BENCH_LATENCY_MS` milliseconds in which nothing is computed, as a call to a remote environment does.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from envport_protocol import BaseEnv, EnvTask, tool
from envport_protocol.server.serving import run_server

if TYPE_CHECKING:
    from collections.abc import Sequence

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
RESULT = "nothing found"
LATENCY_S = float(os.environ.get("BENCH_LATENCY_MS", "0")) / 1000


def distinct_share(text: str) -> float:
    """Share of distinct words; not constant, so that every group has something to learn."""
    words = text.split()
    return len(set(words)) / max(len(words), 1)


class DistinctWords(BaseEnv):
    """Computes nothing, so that the trainer's own time and the waiting are what is measured."""

    def splits(self) -> list[str]:
        """Training tasks only."""
        return ["train"]

    def tasks(self, split: str) -> Sequence[EnvTask]:
        """The questions."""
        return [EnvTask(task_id=f"{split}-{n}", prompt=question) for n, question in enumerate(QUESTIONS)]

    async def start_rollout(self, task: EnvTask) -> None:
        """The first call of a rollout."""
        await asyncio.sleep(LATENCY_S)

    async def compute_reward(self, completion: str) -> dict[str, float]:
        """Share of distinct words."""
        await asyncio.sleep(LATENCY_S)
        return {"distinct": distinct_share(completion)}


class WithTool(DistinctWords):
    """The same with the tool that rollouts are made to call."""

    @tool
    async def search(self, query: str) -> str:
        """Search for a text.

        Args:
            query: What to look for.
        """
        await asyncio.sleep(LATENCY_S)
        return RESULT


if __name__ == "__main__":
    run_server(WithTool() if os.environ.get("BENCH_TOOL") else DistinctWords(), host="127.0.0.1", port=0)
