"""An environment that counts, and a host of it, for the tests that need no HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from envport_protocol import BaseEnv, EnvTask, reward, tool
from envport_protocol.config import ServeConfig
from envport_protocol.hosting.host import Host
from envport_protocol.messages import (
    ComputeRewardRequest,
    EndRolloutRequest,
    ForkRolloutRequest,
    RunToolRequest,
    StartRolloutRequest,
)

if TYPE_CHECKING:
    from typing import Any


class Counting(BaseEnv):
    """Each rollout counts up to its task's number."""

    deterministic = True

    def __init__(self):
        self.count: dict[str, int] = {}
        self.runs = 0

    def tasks(self, split):
        return [EnvTask(prompt="Count to 3.", ground_truth=3)]

    def start_rollout(self, rollout_id, task):
        self.count[rollout_id] = 0

    def end_rollout(self, rollout_id):
        del self.count[rollout_id]

    @tool
    async def add(self, rollout_id: str, by: int) -> int:
        """Adds, and tells the sum."""
        if by == 13:
            raise RuntimeError("unlucky")
        self.runs += 1
        self.count[rollout_id] += by
        return self.count[rollout_id]

    @reward
    def arrived(self, rollout_id, ground_truth):
        return float(self.count[rollout_id] == ground_truth)


class Driver:
    """A host and short words for its verbs."""

    def __init__(self, host: Host):
        self.host = host

    @classmethod
    async def of(cls, env: BaseEnv, **settings: Any) -> Driver:
        host = Host(env, ServeConfig(**settings))
        await host.prepare()
        return cls(host)

    async def start(self, rollout_id, **task):
        task = task or {"split": "train", "index": 0}
        return orjson.loads(await self.host.start_rollout(StartRolloutRequest(rollout_id=rollout_id, **task)))

    async def add(self, rollout_id, call_id, by):
        request = RunToolRequest(rollout_id=rollout_id, call_id=call_id, tool_name="add", arguments={"by": by})
        return orjson.loads(await self.host.run_tool(request))["content"][0]["text"]

    async def fork(self, rollout_id, new_rollout_id):
        request = ForkRolloutRequest(rollout_id=rollout_id, new_rollout_id=new_rollout_id)
        return orjson.loads(await self.host.fork_rollout(request))

    async def reward(self, rollout_id):
        request = ComputeRewardRequest(rollout_id=rollout_id, completion="done")
        return orjson.loads(await self.host.compute_reward(request))["reward"]

    async def end(self, rollout_id):
        await self.host.end_rollout(EndRolloutRequest(rollout_id=rollout_id))
