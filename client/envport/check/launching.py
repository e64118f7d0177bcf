"""Starting servers of an environment's folder, each a process of its own that can be killed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import IO, TYPE_CHECKING, Any, Protocol

from envport_protocol.errors import ServeError

from envport.check.probe import Access

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

START_TIMEOUT_S = 120.0
"""From the start of the process to its first line; an environment may load much before it."""
_STOP_TIMEOUT_S = 10.0
_MAX_TOLD = 500
_SERVING = re.compile(r"envport: serving .* at (?P<url>https?://\S+)$")


class Server(Protocol):
    """A server that was started for a check."""

    url: str
    access: Access

    async def kill(self) -> None:
        """Ends it at once, as SIGKILL does."""
        ...

    async def start_again(self) -> None:
        """Starts it anew at the same URL with the same settings."""
        ...

    def log(self) -> str | None:
        """Its log so far; None where it is not at hand."""
        ...


Launcher = Callable[[dict[str, Any]], AbstractAsyncContextManager[Server]]
"""Starts a server with these fields of ServeConfig, and `workers`, over the environment's own."""


class FolderServer:
    """A process that serves a folder, with tokens made for it alone."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.url = ""
        self.access = Access(secrets.token_urlsafe(24), secrets.token_urlsafe(24))
        tokens = {"trainer": self.access.trainer, "agent": self.access.agent}
        self._order: dict[str, Any] = {"folder": str(folder), "port": 0, "config": {"tokens": tokens, **config}}
        if self._order["config"]["tokens"] is None:
            self.access = Access()
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[bytes] | None = None
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop

    async def start(self) -> None:
        """Returns when it listens.

        Raises:
            ServeError: it ended, or said nothing for START_TIMEOUT_S.
        """
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "envport.check.folder_server"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C is for the checker, which ends its rollouts first
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(self._order).encode())
        self._process.stdin.close()
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                self.url = await _url(self._process.stdout)
        except TimeoutError:
            self.url = ""
        if not self.url:
            raise ServeError(f"the environment's server did not start: {self._last_words()}")
        self._order["port"] = int(self.url.rpartition(":")[2])
        # What the environment prints must not fill the pipe and stop it.
        self._reading = asyncio.create_task(self._process.stdout.read())

    async def kill(self) -> None:
        """Ends the process and its children at once."""
        await self._end(signal.SIGKILL)

    async def start_again(self) -> None:
        """Starts it anew at the same port."""
        await self.start()

    async def stop(self) -> None:
        """Ends the process in good order, and at once where it does not listen."""
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_STOP_TIMEOUT_S):
                    await self._end(signal.SIGTERM)
        finally:
            await self.kill()
            self._log.close()

    async def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            await self._process.wait()

    def log(self) -> str:
        """What it wrote to stderr so far."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode("utf-8", "replace")

    def _last_words(self) -> str:
        told = [line.strip() for line in self.log().split("\n") if line.strip()]
        return told[-1][:_MAX_TOLD] if told else f"it said nothing for {START_TIMEOUT_S:g} s"


async def _url(stdout: asyncio.StreamReader) -> str:
    """The URL that a server says when it listens; empty where it ended before."""
    while line := (await stdout.readline()).decode("utf-8", "replace"):
        if found := _SERVING.match(line):
            return found["url"]
    return ""


def folder_launcher(folder: Path) -> Launcher:
    """Starts servers of the environment in `folder`."""

    @asynccontextmanager
    async def launch(config: dict[str, Any]) -> AsyncGenerator[Server]:
        server = FolderServer(folder, config)
        try:
            await server.start()
            yield server
        finally:
            await server.stop()

    return launch
