"""What both runtimes are told, and what both can do."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from envport_registry.bundle import Bundle
    from envport_registry.runner.state import Running

    OnProgress = Callable[[str], None]
    """Takes one line about what is being done now."""
    OnMade = Callable[[Running], None]
    """Takes the run that is being started, as far as it is known."""


def _tell_nobody(run: Running) -> None:
    """For starts that nobody keeps account of."""


DEFAULT_BASE_IMAGE = "python:3.11-slim-bookworm"
"""Small, has venv, and is public; any Debian or Ubuntu with python3 and python3-venv does."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One run to be started."""

    run_id: str
    ref: str
    bundle: Bundle
    """What to serve, verified."""
    port: int
    """On the loopback address; 0 for a free one."""
    folder: Path
    """The run's own folder."""
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Arguments for the environment."""
    tokens: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """The server's bearer tokens, by the names of their variables. They go into its process and nowhere else."""
    ready_timeout_s: float = 120.0
    """From the server's start to its first readiness."""
    started_at: float = field(default_factory=time.time)
    on_made: OnMade = _tell_nobody
    """Called when there is something that a start killed from now on would leave behind: a container, a process."""


class Status(StrEnum):
    """How a run is now."""

    STARTING = "starting"
    """It was never seen ready: its start goes on, or was killed half-way."""
    READY = "ready"
    NOT_READY = "not ready"
    """It runs and does not answer on `/readyz` with 200."""
    RESTARTING = "restarting"
    """The container ended, and Docker starts it again."""
    EXITED = "exited"
    """It ended by itself, or was killed."""
    GONE = "gone"
    """Somebody else removed it."""
    UNKNOWN = "unknown"
    """The Docker engine does not answer."""


class Runtime(Protocol):
    """A way to run an environment on this machine."""

    def start(self, launch: Launch, on_progress: OnProgress) -> Running:
        """Starts the run and returns when it is ready. When it raises, nothing of the run is left."""
        ...

    def status(self, run: Running) -> Status:
        """How the run is now, within seconds."""
        ...

    def log_lines(self, run: Running, lines: int, *, follow: bool) -> Iterator[str]:
        """The last `lines` lines of the run's log; with `follow` then each new one until the run ends."""
        ...

    def stop(self, run: Running) -> None:
        """Ends the run, by force when it does not end by itself; it is no error when it has ended."""
        ...

    def close(self) -> None:
        """Frees what this object holds; runs go on."""
        ...


def serve_arguments(folder: str, host: str, port: int, launch: Launch) -> list[str]:
    """The arguments of `envport` that serve the run's environment from `folder`. None of them is a secret."""
    options = [f"--option={key}={orjson.dumps(value).decode()}" for key, value in launch.options.items()]
    return ["serve", folder, "--host", host, "--port", str(port), "--digest", launch.bundle.digest, *options]
