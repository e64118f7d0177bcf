"""Attempts at one task: begun anew where the environment fails, ended at the server whatever happens.

A failure of the environment is never a reward. Three kinds are told apart:

  - it failed (its code, its answer): begun anew, `env_retries` times;
  - it is away (no rollout can be started there): waited for, `ENV_PATIENCE_S` long;
  - it lost a rollout that it had started, as a restart does: begun anew, `MAX_LOST` times.

After that the rollout is dropped.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from envport import NotReadyError, ProtocolError, Rollout, TransportError
from envport_protocol.errors import (
    EnvportError,
    ForbiddenError,
    InvalidRequestError,
    OverloadedError,
    RolloutEndedError,
    RolloutLostError,
    UnauthorizedError,
    UnknownRolloutError,
    WireError,
)
from envport_protocol.messages import ComputeRewardAnswer, Outcome

from envport_trainer.errors import NotScoredError, PromptTooLongError, RolloutFailedError
from envport_trainer.rollouts.presence import presence_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence

    from envport.client import EnvClient

    from envport_trainer.rollouts.playing import RolloutSpec

T = TypeVar("T")

logger = logging.getLogger(__name__)

ENV_PATIENCE_S = 600.0
"""Longest wait for an environment that starts no rollout: a container may be rebuilt, a machine restarted."""
MAX_LOST: Final = 3
"""Fresh starts of one rollout that its environment lost."""
_RETRY_EVERY_S = 2.0
_END_WITHIN_S = 10.0

_AWAY: Final = (TransportError, NotReadyError, OverloadedError)
_LOST: Final = (*_AWAY, UnknownRolloutError, RolloutEndedError, RolloutLostError)
_FAILED: Final = (WireError, ProtocolError, RolloutFailedError)


async def attempt_task(
    env: EnvClient,
    spec: RolloutSpec,
    env_retries: int,
    attempt: Callable[[Rollout], Awaitable[T]],
    start: Callable[[RolloutSpec], Awaitable[Rollout]] | None = None,
) -> T:
    """What `attempt` makes of a fresh rollout of the task, which is ended when it returns or raises.

    One that could not be ended, since the environment was away, is ended before the next is started: it has room there.

    `start` begins a rollout of the task otherwise than by the client alone.

    Raises:
        PromptTooLongError: at once; another attempt would meet the same prompt.
        NotScoredError: at once; its group is over.
        UnauthorizedError, ForbiddenError: at once; the environment asks for another token.
        RolloutFailedError: the environment failed `env_retries` + 1 times, lost `MAX_LOST` + 1 rollouts, or started
            none for `ENV_PATIENCE_S`.
    """
    troubles = _Troubles(env, env_retries)
    left: Rollout | None = None
    while True:
        if left is not None and await _is_ended(left):
            left = None
        try:
            rollout = await (_started_alone(env, spec) if start is None else start(spec))
        except _AWAY as error:
            troubles.away(error)
        except (UnauthorizedError, ForbiddenError):
            raise
        except _FAILED as error:
            troubles.failed(error)
        else:
            troubles.is_back()
            try:
                async with _kept_alive(env, rollout):
                    return await attempt(rollout)
            except (PromptTooLongError, NotScoredError):
                raise
            except _LOST as error:
                troubles.lost(error)
            except _FAILED as error:
                troubles.failed(error)
            finally:
                left = None if await _is_ended(rollout) else rollout
        await asyncio.sleep(_RETRY_EVERY_S)


async def _started_alone(env: EnvClient, spec: RolloutSpec) -> Rollout:
    return await env.start_rollout(split=spec.split, index=spec.index, seed=spec.env_seed)


class _Troubles:
    """What befell one rollout so far. Its methods raise RolloutFailedError when it was enough."""

    def __init__(self, env: EnvClient, env_retries: int) -> None:
        self._url, self._env_retries = env.url, env_retries
        self._presence = presence_of(env)
        self._failures = self._losses = 0
        self._away_since: float | None = None

    def is_back(self) -> None:
        self._away_since = None
        self._presence.back()

    def away(self, error: EnvportError) -> None:
        now = asyncio.get_running_loop().time()
        self._away_since = now if self._away_since is None else self._away_since
        if now - self._away_since >= ENV_PATIENCE_S:
            raise RolloutFailedError(f"{self._url} was away for {ENV_PATIENCE_S:.0f} s: {error}") from error
        self._presence.away(error, ENV_PATIENCE_S)

    def lost(self, error: EnvportError) -> None:
        self._losses += 1
        if self._losses > MAX_LOST:
            raise RolloutFailedError(f"{self._url} lost the rollout {self._losses} times: {error}") from error
        self._presence.lost(error)

    def failed(self, error: EnvportError) -> None:
        self._failures += 1
        if self._failures > self._env_retries:
            raise RolloutFailedError(f"{self._url} failed {self._failures} times: {error}") from error
        logger.warning("%s failed, trying again: %s", self._url, error)


class ToolReply(NamedTuple):
    """What the model is told of its call."""

    text: str
    is_error: bool
    """True where the call itself was wrong."""
    done: bool
    """True where the tool ended the rollout."""


async def call_tool(rollout: Rollout, name: str, arguments: dict[str, Any], call_id: str) -> ToolReply:
    """The tool's answer. A call that no server takes, such as one with half a UTF-16 pair, is the model's own mistake.

    Raises:
        RolloutFailedError: the environment failed in the call.
    """
    try:
        answer = await rollout.run_tool(name, arguments, call_id=call_id)
    except InvalidRequestError as error:
        return ToolReply(f"the tool call does not fit: {error}", is_error=True, done=False)
    if answer.outcome not in (Outcome.OK, Outcome.TOOL_ERROR) or not answer.trainable:
        raise RolloutFailedError(f"tool {name!r} ended with outcome {answer.outcome}")
    return ToolReply(answer.text, answer.outcome == Outcome.TOOL_ERROR, answer.done)


def scored(answer: ComputeRewardAnswer) -> float:
    """The reward in `answer`.

    Raises:
        RolloutFailedError: there is none, or none to learn from.
    """
    if answer.reward is None or not answer.trainable or answer.outcome != Outcome.OK:
        raise RolloutFailedError(f"the environment gave no reward (outcome {answer.outcome})")
    return answer.reward


async def at_once(jobs: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of `jobs`, in order. Where one raises or all are cancelled, returns when each has come to its end."""
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            if not task.cancelling():  # a second time would break off what ends its rollout
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def _kept_alive(env: EnvClient, rollout: Rollout) -> AsyncGenerator[None]:
    """Touch the rollout while it is open: a large wave on a slow machine samples longer than a server lets it idle."""

    async def touch() -> None:
        while True:
            await asyncio.sleep(rollout.idle_timeout_s / 3)
            with suppress(EnvportError):  # the next call of the rollout itself tells what is wrong
                await env.list_tools(rollout.rollout_id)

    task = asyncio.create_task(touch())
    try:
        yield
    finally:
        task.cancel()


async def _is_ended(rollout: Rollout) -> bool:
    """Whether the environment was asked to end it. An idle rollout expires by itself, so a failure is not raised."""
    try:
        await asyncio.wait_for(rollout.end(), _END_WITHIN_S)
    except (*_AWAY, TimeoutError) as error:
        logger.debug("could not end rollout %s: %s", rollout.rollout_id, error)
        return False
    except EnvportError as error:
        logger.debug("ended rollout %s, with an error: %s", rollout.rollout_id, error)
    return True
