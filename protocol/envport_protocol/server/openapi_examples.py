"""One request with its answer for each verb, as the OpenAPI document shows them."""

from __future__ import annotations

from typing import Any

_TOOL = {
    "name": "look_up",
    "description": "The capital of a country.",
    "parameters": {"type": "object", "properties": {"land": {"type": "string"}}, "required": ["land"]},
}
_MESSAGE = {"role": "user", "content": "Capital of Peru?"}
_STARTED = {
    "rollout_id": "g1.0",
    "task_id": "Peru",
    "messages": [_MESSAGE],
    "tools": [_TOOL],
    "idle_timeout_s": 600.0,
    "token": "rollout.SIGNATURE.g1.0",
    "outcome": "ok",
    "trainable": True,
}
_RAN = {
    "content": [{"type": "text", "text": "Lima"}],
    "outcome": "ok",
    "trainable": True,
    "rewards": {},
    "done": False,
}
_SCORED = {
    "reward": 1.0,
    "rewards": {"correct": {"score": 1.0, "weight": 1.0, "reason": "names the capital"}},
    "metrics": {},
    "outcome": "ok",
    "trainable": True,
}
_CALL = {"rollout_id": "g1.0", "call_id": "c1", "tool_name": "look_up", "arguments": {"land": "Peru"}}

EXAMPLES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "start_rollout": ({"rollout_id": "g1.0", "split": "train", "index": 1, "seed": 7}, _STARTED),
    "fork_rollout": ({"rollout_id": "g1.0", "new_rollout_id": "g1.1"}, {**_STARTED, "rollout_id": "g1.1"}),
    "list_tools": ({"rollout_id": "g1.0"}, {"tools": [_TOOL]}),
    "run_tool": (_CALL, _RAN),
    "compute_reward": ({"rollout_id": "g1.0", "completion": "Lima"}, _SCORED),
    "compute_group_reward": (
        {"group_id": "g1", "members": [{"rollout_id": "g1.0", "completion": "Lima"}]},
        {"answers": [_SCORED], "outcome": "ok", "trainable": True},
    ),
    "cancel": (
        {"rollout_id": "g1.0", "call_id": "c2"},
        {"rollout_id": "g1.0", "call_id": "c2", "cancelled": True},
    ),
    "end_rollout": ({"rollout_id": "g1.0"}, {"rollout_id": "g1.0"}),
}

BATCH: tuple[dict[str, Any], dict[str, Any]] = (
    {"calls": [{"id": "a", "verb": "run_tool", "body": _CALL}]},
    {"id": "a", "status": 200, "body": _RAN},
)
"""A batch, and one line of its answer."""
