"""One attempt at a task by a model behind an OpenAI-compatible server: messages in place of token ids."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from envport_trainer.conversation.reasons import reasons_of
from envport_trainer.errors import ContextFullError
from envport_trainer.evaluation.result import EvalRow
from envport_trainer.rollouts.attempts import ToolReply, at_once, attempt_task, call_tool, scored
from envport_trainer.rollouts.group_scoring import reward_alone
from envport_trainer.rollouts.playing import derive_seed
from envport_trainer.types import Finish

if TYPE_CHECKING:
    from envport import Rollout
    from envport.client import EnvClient

    from envport_trainer.evaluation.openai import OpenAiModel, WantedCall
    from envport_trainer.rollouts.playing import RolloutLimits, RolloutSpec


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
        RolloutFailedError: the environment kept failing, see `attempt_task`.
        ModelServerError: the model's server could not be reached, refused, or answered nonsense.
    """

    async def attempt(rollout: Rollout) -> EvalRow:
        messages = [message.model_dump(exclude_none=True) for message in rollout.messages]
        talk = _Conversation(messages, first=len(messages))
        finish = await _converse(talk, rollout, model, spec, limits)
        answer = await reward_alone(env, rollout, talk.messages[talk.first :])
        return EvalRow(
            index=spec.index,
            task_id=rollout.task_id,
            reward=scored(answer),
            rewards={name: part.score for name, part in answer.rewards.items() if part.score is not None},
            reasons=reasons_of(answer),
            metrics=dict(answer.metrics),
            finish=finish.value,
            tokens=talk.tokens,
            tool_calls=talk.tool_calls,
            tool_errors=talk.tool_errors,
            messages=talk.messages,
        )

    return await attempt_task(env, spec, limits.env_retries, attempt)


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
    replies = await at_once([_run_tool(rollout, call, f"{turn}-{n}") for n, call in enumerate(calls)])
    for call, reply in zip(calls, replies, strict=True):
        talk.messages.append({"role": "tool", "tool_call_id": call.call_id, "name": call.name, "content": reply.text})
        talk.tool_calls += 1
        talk.tool_errors += reply.is_error
    return any(reply.done for reply in replies)


async def _run_tool(rollout: Rollout, call: WantedCall, call_id: str) -> ToolReply:
    arguments, problem = _read_arguments(call)
    if problem:
        return ToolReply(problem, is_error=True, done=False)
    return await call_tool(rollout, call.name, arguments, call_id)


def _read_arguments(call: WantedCall) -> tuple[dict[str, Any], str]:
    """The arguments and "", or the problem for the model to read."""
    try:
        value = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError) as error:
        return {}, f"the arguments are not JSON: {error}"
    if not isinstance(value, dict):
        return {}, "the arguments of a tool call are one JSON object"
    return value, ""
