"""The environment of trainer_bench: eight questions, and the share of distinct words as reward."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envport_protocol import BaseEnv, EnvTask
from envport_protocol.server.serving import run_server
from trainer_bench import QUESTIONS, distinct_share

if TYPE_CHECKING:
    from collections.abc import Sequence


class DistinctWords(BaseEnv):
    """Needs nothing and costs nothing, so that the trainer's own time is what is measured."""

    def splits(self) -> list[str]:
        """Training tasks only."""
        return ["train"]

    def tasks(self, split: str) -> Sequence[EnvTask]:
        """The questions."""
        return [EnvTask(task_id=f"{split}-{n}", prompt=question) for n, question in enumerate(QUESTIONS)]

    async def compute_reward(self, completion: str) -> dict[str, float]:
        """Share of distinct words."""
        return {"distinct": distinct_share(completion)}


if __name__ == "__main__":
    run_server(DistinctWords(), host="127.0.0.1", port=0)
