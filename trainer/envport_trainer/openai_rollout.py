"""One attempt at a task by a model behind an OpenAI-compatible server: messages in place of token ids."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from envport import ProtocolError, TransportError
from envport_protocol.errors import EnvportError, WireError
from envport_protocol.messages import Outcome

from envport_trainer.errors import ContextFullError, RolloutFailedError
from envport_trainer.evaluation_result import EvalRow
from envport_trainer.rollouts import derive_seed
from envport_trainer.types import Finish

if TYPE_CHECKING:
    from envport import Rollout
    from envport.client import EnvClient

    from envport_trainer.openai import OpenAiModel, WantedCall
    from envport_trainer.rollouts import RolloutLimits, RolloutSpec

logger = logging.getLogger(__name__)

_MAX_NAME = 256


@dataclass(slots=True)
class _Conversation:
    """What was said so far. `first` messages are the task's."""

    messages: list[dict[str, Any]]
    first: int
    tokens: int | None = 0
    tool_calls: int = 0
    tool_errors: int = 0


async def run_openai_rollout(env: EnvClient, model: OpenAiModel, spec: RolloutSpec, limits: RolloutLimits) -> EvalRow:
    """One scored attempt, begun anew where the environment fails.

    Raises:
        RolloutFailedError: the environment failed `env_retries` + 1 times.
        ModelServerError: the model's server could not be reached, refused, or answered nonsense.
    """
    failures = 0
    while True:
        try:
            return await _attempt(env, model, spec, limits)
        except (WireError, TransportError, ProtocolError, RolloutFailedError) as error:
            failures += 1
            if failures > limits.env_retries:
                raise RolloutFailedError(f"{env.url} failed {failures} times: {error}") from error
            logger.warning("task %d begins anew, the environment failed: %s", spec.index, error)


async def _attempt(env: EnvClient, model: OpenAiModel, spec: RolloutSpec, limits: RolloutLimits) -> EvalRow:
    rollout = await env.start_rollout(split=spec.split, index=spec.index, seed=spec.seed)
    try:
        messages = [message.model_dump(exclude_none=True) for message in rollout.messages]
        talk = _Conversation(messages, first=len(messages))
        finish = await _converse(talk, rollout, model, spec, limits)
        answer = await rollout.compute_reward(talk.messages[talk.first :])
    finally:
        await _end_quietly(rollout)
    if answer.reward is None or not answer.trainable or answer.outcome != Outcome.OK:
        raise RolloutFailedError(f"the environment gave no reward (outcome {answer.outcome})")
    return EvalRow(
        index=spec.index,
        task_id=rollout.task_id,
        reward=answer.reward,
        rewards={name: part.score for name, part in answer.rewards.items() if part.score is not None},
        metrics=dict(answer.metrics),
        finish=finish.value,
        tokens=talk.tokens,
        tool_calls=talk.tool_calls,
        tool_errors=talk.tool_errors,
        messages=talk.messages,
    )


async def _converse(
    talk: _Conversation, rollout: Rollout, model: OpenAiModel, spec: RolloutSpec, limits: RolloutLimits
) -> Finish:
    tools = rollout.tools if limits.max_turns > 1 else ()
    for turn in range(limits.max_turns):
        try:
            reply = await model.chat(
                talk.messages,
                tools,
                max_new_tokens=limits.max_new_tokens,
                temperature=limits.temperature,
                seed=derive_seed(spec.seed, turn) % 2**31,
            )
        except ContextFullError:
            if turn == 0:
                raise
            return Finish.LENGTH
        talk.messages.append(reply.as_message())
        talk.tokens = None if talk.tokens is None or reply.tokens is None else talk.tokens + reply.tokens
        if reply.truncated:
            return Finish.LENGTH
        if not reply.calls or limits.max_turns == 1:
            return Finish.STOP
        if turn + 1 < limits.max_turns and await _run_tools(talk, rollout, reply.calls, turn):
            return Finish.DONE
    return Finish.TURNS


async def _run_tools(talk: _Conversation, rollout: Rollout, calls: list[WantedCall], turn: int) -> bool:
    """Run the turn's calls at once and append their answers in order; True where a tool ended the rollout."""
    answers = await asyncio.gather(*(_run_tool(rollout, call, f"{turn}-{n}") for n, call in enumerate(calls)))
    for call, (text, failed, _) in zip(calls, answers, strict=True):
        talk.messages.append({"role": "tool", "tool_call_id": call.call_id, "name": call.name, "content": text})
        talk.tool_calls += 1
        talk.tool_errors += failed
    return any(done for _, _, done in answers)


async def _run_tool(rollout: Rollout, call: WantedCall, call_id: str) -> tuple[str, bool, bool]:
    """The text for the model, whether the call was wrong, and whether the rollout is over."""
    arguments, problem = _read_arguments(call)
    if problem:
        return problem, True, False
    answer = await rollout.run_tool(call.name, arguments, call_id=call_id)
    if answer.outcome not in (Outcome.OK, Outcome.TOOL_ERROR) or not answer.trainable:
        raise RolloutFailedError(f"tool {call.name!r} ended with outcome {answer.outcome}")
    return answer.text, answer.outcome == Outcome.TOOL_ERROR, answer.done


def _read_arguments(call: WantedCall) -> tuple[dict[str, Any], str]:
    """The arguments and "", or the problem for the model to read."""
    if len(call.name) > _MAX_NAME:
        return {}, f"no tool has a name of {len(call.name)} characters"
    try:
        value = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError) as error:
        return {}, f"the arguments are not JSON: {error}"
    if not isinstance(value, dict):
        return {}, "the arguments of a tool call are one JSON object"
    return value, ""


async def _end_quietly(rollout: Rollout) -> None:
    """An idle rollout expires by itself, so a failure to end one is nobody's loss."""
    try:
        await asyncio.wait_for(rollout.end(), 10)
    except (EnvportError, TimeoutError) as error:
        logger.debug("could not end rollout %s: %s", rollout.rollout_id, error)
