"""Calling an author's methods: by the names they ask for, blocking ones in threads, their failures attributed."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

from envport_protocol.errors import EnvDefinitionError, EnvFailedError, NoThreadError, ToolError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from concurrent.futures import Executor

log = logging.getLogger("envport.protocol")

thread_pool: ContextVar[Executor | None] = ContextVar("envport_thread_pool", default=None)
"""Where blocking methods run; the event loop's own pool where none was set."""


class NamedCall:
    """A method whose signature was read once, to be called with those of the available values that it asks for.

    Errors of the types in `passing` come through as they are, over those that `env_boundary` always lets pass.

    Raises:
        EnvDefinitionError: it asks for a value, without a default, that is not among `known`.
    """

    def __init__(
        self, function: Callable[..., Any], known: Collection[str], passing: tuple[type[Exception], ...] = ()
    ) -> None:
        self.function = function
        self._passing = passing
        self.what: str = getattr(function, "__qualname__", type(function).__qualname__)
        parameters = inspect.signature(function).parameters.values()
        self._positional = [p.name for p in parameters if p.kind is p.POSITIONAL_ONLY]
        self._named = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        self.takes_rest = any(p.kind is p.VAR_KEYWORD for p in parameters)
        asked = {p.name: p.default is p.empty for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
        self._required = {name for name, required in asked.items() if required}
        unknown = [name for name, required in asked.items() if required and name not in known]
        if unknown:
            raise EnvDefinitionError(
                f"{self.what} asks for {', '.join(map(repr, unknown))}, which the server does not have; "
                f"it can give: {', '.join(sorted(known))}. Rename the parameter or give it a default"
            )

    def asks_for(self, name: str) -> bool:
        """Whether `name` is one of its parameters, not only taken by `**kwargs`."""
        return name in self._named or name in self._positional

    def requires(self, name: str) -> bool:
        """Whether it cannot be called without `name`."""
        return name in self._required

    async def __call__(self, available: Mapping[str, Any]) -> Any:
        """Its answer. What it raises comes through `env_boundary`."""
        args = [available[name] for name in self._positional if name in available]
        if self.takes_rest:
            kwargs = {name: value for name, value in available.items() if name not in self._positional}
        else:
            kwargs = {name: available[name] for name in self._named if name in available}
        with env_boundary(self.what, *self._passing):
            return await invoke(partial(self.function, *args, **kwargs) if args else self.function, kwargs)


async def invoke(function: Callable[..., Any], kwargs: Mapping[str, Any]) -> Any:
    """The answer of `function(**kwargs)`: awaited when it is a coroutine function, else run in `thread_pool`.

    A thread cannot be stopped: when this call is cancelled, a blocking function runs on to its end unheard.
    """
    if _is_async(function):
        return await function(**kwargs)
    context = contextvars.copy_context()
    work: Callable[[], Any] = partial(context.run, partial(_without_stop_iteration, function, kwargs))
    answer = await asyncio.get_running_loop().run_in_executor(thread_pool.get(), work)
    return await answer if inspect.isawaitable(answer) else answer


def _is_async(function: Callable[..., Any]) -> bool:
    # inspect.iscoroutinefunction takes some microseconds; this is what it comes down to for functions and methods.
    code = getattr(function, "__code__", None)
    return inspect.iscoroutinefunction(function) if code is None else bool(code.co_flags & inspect.CO_COROUTINE)


def _without_stop_iteration(function: Callable[..., Any], kwargs: Mapping[str, Any]) -> Any:
    # A StopIteration cannot be put into an asyncio future (before Python 3.12 the waiter would wait for ever).
    try:
        return function(**kwargs)
    except StopIteration as error:
        raise RuntimeError(f"StopIteration left {function!r}") from error


_OURS = (KeyboardInterrupt, GeneratorExit, asyncio.CancelledError)
"""What the server itself throws into a call. Any other, a panic of a compiled library too, is the author's."""


class env_boundary:
    """Whatever the author's code raises becomes EnvFailedError, but for what an author may raise, and `passing`.

    So no error of this project that the author's code ran into, perhaps as a client of another environment, is taken
    for the server's own. The text of a stranger's exception may hold the ground truth, so the wire gets its type only,
    the log all of it.
    """

    __slots__ = ("_passing", "_what")

    def __init__(self, what: str, *passing: type[Exception]) -> None:
        self._what = what
        self._passing = passing

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, _OURS):
            return
        if not isinstance(error, (ToolError, EnvDefinitionError, EnvFailedError, NoThreadError, *self._passing)):
            log.error("%s failed", self._what, exc_info=error)
            raise EnvFailedError(
                f"{self._what} raised {type(error).__name__}; the server's log has the traceback. "
                "Fix the environment, then start a new rollout"
            ) from error


class rollout_boundary(env_boundary):
    """The same while a rollout runs: its tools have had their ToolErrors heard, and a wrong definition is a failure."""

    __slots__ = ()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ToolError):
            raise EnvFailedError(f"{self._what} raised ToolError, which only a tool may") from error
        if isinstance(error, EnvDefinitionError):
            raise EnvFailedError(f"{self._what}: {error}") from error
        super().__exit__(kind, error, trace)
