"""One rollout of a check, and the calls made in it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from envport.check.expectations import good

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envport.check.wire import Reply, Wire


@dataclass(frozen=True, slots=True)
class Call:
    """A tool and arguments for it."""

    tool_name: str
    arguments: dict[str, Any]

    def body(self, rollout_id: str, call_id: str, **more: Any) -> dict[str, Any]:
        """The body of its run_tool."""
        named = {"rollout_id": rollout_id, "call_id": call_id}
        return {**named, "tool_name": self.tool_name, "arguments": self.arguments, **more}


class Rollout:
    """A rollout that was started by `request`."""

    def __init__(self, request: dict[str, Any], started: Reply, wire: Wire) -> None:
        self.id: str = request["rollout_id"]
        self.request = request
        self.started = started
        self.wire = wire
        self._numbers: Iterator[int] = count()

    @property
    def token(self) -> str:
        """Its own token; empty where the server gave none."""
        return str(good(self.started).get("token", ""))

    def over(self, wire: Wire) -> Rollout:
        """The same rollout, asked over another connection or with another token."""
        return Rollout(self.request, self.started, wire)

    def new_call_id(self) -> str:
        """An id that no call of this rollout had."""
        return f"call-{next(self._numbers)}"

    async def run_tool(self, call: Call, call_id: str | None = None, **more: Any) -> Reply:
        """The answer of a tool call."""
        return await self.wire.post("run_tool", call.body(self.id, call_id or self.new_call_id(), **more))

    async def list_tools(self) -> Reply:
        """The answer of list_tools."""
        return await self.wire.post("list_tools", {"rollout_id": self.id})

    async def score(self, completion: Any, **more: Any) -> Reply:
        """The answer of compute_reward."""
        return await self.wire.post("compute_reward", {"rollout_id": self.id, "completion": completion, **more})

    async def cancel(self, call_id: str) -> Reply:
        """The answer of cancel."""
        return await self.wire.post("cancel", {"rollout_id": self.id, "call_id": call_id})

    async def fork(self, new_rollout_id: str) -> Rollout:
        """A fork of it as it is now.

        Raises:
            BrokenError: it was not forked.
        """
        request = {"rollout_id": self.id, "new_rollout_id": new_rollout_id}
        reply = await self.wire.post("fork_rollout", request)
        good(reply)
        return Rollout({**request, "rollout_id": new_rollout_id}, reply, self.wire)

    async def end(self) -> Reply:
        """The answer of end_rollout."""
        return await self.wire.post("end_rollout", {"rollout_id": self.id})
