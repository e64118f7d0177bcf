"""An environment that does not come to an end, in each way that there is.

Run as a script with a ServeConfig in JSON, it is served in a process of its own.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time

from envport_protocol import BaseEnv, reward, tool


class StubbornEnv(BaseEnv):
    """Tools that hang or burn; a rollout whose id begins with `start-`, `reward-` or `end-` hangs there."""

    def __init__(self) -> None:
        self.entered: list[str] = []
        """The rollouts whose code began to wait for ever, or for the gate."""
        self.stopped: list[str] = []
        """Those whose waiting was cancelled."""
        self.ended: list[str] = []
        self.gate = threading.Event()

    async def start_rollout(self, rollout_id: str) -> None:
        if rollout_id.startswith("start-"):
            await self._for_ever(rollout_id)

    @tool
    async def quick(self, text: str) -> str:
        """Says it again."""
        return text

    @tool
    def quick_in_thread(self, text: str) -> str:
        """Says it again, blocking."""
        return text

    @tool
    async def hang(self, rollout_id: str) -> str:
        """Waits for ever."""
        await self._for_ever(rollout_id)
        return "never"

    @tool
    async def deaf(self, seconds: float) -> str:
        """Waits so long, whoever cancels it."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            try:
                await asyncio.sleep(left)
            except asyncio.CancelledError:
                continue
        return "heard nothing"

    @tool
    def burn(self, seconds: float) -> int:
        """Computes for so long in Python, holding the interpreter."""
        until, rounds = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            rounds += 1
        return rounds

    @tool
    def block(self, seconds: float) -> str:
        """Blocks a thread in C for so long."""
        time.sleep(seconds)
        return "woke up"

    @tool
    def wait(self, rollout_id: str) -> str:
        """Waits for the gate."""
        self.entered.append(rollout_id)
        self.gate.wait(20)
        return "the gate is open"

    @reward()
    async def patience(self, rollout_id: str) -> float:
        if rollout_id.startswith("reward-"):
            await self._for_ever(rollout_id)
        return 1.0

    async def end_rollout(self, rollout_id: str) -> None:
        if rollout_id.startswith("end-"):
            await self._for_ever(rollout_id)
        self.ended.append(rollout_id)

    async def _for_ever(self, rollout_id: str) -> None:
        self.entered.append(rollout_id)
        try:
            await asyncio.Event().wait()
        finally:
            self.stopped.append(rollout_id)


if __name__ == "__main__":
    from envport_protocol.config import ServeConfig
    from envport_protocol.server.serving import run_server

    run_server(StubbornEnv(), port=0, config=ServeConfig.model_validate_json(sys.argv[1]))
