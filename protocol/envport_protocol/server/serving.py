"""Serving an environment until it is told to stop."""

from __future__ import annotations

import errno
import gc
import hashlib
import json
import signal
import socket
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import uvicorn

from envport_protocol.config import ServeConfig
from envport_protocol.env import BaseEnv
from envport_protocol.errors import NotReadyError, ServeError
from envport_protocol.project import load_env, load_project
from envport_protocol.server.app import create_app
from envport_protocol.server.exposure import refuse_open
from envport_protocol.server.guard import guarded_by
from envport_protocol.server.logs import configure_logging, secrets_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Generator
    from pathlib import Path

    from envport_protocol.server.app import EnvApp
    from envport_protocol.server.logs import LogFormat, LogLevel

_BACKLOG = 2048
_KEEP_ALIVE_S = 75
"""Longer than clients keep idle connections, so that none closes just when a call is sent."""
_SWITCH_INTERVAL_S = 0.0003
"""How long a thread keeps the interpreter from others that want it. The event loop needs it some times a request, and
waits for each of the threads that are busy in Python: at Python's own 5 ms, 64 of them hold it up for 20 s, and at this
value for less than one. It costs them about a sixth of their speed, and nothing where only one thread is busy."""

_COLLECT_AFTER = (10_000, 10, 10)
"""Objects, and rounds, between two searches for garbage in cycles, by generation. At Python's own 700 objects every few
requests have one: a third of the CPU went into that, and found nothing, since what a request leaves is in no cycle."""


def run_server(
    env: BaseEnv | Path | str,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    config: ServeConfig | None = None,
    options: dict[str, Any] | None = None,
    digest: str | None = None,
    shutdown_timeout_s: float = 10.0,
    allow_open: bool = False,
    log_format: LogFormat | None = None,
    log_level: LogLevel = "info",
) -> None:
    """Serves an environment, or that of a folder, until Ctrl-C or SIGTERM.

    `options` go to a folder's entry point, `digest` into the manifest. Port 0 takes a free one. Once it listens, prints
    `envport: serving NAME VERSION at http://HOST:PORT` on stdout. Told to stop, it lets running calls finish for
    `shutdown_timeout_s`, then returns (SIGTERM) or raises KeyboardInterrupt (Ctrl-C). With `log_format`, the log of the
    process goes to stderr, see `configure_logging`; None leaves it as it is. `allow_open` serves other machines without
    tokens.

    Raises:
        ServeError: the port is in use, the address is not of this machine, others reach it and there are no tokens, or
            the environment could not start.
        ProjectError, EnvDefinitionError: the environment cannot be served.
    """
    if isinstance(env, BaseEnv):
        config = config or ServeConfig()
        config = _identified(config, config.options_digest, digest)
    else:
        config = folder_config(env, config, options, digest)
    if log_format is not None:
        configure_logging(log_format, log_level, secrets=secrets_of(config))
    if not isinstance(env, BaseEnv):
        env = load_env(env, options)
    with bound_socket(host, port) as listener:
        refuse_open(listener, config, allow_open=allow_open)
        app = create_app(env, config=config)
        name = config.name or type(env).__name__
        ready_line = f"envport: serving {name} {config.version} at {url_of(listener, host)}"
        server = EnvServer(app, ready_line=ready_line, shutdown_timeout_s=shutdown_timeout_s)
        server.run(sockets=[listener])
    if server.failure is not None:
        raise ServeError(str(server.failure))
    if signal.SIGINT in server.stopped_by:
        raise KeyboardInterrupt


def folder_config(
    folder: Path | str, config: ServeConfig | None, options: dict[str, Any] | None, digest: str | None
) -> ServeConfig:
    """How the environment of a folder is served: as `config` says, else the folder.

    Its `options_digest` names all that rewards depend on beside the code: rollouts that were journaled under other
    options or weights are not rebuilt.

    Raises:
        ProjectError: the folder's own faults.
    """
    project = load_project(folder)
    return _identified(config or project.serve_config(), project.options | (options or {}), digest)


def _identified(config: ServeConfig, options: object, digest: str | None) -> ServeConfig:
    changes = {} if digest is None else {"digest": digest}
    if config.journal is not None:
        told = json.dumps([options, config.reward_weights], sort_keys=True, default=str)
        changes["options_digest"] = hashlib.sha256(told.encode()).hexdigest()
    return config.model_copy(update=changes)


class EnvServer(uvicorn.Server):
    """A uvicorn server of one app. Prints `ready_line` when it listens, and stops when the environment cannot start."""

    def __init__(self, app: EnvApp, *, ready_line: str | None = None, shutdown_timeout_s: float = 10.0) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=guarded_by(app.desk.host.config),
                ws="none",
                lifespan="on",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                log_config=None,
                log_level="warning",
                backlog=_BACKLOG,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=max(1, round(shutdown_timeout_s)),
            )
        )
        self.stopped_by: list[int] = []
        self.failure: NotReadyError | None = None
        self._desk = app.desk
        self._readiness = app.desk.readiness
        self._ready_line = ready_line

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens, then says so."""
        await super().startup(sockets=sockets)
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        gc.set_threshold(*_COLLECT_AFTER)
        if self.started:
            self._readiness.begin().add_done_callback(self._prepared)
            if self._ready_line is not None:
                print(self._ready_line, flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Lets running calls finish for a while, then tells those who wait for the others."""
        self._desk.is_stopping = True
        await super().shutdown(sockets=sockets)

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Takes Ctrl-C and SIGTERM as a wish to stop; a second one stops at once. Restores the handlers after."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._stop_by) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop_by(self, number: int, _: object) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True
        self.stopped_by.append(number)

    def _prepared(self, preparation: asyncio.Task[None]) -> None:
        if preparation.cancelled():
            return
        try:
            self._readiness.check()
        except NotReadyError as error:
            self.failure = error
            self.should_exit = True


@contextmanager
def bound_socket(host: str, port: int) -> Generator[socket.socket]:
    """A socket bound to the address, closed at the end.

    Raises:
        ServeError: the port is in use or not allowed, or the address is not of this machine.
    """
    if not 0 <= port <= 65535:
        raise ServeError(f"{host}:{port} is no address to listen at: a port is between 0 and 65535")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError) as error:
        raise ServeError(f"{host}:{port} is no address to listen at: {error}") from error
    with socket.socket(family, kind, protocol) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError as error:
            raise ServeError(_bind_failure(host, port, error)) from error
        yield listener


def url_of(listener: socket.socket, host: str) -> str:
    """The URL of a bound socket, by the host it was bound as."""
    port = listener.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _bind_failure(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use; stop what listens there, or choose another port (0 takes a free one)"
    if error.errno == errno.EACCES:
        return f"port {port} on {host} is not allowed for this user; choose one above 1023"
    return f"cannot listen at {host}:{port}: {error.strerror or error}"
