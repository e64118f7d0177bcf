"""A toy environment for whole training runs. As a program: `yes_env.py PORT DIE_AT` serves it and dies by SIGKILL when
the DIE_AT-th reward is asked for (0: never)."""

from __future__ import annotations

import os
import signal
import sys
import threading
from itertools import count
from typing import TYPE_CHECKING

from envport_protocol import BaseEnv, EnvTask, reward
from envport_protocol.server.serving import run_server

if TYPE_CHECKING:
    from collections.abc import Callable


class YesEnv(BaseEnv):
    """The more of the model's words are yes, the better: from 0.5 for none to 1 for all."""

    def __init__(self, on_reward: Callable[[int], object] = lambda number: None) -> None:
        self.scored = 0
        """Rewards given."""
        self._asked = count(1)
        self._lock = threading.Lock()
        self._on_reward = on_reward

    def tasks(self, split: str) -> list[EnvTask]:
        return [
            EnvTask(f"{split}-{n}", prompt=words) for n, words in enumerate(("question", "answer", "maybe no", "no"))
        ]

    @reward()
    def yes(self, completion: str) -> float:
        """Called with the number of the request, from 1, before it is scored: `on_reward`."""
        self._on_reward(next(self._asked))
        with self._lock:
            self.scored += 1
        words = completion.split()
        return 0.5 + 0.5 * words.count("yes") / max(1, len(words))


def main(port: int, die_at: int) -> None:
    run_server(YesEnv(lambda number: number == die_at and os.kill(os.getpid(), signal.SIGKILL)), port=port)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
