"""One worker of several: a process of its own, begun by a supervisor and ended with it.

    python -m envport_protocol.server.worker LINE

LINE is the descriptor of its end of the line to the supervisor. Standard input is a pipe by which its assignment comes,
and later a word to stop. When it closes without that, the supervisor was killed, and the worker ends at once.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, cast

from envport_protocol.errors import EnvportError
from envport_protocol.project import load_env
from envport_protocol.server.answering import Answering
from envport_protocol.server.app import create_app
from envport_protocol.server.assignment import Assignment
from envport_protocol.server.channel import STOP, What, WorkerEnd
from envport_protocol.server.forwarding import Forwarding
from envport_protocol.server.gathering import OwnMetrics, gathered
from envport_protocol.server.held_counts import OtherWorkers
from envport_protocol.server.lifespan import run_during
from envport_protocol.server.logs import configure_logging, secrets_of
from envport_protocol.server.privacy import hide_process
from envport_protocol.server.serving import EnvServer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from envport_protocol.server.app import EnvApp
    from envport_protocol.server.guard import GuardedProtocol


def main() -> None:
    """Serves until it is told to stop."""
    line = socket.socket(fileno=int(sys.argv[1]))
    line.set_inheritable(False)
    supervisor = WorkerEnd(line)
    try:
        with open(_own_stdin(), "rb", buffering=0) as pipe:
            _serve(supervisor, pipe.fileno(), Assignment.read_from(pipe))
    except EOFError:
        return
    except EnvportError as error:
        supervisor.tell(What.FAILED, type(error).__name__, str(error))
        sys.exit(1)


def _serve(supervisor: WorkerEnd, life: int, assignment: Assignment) -> None:
    config = assignment.config
    if config.tokens is not None:
        hide_process()
    life_line = LifeLine(life, assignment)
    life_line.start()
    if assignment.log_format is not None:
        configure_logging(assignment.log_format, assignment.log_level, secrets=secrets_of(config))
    others = OtherWorkers(assignment.counts, assignment.number)
    app = create_app(load_env(assignment.env, assignment.options), config=config, elsewhere=others)
    server = WorkerServer(app, supervisor, assignment)
    life_line.server = server
    server.run()
    if server.failure is not None:
        raise server.failure


class WorkerServer(EnvServer):
    """A server whose connections are dealt to it, and which answers for the rollouts of other workers by them."""

    def __init__(self, app: EnvApp, supervisor: WorkerEnd, assignment: Assignment) -> None:
        super().__init__(app, shutdown_timeout_s=assignment.shutdown_timeout_s)
        self._supervisor = supervisor
        self._name = app.desk.host.name
        self._connecting: set[asyncio.Task[None]] = set()
        if len(assignment.places) > 1:
            _join(app, assignment, self.server_state.tasks)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Takes connections from now on."""
        await super().startup(sockets=[])
        asyncio.get_running_loop().add_reader(self._supervisor.fileno(), self._take)
        self._supervisor.tell(What.LISTENING)
        self._readiness.begin().add_done_callback(self._tell_ready)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Takes none any more, and lets what runs finish."""
        self._supervisor.tell(What.LEAVING)
        asyncio.get_running_loop().remove_reader(self._supervisor.fileno())
        await super().shutdown(sockets=[])

    def _take(self) -> None:
        taken = self._supervisor.take()
        if taken is None:
            asyncio.get_running_loop().remove_reader(self._supervisor.fileno())
            return
        for connection in taken:
            connecting = asyncio.create_task(self._connect(connection))
            self._connecting.add(connecting)
            connecting.add_done_callback(self._connecting.discard)

    async def _connect(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.connect_accepted_socket(self._new_protocol, connection)
        except OSError:  # it was over before it began
            connection.close()

    def _new_protocol(self) -> asyncio.Protocol:
        make = cast("type[GuardedProtocol]", self.config.http_protocol_class)
        return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    def _tell_ready(self, preparation: asyncio.Task[None]) -> None:
        if not preparation.cancelled() and preparation.exception() is None:
            self._supervisor.tell(What.READY, self._name)

    def _stop_by(self, number: int, _: object) -> None:
        # Ctrl-C is the supervisor's to deal with. SIGTERM may come to every process of a service at once.
        if number == signal.SIGTERM:
            self.should_exit = True


class LifeLine(threading.Thread):
    """Ends the process by what comes from the descriptor `life`: STOP ends `server` in good order, its end all at once.

    A thread, so that not even an event loop that is stuck outlives its supervisor.
    """

    def __init__(self, life: int, assignment: Assignment) -> None:
        super().__init__(name="envport-life-line", daemon=True)
        self._life = life
        self._assignment = assignment
        self.server: WorkerServer | None = None

    def run(self) -> None:
        """Waits for the end."""
        if os.read(self._life, len(STOP)) == STOP and self.server is not None:
            self.server.should_exit = True
            time.sleep(self._assignment.stop_timeout_s)
        place = self._assignment.places[self._assignment.number]
        for path in (place, self._assignment.counts):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            place.parent.rmdir()  # in place of the supervisor, the last worker does
        os.killpg(0, signal.SIGKILL)  # with what the environment started: it would keep the journal


def _join(app: EnvApp, assignment: Assignment, running: set[asyncio.Task[None]]) -> None:
    """Makes the app one of several. What it does for others is among the `running` tasks that a stop waits for."""

    def keep(task: asyncio.Task[None]) -> None:
        running.add(task)
        task.add_done_callback(running.discard)

    desk, place = app.desk, assignment.places[assignment.number]
    own = dict(app.endpoints)
    own["/metrics"] = OwnMetrics(desk, app.state.metrics, assignment)
    answering = Answering(desk, own, keep)
    forwarding = Forwarding(assignment.number, assignment.places, assignment.config)
    desk.router = forwarding
    app.endpoints |= gathered(desk, own, forwarding, assignment)

    @asynccontextmanager
    async def joined() -> AsyncGenerator[None]:
        async with answering.listening(place):
            yield
        forwarding.close()

    run_during(app, joined)


def _own_stdin() -> int:
    """A descriptor of standard input for this process alone: what it starts reads nothing."""
    life = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return life


if __name__ == "__main__":
    main()
