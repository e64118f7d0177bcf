"""Serving an environment by several worker processes behind one address."""

from __future__ import annotations

import asyncio
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envport_protocol.server.assignment import Assignment, places_of, shares
from envport_protocol.server.exposure import refuse_open
from envport_protocol.server.held_counts import HeldCounts
from envport_protocol.server.logs import configure_logging, secrets_of
from envport_protocol.server.serving import bound_socket, folder_config, url_of
from envport_protocol.server.supervisor import Supervisor

if TYPE_CHECKING:
    from envport_protocol.config import ServeConfig
    from envport_protocol.server.logs import LogFormat, LogLevel

_MARGIN_S = 2.0
"""A worker that does not stop in its time ends itself; one that cannot do even that is killed after this."""


def run_workers(
    env: Path | str,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    workers: int,
    config: ServeConfig | None = None,
    options: dict[str, Any] | None = None,
    digest: str | None = None,
    shutdown_timeout_s: float = 10.0,
    allow_open: bool = False,
    log_format: LogFormat | None = None,
    log_level: LogLevel = "info",
) -> None:
    """Serves the environment of a folder by so many processes, until Ctrl-C or SIGTERM. Else like `run_server`.

    Each rollout lives in one worker, told by its id; every connection reaches all. What `config` allows, all workers
    together allow. A worker that crashes takes its own rollouts with it and is started again; with `config.journal`
    they are rebuilt. The line on stdout comes once all workers are ready.

    Raises:
        ServeError: the port is in use, the address is not of this machine, a worker cannot start, or there are more
            workers than rollouts.
        ProjectError, EnvDefinitionError: the environment cannot be served.
    """
    config = folder_config(env, config, options, digest)
    configs = shares(config, workers)
    if log_format is not None:
        configure_logging(log_format, log_level, secrets=secrets_of(configs[0]))
    with bound_socket(host, port) as listener, places_of(workers) as places:
        refuse_open(listener, config, allow_open=allow_open)
        counts = HeldCounts.create(places[0].with_name("held"), workers)
        assignments = [
            Assignment(
                number=number,
                places=places,
                counts=counts.path,
                env=Path(env).resolve(),
                options=options or {},
                config=share,
                limits=config.limits,
                shutdown_timeout_s=shutdown_timeout_s,
                log_format=log_format,
                log_level=log_level,
            )
            for number, share in enumerate(configs)
        ]
        told = f"{config.version} at {url_of(listener, host)}"
        supervisor = Supervisor(listener, assignments, lambda name: f"envport: serving {name} {told}", counts.forget)
        asyncio.run(_supervise(supervisor, assignments[0].stop_timeout_s + _MARGIN_S))
    if supervisor.failure is not None:
        raise supervisor.failure
    if signal.SIGINT in supervisor.stopped_by:
        raise KeyboardInterrupt


async def _supervise(supervisor: Supervisor, stop_timeout_s: float) -> None:
    if threading.current_thread() is threading.main_thread():
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, supervisor.stop, number)
    await supervisor.run(stop_timeout_s)
