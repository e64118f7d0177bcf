"""`connect(url)`: an environment, wherever it is served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Self

from envport_protocol.messages import (
    ListToolsAnswer,
    ListToolsRequest,
    Manifest,
    Message,
    StartRolloutAnswer,
    StartRolloutRequest,
    TaskPage,
    ToolSpec,
)

from envport.handshake import checked_url, fetch_manifest
from envport.requests import as_messages, boundary, new_id
from envport.rollout import Rollout
from envport.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    import httpx


def connect(
    url: str, *, timeout_s: float | None = None, retry_for_s: float = 30.0, http: httpx.AsyncClient | None = None
) -> EnvClient:
    """The environment at `url`, to be entered: `async with envport.connect("http://127.0.0.1:8000") as env:`.

    `timeout_s` is how long the server may take for a call; None leaves it to the server's own limit. A call whose
    answer did not come is sent again for `retry_for_s` seconds, and runs once all the same. While the server says
    that it is not ready, entering waits as long; where no server is found at all, only three seconds.
    `http` replaces the HTTP client, for a proxy, a token or a test; it stays open.
    """
    return EnvClient(url, timeout_s=timeout_s, retry_for_s=retry_for_s, http=http)


class EnvClient:
    """A client of one environment, made by `connect`. Its methods are the protocol's verbs.

    Any number of calls may be under way at once. Any call raises TransportError where no answer came, and the server's
    own errors (`envport_protocol.errors`) as their classes.
    """

    def __init__(
        self, url: str, *, timeout_s: float | None, retry_for_s: float, http: httpx.AsyncClient | None
    ) -> None:
        self.url = checked_url(url)
        self._timeout_s = timeout_s
        self._retry_for_s = retry_for_s
        self._given_http = http
        self._own_http: httpx.AsyncClient | None = None
        self._connected: _Connected | None = None

    @property
    def manifest(self) -> Manifest:
        """What the environment is and can do, as told on entering."""
        return self._entered.manifest

    @property
    def _transport(self) -> Transport:
        return self._entered.transport

    @property
    def _entered(self) -> _Connected:
        if self._connected is None:
            raise RuntimeError("this client is not open: use it inside `async with envport.connect(url) as env:`")
        return self._connected

    async def tasks(self, split: str, offset: int = 0, limit: int = 100) -> TaskPage:
        """Up to `limit` tasks of `split` from number `offset` on. The server may give fewer than asked.

        Raises:
            UnknownTaskError: the environment has no such split.
        """
        params: dict[str, str | int] = {"split": split, "offset": offset, "limit": limit}
        return await self._transport.request("/v1/tasks", None, TaskPage, params=params)

    async def list_tools(self, rollout_id: str | None = None) -> list[ToolSpec]:
        """The environment's tools, or those of one rollout."""
        with boundary("list_tools"):
            request = ListToolsRequest(rollout_id=rollout_id)
        return (await self._transport.request("/v1/list_tools", request, ListToolsAnswer)).tools

    async def start_rollout(
        self,
        *,
        split: str | None = None,
        index: int | None = None,
        task_id: str | None = None,
        messages: Sequence[Message | Mapping[str, Any]] | None = None,
        ground_truth: Any = None,
        seed: int = 0,
        rollout_id: str | None = None,
    ) -> Rollout:
        """A new rollout of one task: that of `split` and `index`, of `task_id`, or of the `messages` given.

        Raises:
            UnknownTaskError: the environment has no such task.
            OverloadedError: the server holds as many rollouts as it may, also after the retries.
        """
        with boundary("start_rollout"):
            request = StartRolloutRequest(
                rollout_id=rollout_id or new_id(),
                task_id=task_id,
                split=split,
                index=index,
                messages=None if messages is None else as_messages(messages),
                ground_truth=ground_truth,
                seed=seed,
            )
        answer = await self._transport.request("/v1/start_rollout", request, StartRolloutAnswer)
        return Rollout(answer, self._transport, timeout_s=self._timeout_s)

    async def open(self) -> None:
        """Connects and checks that an environment of a known protocol version answers; `async with` does it.

        Raises:
            TransportError: no server there.
            NotAnEnvironmentError: something else is served there.
            VersionError: the protocol versions do not meet.
            NotReadyError: the environment did not get ready within `retry_for_s`.
        """
        if self._connected is not None:
            return
        http = self._given_http
        if http is None:
            from envport.connection import open_http  # aiohttp is slow to import, and most commands never connect

            http = self._own_http = open_http()
        transport = Transport(self.url, http, timeout_s=self._timeout_s or 60.0, retry_for_s=self._retry_for_s)
        try:
            manifest = await fetch_manifest(transport)
        except BaseException:
            await self.close()
            raise
        transport.timeout_s = self._timeout_s or manifest.limits.call_timeout_s
        self._connected = _Connected(transport, manifest)

    async def close(self) -> None:
        """Closes the connections. Rollouts that were not ended stay at the server until they are idle too long."""
        self._connected = None
        if self._own_http is not None:
            await self._own_http.aclose()
            self._own_http = None

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class _Connected(NamedTuple):
    transport: Transport
    manifest: Manifest
