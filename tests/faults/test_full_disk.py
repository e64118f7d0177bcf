"""A journal that cannot be written for a while: nothing is rebuilt that differs from what there was."""

from __future__ import annotations

import errno
import os

import orjson
import pytest
from envport_protocol import BaseEnv, tool
from envport_protocol.config import ServeConfig
from envport_protocol.errors import InfraError, RolloutEndedError
from envport_protocol.hosting.host import Host
from envport_protocol.hosting.segment import Segment
from envport_protocol.messages import EndRolloutRequest, Message, RunToolRequest, StartRolloutRequest


class Shelf(BaseEnv):
    """Its answers do not tell what was put there before."""

    deterministic = True

    def __init__(self) -> None:
        self.things: list[str] = []

    @tool
    async def put(self, thing: str) -> str:
        """Adds a thing."""
        self.things.append(thing)
        return "done"

    @tool
    async def look(self) -> str:
        """All things."""
        return " ".join(self.things)


async def hosted(folder) -> Host:
    host = Host(Shelf(), ServeConfig(journal=folder))
    await host.prepare()
    return host


async def run(host, call_id, name, **arguments) -> str:
    request = RunToolRequest(rollout_id="r", call_id=call_id, tool_name=name, arguments=arguments)
    return orjson.loads(await host.run_tool(request))["content"][0]["text"]


def crash(host) -> None:
    """What the operating system does to a process that is killed: its lock is gone."""
    os.close(host._journal._lock)


async def test_a_rollout_one_of_whose_calls_was_not_written_is_gone_on_with_by_nobody(tmp_path, monkeypatch):
    host = await hosted(tmp_path / "journal")
    await host.start_rollout(StartRolloutRequest(rollout_id="r", messages=[Message(role="user", content="Go.")]))

    def full(self, record):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Segment, "append", full)
        with pytest.raises(InfraError, match="could not be written"):
            await run(host, "c1", "put", thing="a")
    with pytest.raises(RolloutEndedError, match="could not be journaled any more"):
        await run(host, "c2", "put", thing="b")
    await host.end_rollout(EndRolloutRequest(rollout_id="r"))
    crash(host)
    again = await hosted(tmp_path / "journal")
    with pytest.raises(RolloutEndedError):
        await run(again, "c3", "look")
    await again.close()
