"""Environments running on this machine, in hardened Docker containers or as processes."""

from __future__ import annotations

from envport_registry.runner.errors import LoggedError, RunnerError
from envport_registry.runner.launch import DEFAULT_BASE_IMAGE, Status
from envport_registry.runner.runs import RunStatus, RuntimeChoice, logs, ps, run, stop
from envport_registry.runner.state import Running

__all__ = [
    "DEFAULT_BASE_IMAGE",
    "LoggedError",
    "RunStatus",
    "RunnerError",
    "Running",
    "RuntimeChoice",
    "Status",
    "logs",
    "ps",
    "run",
    "stop",
]
