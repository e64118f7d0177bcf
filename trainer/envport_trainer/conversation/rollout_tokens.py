"""The token ids of one rollout while it grows: appended to, and never made anew from text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from envport_protocol.messages import ComputeRewardAnswer, Message

from envport_trainer.errors import PromptTooLongError
from envport_trainer.types import Finish, TokenRow, Trajectory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envport import Rollout
    from envport.client import EnvClient

    from envport_trainer.conversation.chat import Chat, Turn
    from envport_trainer.rollouts.playing import RolloutSpec


class RolloutTokens:
    """The growing ids of one rollout, and the conversation for people to read.

    Raises:
        PromptTooLongError: the task's prompt alone has `max_tokens` or more.
    """

    def __init__(self, chat: Chat, rollout: Rollout, *, offer_tools: bool, max_tokens: int) -> None:
        self.chat, self.rollout = chat, rollout
        self.ids = chat.prompt_ids(rollout.messages, rollout.tools if offer_tools else ())
        self.prompt_length = len(self.ids)
        if self.prompt_length >= max_tokens:
            raise PromptTooLongError(
                f"the prompt of task {rollout.task_id} has {self.prompt_length} tokens, and a whole rollout may have "
                f"{max_tokens}; raise max_tokens"
            )
        self.mask = [False] * self.prompt_length
        self.logprobs = [0.0] * self.prompt_length
        self.completion: list[Message] = []
        self.tool_calls = self.tool_errors = 0

    def append_sample(self, ids: Sequence[int], logprobs: Sequence[float]) -> Turn:
        """What the model said with these ids."""
        self.ids += ids
        self.mask += [True] * len(ids)
        self.logprobs += logprobs
        turn = self.chat.read(ids)
        self.completion.append(Message(role="assistant", content=turn.text))
        return turn

    def append_tools(self, answers: Sequence[tuple[str, str]], errors: int) -> None:
        """Appends what tools answered, `(name, text)`; `errors` of the calls were wrong."""
        ids = self.chat.tool_ids(answers)
        self.ids += ids
        self.mask += [False] * len(ids)
        self.logprobs += [0.0] * len(ids)
        self.completion += [Message(role="tool", name=name, content=text) for name, text in answers]
        self.tool_calls += len(answers)
        self.tool_errors += errors

    def trajectory(
        self, env: EnvClient, spec: RolloutSpec, finish: Finish, reward: float, answer: ComputeRewardAnswer
    ) -> Trajectory:
        """The whole as a trajectory, up to the last id that was sampled."""
        last = max(place for place, sampled in enumerate(self.mask) if sampled) + 1
        messages: list[dict[str, Any]] = [
            m.model_dump(exclude_none=True) for m in [*self.rollout.messages, *self.completion]
        ]
        return Trajectory(
            env=env.url,
            env_digest=env.manifest.digest,
            task_id=self.rollout.task_id,
            rollout_id=self.rollout.rollout_id,
            group=spec.group,
            rows=[TokenRow(self.ids[:last], self.mask[:last], self.logprobs[:last], self.prompt_length)],
            policy_version=spec.policy_version,
            finish=finish,
            messages=messages,
            reward=reward,
            rewards={name: part.score for name, part in answer.rewards.items() if part.score is not None},
            weights={name: part.weight for name, part in answer.rewards.items() if part.score is not None},
            metrics=dict(answer.metrics),
            tool_calls=self.tool_calls,
            tool_errors=self.tool_errors,
        )
