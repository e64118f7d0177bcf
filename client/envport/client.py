"""`connect(url)`: an environment, wherever it is served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode

from envport_protocol.messages import (
    ComputeRewardAnswer,
    ListToolsAnswer,
    ListToolsRequest,
    Manifest,
    Message,
    StartRolloutAnswer,
    StartRolloutRequest,
    TaskPage,
    ToolSpec,
)

from envport.bearer import checked_token
from envport.connection import opened
from envport.group import score_group, score_singly, started_together
from envport.handshake import checked_url, fetch_manifest
from envport.requests import as_messages, boundary, new_id
from envport.rollout import Rollout

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    import httpx

    from envport.connection import Connection
    from envport.http import Http
    from envport.requests import Completion
    from envport.rollout import StartedRollout
    from envport.transport import Transport


def connect(
    url: str,
    *,
    token: str | None = None,
    timeout_s: float | None = None,
    retry_for_s: float = 30.0,
    batch: bool = True,
    http: httpx.AsyncClient | None = None,
) -> EnvClient:
    """The environment at `url`, to be entered: `async with envport.connect("http://127.0.0.1:8000") as env:`.

    `token` is sent as `Authorization: Bearer`, to `url` alone. `timeout_s` is how long the server may take for a call;
    None leaves it to the server's own limit. A call whose answer did not come is sent again for `retry_for_s` seconds,
    and runs once all the same. While the server says that it is not ready, entering waits as long; where no server is
    found at all, only three seconds. Calls made at the same moment share a request, where the server can; `batch=False`
    sends each alone, which suits a proxy that holds answers back until they are whole.
    `http` replaces the HTTP client, for a proxy or a test; it stays open.

    Raises:
        TransportError: `url` is no http or https URL.
        InvalidRequestError: `token` cannot stand in a header.
    """
    return EnvClient(url, token=token, timeout_s=timeout_s, retry_for_s=retry_for_s, batch=batch, http=http)


class EnvClient:
    """A client of one environment, made by `connect`. Its methods are the protocol's verbs.

    Any number of calls may be under way at once. Any call raises TransportError where no answer came, and the server's
    own errors (`envport_protocol.errors`) as their classes.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout_s: float | None,
        retry_for_s: float,
        batch: bool = True,
        http: httpx.AsyncClient | None,
    ) -> None:
        self.url = checked_url(url)
        self._token = checked_token(token)
        self._timeout_s = timeout_s
        self._retry_for_s = retry_for_s
        self._may_batch = batch
        self._given_http = http
        self._connected: Connection | None = None

    @property
    def manifest(self) -> Manifest:
        """What the environment is and can do, as told on entering."""
        return self._entered.manifest

    async def current_manifest(self) -> Manifest:
        """The manifest that the server has now; `manifest` stays what it was when the connection was opened.

        Raises:
            EnvportError: as `open` says.
        """
        return await fetch_manifest(self._transport)

    @property
    def _transport(self) -> Transport:
        return self._entered.transport

    @property
    def _entered(self) -> Connection:
        if self._connected is None:
            raise RuntimeError("this client is not open: use it inside `async with envport.connect(url) as env:`")
        return self._connected

    async def tasks(self, split: str, offset: int = 0, limit: int = 100) -> TaskPage:
        """Up to `limit` tasks of `split` from number `offset` on. The server may give fewer than asked.

        Raises:
            UnknownTaskError: the environment has no such split.
        """
        query = urlencode({"split": split, "offset": offset, "limit": limit})
        return await self._transport.get(f"/v1/tasks?{query}", TaskPage)

    async def list_tools(self, rollout_id: str | None = None) -> list[ToolSpec]:
        """The environment's tools, or those of one rollout."""
        with boundary("list_tools"):
            request = ListToolsRequest(rollout_id=rollout_id)
        return (await self._transport.post("list_tools", request, ListToolsAnswer)).tools

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

        Where this client holds as many rollouts open as the server seems to have room for, it first waits until one of
        them has ended.

        Raises:
            UnknownTaskError: the environment has no such task.
            OverloadedError: the server holds as many rollouts as it may, also after the retries; or this client does,
                and none of them ended within `retry_for_s`.
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
        connection = self._entered
        slot = await connection.limiter.slot()
        return Rollout(await connection.start(request, slot), connection, slot)

    async def attach(self, rollout_id: str) -> Rollout:
        """The rollout of that id, which another client started: for an agent that has no more than its id and `token`.

        Its first messages are not known here. Leaving its `async with` does not end it; `end()` does, where this
        client's token reaches so far.

        Raises:
            UnknownRolloutError, RolloutEndedError, RolloutLostError: the server does not hold it.
        """
        connection = self._entered
        answer = StartRolloutAnswer(
            rollout_id=rollout_id,
            task_id=None,
            messages=[],
            tools=await self.list_tools(rollout_id),
            idle_timeout_s=connection.manifest.limits.idle_timeout_s,
        )
        return Rollout(answer, connection, connection.limiter.no_slot(), is_attached=True)

    async def start_group(
        self,
        n: int,
        *,
        split: str | None = None,
        index: int | None = None,
        task_id: str | None = None,
        messages: Sequence[Message | Mapping[str, Any]] | None = None,
        ground_truth: Any = None,
        seed: int = 0,
        group_id: str | None = None,
    ) -> list[Rollout]:
        """`n` rollouts of one task, with the ids `GROUP.0` to `GROUP.n-1`, all with the same seed.

        A server with several workers holds them in one, so that they can be scored together. Where one cannot be
        started, those that were are ended.

        Raises:
            UnknownTaskError, OverloadedError: as `start_rollout` says.
        """
        self._entered.limiter.make_room(n)
        group_id = group_id or new_id()
        return await started_together(
            self.start_rollout(
                split=split,
                index=index,
                task_id=task_id,
                messages=messages,
                ground_truth=ground_truth,
                seed=seed,
                rollout_id=f"{group_id}.{number}",
            )
            for number in range(n)
        )

    async def compute_group_reward(
        self, completions: Sequence[tuple[StartedRollout, Completion]], *, group_id: str | None = None
    ) -> list[ComputeRewardAnswer]:
        """The rewards of rollouts that are scored against each other, in their order: `[(rollout, completion), ...]`.

        An environment without a reward of groups scores each by itself, all at once.

        Raises:
            EnvFailedError: the environment's own code failed; there is no reward then, not one of 0.
        """
        if "group_reward" in self.manifest.capabilities:
            return await score_group(self._transport, completions, group_id)
        return await score_singly(self._entered, completions)

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
        connection = await opened(
            self.url,
            self._open_http(),
            timeout_s=self._timeout_s,
            retry_for_s=self._retry_for_s,
            may_batch=self._may_batch,
        )
        if self._connected is None:
            self._connected = connection
        else:  # another call of `open` was quicker
            await connection.close()

    async def close(self) -> None:
        """Closes the connections. Rollouts that were not ended stay at the server until they are idle too long."""
        connected, self._connected = self._connected, None
        if connected is not None:
            await connected.close()

    def _open_http(self) -> Http:
        # Imported here: what both stand on is slow to import, and most commands never connect.
        if self._given_http is not None:
            from envport.over_httpx import OverHttpx

            return OverHttpx(self._given_http, self._token)
        from envport.over_aiohttp import OverAiohttp

        return OverAiohttp(self._token)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
