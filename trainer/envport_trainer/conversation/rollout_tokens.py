"""The token ids of one rollout while it grows: appended to, and where the template changes what came before, begun anew
in another row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from envport_protocol.messages import ComputeRewardAnswer, Message

from envport_trainer.conversation.reasons import reasons_of
from envport_trainer.errors import ModelError, PromptTooLongError
from envport_trainer.types import Finish, TokenRow, Trajectory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envport import Rollout
    from envport.client import EnvClient

    from envport_trainer.conversation.chat import Chat, Turn
    from envport_trainer.rollouts.playing import RolloutSpec


class RolloutTokens:
    """The growing ids of one rollout, and the conversation for people to read.

    `ids` is what the sampler is given next; `max_tokens` bounds it, in each row alone.

    Raises:
        PromptTooLongError: the task's prompt alone has `max_tokens` or more.
        ModelError: the chat template refuses the task, or cannot be appended to.
    """

    def __init__(self, chat: Chat, rollout: Rollout, *, offer_tools: bool, max_tokens: int) -> None:
        self.chat, self.rollout = chat, rollout
        self._tools = rollout.tools if offer_tools else []
        if self._tools:
            chat.check_appendable(system=any(message.role == "system" for message in rollout.messages))
        self._rows: list[TokenRow] = []
        self._begin(chat.prompt_ids(rollout.messages, self._tools))
        if self.prompt_length >= max_tokens:
            raise PromptTooLongError(
                f"the prompt of task {rollout.task_id} has {self.prompt_length} tokens, and a whole rollout may have "
                f"{max_tokens}; raise max_tokens"
            )
        self.completion: list[Message] = []
        self._turn: Turn | None = None
        self._shown: list[dict[str, Any]] = [message.model_dump(exclude_none=True) for message in rollout.messages]
        """The conversation as the template takes it."""
        self.tool_calls = self.tool_errors = 0

    def append_sample(self, ids: Sequence[int], logprobs: Sequence[float]) -> Turn:
        """What the model said with these ids."""
        self.ids += ids
        self.mask += [True] * len(ids)
        self.logprobs += logprobs
        self._turn = self.chat.read(ids, self._tools)
        self.completion.append(Message(role="assistant", content=self._turn.text))
        if self.chat.history == "template":
            self._shown.append(self.chat.assistant_message(self._turn))
        return self._turn

    def append_tools(self, answers: Sequence[tuple[str, str]], errors: int) -> None:
        """Appends what tools answered, `(name, text)`; `errors` of the calls were wrong. Another row begins where the
        template then renders otherwise what came before."""
        if self.chat.history == "template":
            self._shown += self.chat.tool_messages(answers)
            self._render_anew(answers)
        else:
            self._append(self._answer_ids(answers))
        self.completion += [Message(role="tool", name=name, content=text) for name, text in answers]
        self.tool_calls += len(answers)
        self.tool_errors += errors

    def rows(self) -> list[TokenRow]:
        """Each row up to the last id that was sampled in it; a row without any is left out."""
        return [*self._rows, *self._current_row()]

    def trajectory(
        self, env: EnvClient, spec: RolloutSpec, finish: Finish, reward: float, answer: ComputeRewardAnswer
    ) -> Trajectory:
        """The whole as a trajectory."""
        messages: list[dict[str, Any]] = [
            m.model_dump(exclude_none=True) for m in [*self.rollout.messages, *self.completion]
        ]
        return Trajectory(
            env=env.url,
            env_digest=env.manifest.digest,
            task_id=self.rollout.task_id,
            rollout_id=self.rollout.rollout_id,
            group=spec.group,
            rows=self.rows(),
            policy_version=spec.policy_version,
            finish=finish,
            messages=messages,
            reward=reward,
            rewards={name: part.score for name, part in answer.rewards.items() if part.score is not None},
            weights={name: part.weight for name, part in answer.rewards.items() if part.score is not None},
            reasons=reasons_of(answer),
            metrics=dict(answer.metrics),
            tool_calls=self.tool_calls,
            tool_errors=self.tool_errors,
        )

    def _begin(self, ids: list[int]) -> None:
        """A row in which nothing is sampled yet."""
        self.ids = ids
        self.prompt_length = len(ids)
        self.mask = [False] * len(ids)
        self.logprobs = [0.0] * len(ids)

    def _append(self, ids: Sequence[int]) -> None:
        self.ids += ids
        self.mask += [False] * len(ids)
        self.logprobs += [0.0] * len(ids)

    def _answer_ids(self, answers: Sequence[tuple[str, str]]) -> list[int]:
        return self.chat.tool_ids(answers, () if self._turn is None else self._turn.calls)

    def _render_anew(self, answers: Sequence[tuple[str, str]]) -> None:
        try:
            text = self.chat.render(self._shown, self._tools)
        except ModelError:  # what the model wrote need not fit the template: then it is shown as it was written
            self._append(self._answer_ids(answers))
            return
        more = self.chat.continuation(self.ids, text)
        if more is not None:
            self._append(more)
            return
        self._rows += self._current_row()
        self._begin(self.chat.encode(text))

    def _current_row(self) -> list[TokenRow]:
        """Nothing, or one row."""
        if not any(self.mask):
            return []
        end = len(self.mask) - self.mask[::-1].index(True)
        return [TokenRow(self.ids[:end], self.mask[:end], self.logprobs[:end], self.prompt_length)]
