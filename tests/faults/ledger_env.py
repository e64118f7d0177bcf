"""An environment whose side effects are counted in a file, out of reach of the server's own bookkeeping."""

from __future__ import annotations

import asyncio
import os
import uuid
from pathlib import Path
from typing import NamedTuple

from envport_protocol import BaseEnv, reward, tool


class Entry(NamedTuple):
    """One side effect: what was done in which rollout, and a value that no other one has."""

    rollout_id: str
    what: str
    value: str


class Ledger:
    """A file of side effects. Each is one write of one line, so several processes may share it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, rollout_id: str, what: str, value: str | None = None) -> str:
        """Notes that it happened; the value noted with it."""
        value = uuid.uuid4().hex if value is None else value
        os.write(self._file, f"{rollout_id} {what} {value}\n".encode())
        return value

    def read(self) -> list[Entry]:
        """All that happened, in the order of its happening."""
        return [Entry(*line.split(" ")) for line in self._path.read_text("utf-8").splitlines()]


class LedgerEnv(BaseEnv):
    """Notes each run of its code, and answers with the value that it noted."""

    def __init__(self, ledger: str) -> None:
        self._ledger = Ledger(Path(ledger))

    def start_rollout(self, rollout_id: str) -> list[dict[str, str]]:
        return [{"role": "user", "content": self._ledger.write(rollout_id, "start")}]

    @tool
    async def touch(self, rollout_id: str, key: str) -> str:
        """Notes the key."""
        value = self._ledger.write(rollout_id, key)
        await asyncio.sleep(0)
        return value

    @tool
    def touch_in_thread(self, rollout_id: str, key: str) -> str:
        """Notes the key, blocking."""
        return self._ledger.write(rollout_id, key)

    @tool
    async def fail(self, rollout_id: str, key: str) -> str:
        """Notes the key, then breaks."""
        self._ledger.write(rollout_id, key)
        raise RuntimeError("broken on purpose")

    @tool
    async def hang(self, rollout_id: str, key: str) -> str:
        """Notes the key, then waits until it is cancelled."""
        self._ledger.write(rollout_id, key)
        try:
            await asyncio.Event().wait()
        finally:
            self._ledger.write(rollout_id, f"{key}-stopped")
        return "never"

    @reward()
    async def noted(self, rollout_id: str, completion: str) -> float:
        return float(self._ledger.write(rollout_id, "reward", f"{uuid.uuid4().int % 10**9 / 10**9}"))

    def get_state(self, rollout_id: str) -> str:
        return rollout_id

    def set_state(self, rollout_id: str, state: str) -> None:
        self._ledger.write(rollout_id, "state", state)

    def end_rollout(self, rollout_id: str) -> None:
        self._ledger.write(rollout_id, "end")
