"""Small environments to be checked: one with all that there is, one with the least."""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass, field
from typing import Any

from envport_protocol import BaseEnv, EnvTask, RewardResult, RewardSpec, ToolError, tool

SIZE = 120


@dataclass
class Tally:
    total: int = 0
    chance: random.Random = field(default_factory=random.Random)


class TallyEnv(BaseEnv):
    """Each rollout counts by itself; dice fall by its seed. Forks by its state."""

    deterministic = True

    def __init__(self) -> None:
        self.tallies: dict[str, Tally] = {}

    def tasks(self, split):
        return [
            EnvTask(
                f"{split}-{number}",
                prompt=f"What is {number} and {number + 1}, in words of your own?",
                ground_truth={"sum": 2 * number + 1, "split": split},
                metadata={"number": number},
            )
            for number in range(SIZE)
        ]

    def rewards(self):
        return [RewardSpec(name="right"), RewardSpec(name="wordy", weight=-0.25)]

    def start_rollout(self, rollout_id, task, seed):
        self.tallies[rollout_id] = Tally(chance=random.Random(f"{task.task_id} {seed}"))

    def end_rollout(self, rollout_id):
        self.tallies.pop(rollout_id, None)

    @tool
    def add(self, number: int, rollout_id: str) -> str:
        """Adds to the tally.

        Args:
            number: how much.
        """
        tally = self.tallies[rollout_id]
        tally.total += number % 1000 + 1
        return f"the tally is {tally.total}"

    @tool
    async def roll(self, rollout_id: str, sides: int = 6) -> dict[str, int]:
        """Rolls a die.

        Args:
            sides: of the die.
        """
        if sides < 1:
            raise ToolError(f"a die of {sides} sides")
        return {"rolled": self.tallies[rollout_id].chance.randint(1, sides)}

    def get_state(self, rollout_id):
        return copy.deepcopy(self.tallies[rollout_id])

    def set_state(self, rollout_id, state):
        self.tallies[rollout_id] = state

    async def compute_reward(self, completion, ground_truth) -> Any:
        said = completion.split()
        right = str(ground_truth["sum"]) in said
        return {
            "right": RewardResult(float(right), reason="the sum is named" if right else "the sum is not named"),
            "wordy": min(1.0, max(0, len(said) - 1) / 10),
        }

    def compute_group_reward(self, completions, ground_truths):
        return [
            {"right": float(str(truth["sum"]) in completion.split()), "wordy": 0.0}
            for completion, truth in zip(completions, ground_truths, strict=True)
        ]

    async def oracle(self, task):
        return str(task.ground_truth["sum"])


class LeastEnv(BaseEnv):
    """Three methods, no tasks, nothing declared."""

    async def list_tools(self):
        return [{"name": "shout", "description": "Shouts", "parameters": {"words": "What to shout"}}]

    async def run_tool(self, rollout_id, tool_name, **args):
        return args["words"].upper()

    async def compute_reward(self, completion, ground_truth):
        return {"correct": 1.0 if ground_truth in completion else 0.0}


class BareEnv(BaseEnv):
    """No tools and no tasks."""

    def compute_reward(self, completion):
        return 0.5 if completion else 0.0
