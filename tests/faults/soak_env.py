"""An environment that is played hundreds of thousands of times, and tells how its process fares.

Run as a script with a ServeConfig in JSON, it is served in a process of its own.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
from pathlib import Path

from envport_protocol import BaseEnv, reward, tool


class SoakEnv(BaseEnv):
    """Deterministic but for `vitals`, so that its rollouts are journaled with all their calls."""

    deterministic = True

    def __init__(self, *, frees: bool = True) -> None:
        self._notes: dict[str, list[str]] = {}
        self._frees = frees

    def start_rollout(self, rollout_id: str) -> None:
        self._notes[rollout_id] = []

    def end_rollout(self, rollout_id: str) -> None:
        if self._frees:
            self._notes.pop(rollout_id, None)

    @tool
    async def note(self, rollout_id: str, text: str) -> int:
        """Keeps the text; how many there are now."""
        self._notes[rollout_id].append(text)
        return len(self._notes[rollout_id])

    @tool
    async def fail(self) -> str:
        """Breaks."""
        raise RuntimeError("broken on purpose")

    @tool
    async def hang(self) -> str:
        """Waits until it is cancelled."""
        await asyncio.Event().wait()
        return "never"

    @tool
    async def vitals(self) -> dict[str, int]:
        """What this process holds, after a collection of its garbage."""
        gc.collect()
        return {
            "rss_kib": _rss_kib(),
            "objects": len(gc.get_objects()),
            "tasks": len(asyncio.all_tasks()),
            "threads": threading.active_count(),
            "fds": sum(1 for _ in Path("/proc/self/fd").iterdir()),
            "notes": len(self._notes),
        }

    @reward()
    async def noted(self, rollout_id: str) -> float:
        return float(len(self._notes[rollout_id]) > 0)


def _rss_kib() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


if __name__ == "__main__":
    import logging

    from envport_protocol.config import ServeConfig
    from envport_protocol.server.serving import run_server

    logging.getLogger("envport").setLevel(logging.CRITICAL)  # the failures are made on purpose
    config = ServeConfig.model_validate_json(sys.argv[1])
    run_server(SoakEnv(frees=sys.argv[2:] != ["broken"]), port=0, config=config)
