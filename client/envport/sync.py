"""The client for scripts and notebooks that do not await: the same methods, each waiting for its answer.

The async client does the work, on an event loop in a thread of its own: so it may also be called where a loop already
runs, as in a notebook. Each method here is made from the async one, signature and all.
"""

from __future__ import annotations

import functools
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, overload

from envport.client import EnvClient, connect
from envport.loop_thread import LoopThread, StoppedError
from envport.rollout import Rollout, StartedRollout

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType

    import httpx
    from envport_protocol.messages import Manifest

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A")


class _Mirror(Protocol):
    """What a method needs of its object: the async twin, and the loop that it runs on."""

    twin: Any
    loop: LoopThread


class Blocking(Generic[P, R]):
    """A method that runs its async twin to the end and returns what that returns."""

    def __init__(
        self, method: Callable[..., Coroutine[Any, Any, Any]], wrap: Callable[[LoopThread, Any], R] | None = None
    ) -> None:
        self.method = method
        self._wrap = wrap
        self.__doc__ = method.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: _Mirror, owner: type) -> Callable[P, R]: ...
    def __get__(self, instance: _Mirror | None, owner: type) -> Self | Callable[P, R]:
        if instance is None:
            return self
        bound = getattr(instance.twin, self.method.__name__)

        @functools.wraps(bound)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            answer = instance.loop.run(bound(*args, **kwargs))
            return answer if self._wrap is None else self._wrap(instance.loop, answer)

        return call


def blocking(method: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]) -> Blocking[P, R]:
    """The blocking twin of an async method."""
    return Blocking(method)


def blocking_into(
    wrap: Callable[[LoopThread, A], R], method: Callable[Concatenate[Any, P], Coroutine[Any, Any, A]]
) -> Blocking[P, R]:
    """The same, for a method whose answer has a blocking twin itself."""
    return Blocking(method, wrap)


class SyncRollout(StartedRollout):
    """`Rollout`, blocking."""

    def __init__(self, loop: LoopThread, twin: Rollout) -> None:
        super().__init__(twin.answer, twin.slot)
        self.loop = loop
        self.twin = twin

    run_tool = blocking(Rollout.run_tool)
    run_tools = blocking(Rollout.run_tools)
    cancel = blocking(Rollout.cancel)
    compute_reward = blocking(Rollout.compute_reward)
    fork = blocking_into(lambda loop, twin: SyncRollout(loop, twin), Rollout.fork)
    end = blocking(Rollout.end)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(StoppedError):  # the client was closed: an idle rollout ends by itself
            self.loop.run(self.twin.__aexit__(error_type, error, trace))


def _each_sync(loop: LoopThread, twins: list[Rollout]) -> list[SyncRollout]:
    return [SyncRollout(loop, twin) for twin in twins]


class SyncEnvClient:
    """`EnvClient`, blocking. Made by `connect_sync`, open until `close()` or the end of its `with`."""

    def __init__(self, twin: EnvClient) -> None:
        self.twin = twin
        self.loop = LoopThread(at_end=twin.close)
        self._shut = weakref.finalize(self, self.loop.stop)
        try:
            self.loop.run(twin.open())
        except BaseException:
            self._shut()
            raise

    current_manifest = blocking(EnvClient.current_manifest)
    tasks = blocking(EnvClient.tasks)
    list_tools = blocking(EnvClient.list_tools)
    start_rollout = blocking_into(SyncRollout, EnvClient.start_rollout)
    attach = blocking_into(SyncRollout, EnvClient.attach)
    start_group = blocking_into(_each_sync, EnvClient.start_group)
    compute_group_reward = blocking(EnvClient.compute_group_reward)

    @property
    def url(self) -> str:
        """Where the environment is served."""
        return self.twin.url

    @property
    def manifest(self) -> Manifest:
        """What the environment is and can do, as told on connecting."""
        return self.twin.manifest

    def close(self) -> None:
        """Closes the connections and ends the thread. Again does nothing."""
        self._shut()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def connect_sync(
    url: str,
    *,
    token: str | None = None,
    timeout_s: float | None = None,
    retry_for_s: float = 30.0,
    batch: bool = True,
    http: httpx.AsyncClient | None = None,
) -> SyncEnvClient:
    """`connect`, blocking, and connected when it returns: `with envport.connect_sync(url) as env:`."""
    return SyncEnvClient(
        connect(url, token=token, timeout_s=timeout_s, retry_for_s=retry_for_s, batch=batch, http=http)
    )
