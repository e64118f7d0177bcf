"""Messages to token ids, once; after that only appended ids.

A conversation is rendered by the model's chat template for its first prompt. What the model samples is kept as the ids
it sampled. What a tool answers is rendered alone, as the text that the template would put between the model's stop
token and the next turn, and its ids are appended. Nothing is decoded and tokenized again.

With `history = "template"` the template renders the whole conversation before each later turn, and may change what came
before: see `rollout_tokens`.

Text from an environment is not trusted: in tasks, tool descriptions and tool answers, a special token's text is broken
up, so that no document can end the model's turn or open another. What the model wrote is treated alike where it is
rendered again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from envport_trainer.conversation.appendable import check_appendable
from envport_trainer.conversation.reasoning import TAGS, split_reasoning
from envport_trainer.conversation.template import ChatTemplate, FormatName, call_id
from envport_trainer.conversation.tool_formats import MAX_CALLS, ToolCall
from envport_trainer.conversation.tool_formats.xml import with_types
from envport_trainer.conversation.untrusted import special_texts
from envport_trainer.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envport_protocol.messages import Message, ToolSpec
    from transformers import PreTrainedTokenizerBase

__all__ = ["MAX_CALLS", "Chat", "ToolCall", "Turn"]

_TURN = "envport-turn"
"""Stands for the model's turn where a template is asked what follows it."""
_NO_STOP = (
    "the chat template does not end a turn that calls tools with a stop token of the model, so the tools' "
    "answers cannot be appended; give another template with --chat-template FILE"
)
_CALL_ID = re.compile(r"[A-Za-z0-9]{9}")


@dataclass(frozen=True, slots=True)
class Turn:
    """One sampled turn, read as text."""

    text: str
    """All of it, reasoning and tool calls included."""
    calls: list[ToolCall]
    reasoning: str = ""
    content: str = ""
    """What was said beside reasoning and calls."""


class Chat:
    """Renders and reads for one tokenizer.

    `tool_format` is how the model writes calls; `auto` finds the form that the template itself writes them in.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        stop_ids: frozenset[int],
        tool_format: FormatName = "auto",
        history: Literal["append", "template"] = "append",
    ) -> None:
        self.tokenizer = tokenizer
        self.stop_ids = stop_ids
        self.history = history
        self.template = ChatTemplate(tokenizer, stop_ids, tool_format)
        self._dropped_ids: frozenset[int] | None = None
        self._appendable: dict[bool, ModelError | None] = {}

    def prompt_ids(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> list[int]:
        """The ids of the conversation so far, up to where the model's turn begins.

        Raises:
            ModelError: the chat template refuses it, such as for having no place for a system message.
        """
        return self.encode(self.render([message.model_dump(exclude_none=True) for message in messages], tools))

    def render(self, messages: Sequence[dict[str, Any]], tools: Sequence[ToolSpec]) -> str:
        """The text that `prompt_ids` encodes, of messages as the template takes them."""
        harmless = [{**self.template.harmless(message), "role": message["role"]} for message in messages]
        return self.template.render(harmless, tools)

    def tool_ids(self, answers: Sequence[tuple[str, str]], calls: Sequence[ToolCall] = ()) -> list[int]:
        """The ids that follow the model's stop token: the answers of the called tools, `(name, text)`, in the order
        of the `calls`, and the opening of the model's next turn.

        Raises:
            ModelError: the template ends such a turn with no stop token of the model.
        """
        # The stop token is encoded with what follows it: some tokenizers treat the begin of a text in another way.
        ids = self.encode(self.tool_text(answers, calls))
        if ids[0] not in self.stop_ids:
            raise ModelError(_NO_STOP)
        return ids[1:]

    def tool_text(self, answers: Sequence[tuple[str, str]], calls: Sequence[ToolCall] = ()) -> str:
        """A stop token's text, and the text that `tool_ids` encodes.

        Raises:
            ModelError: as `tool_ids`.
        """
        given = [call.call_id if call.call_id and _CALL_ID.fullmatch(call.call_id) else None for call in calls]
        ids = [*given, *[None] * (len(answers) - len(given))]
        identities = [identity or call_id(n) for n, identity in enumerate(ids[: len(answers)])]
        whole = self._answered(answers, identities)
        turn = whole.find(_TURN)
        stops = [found for stop in self.template.stop_texts if (found := whole.find(stop, turn)) >= 0]
        if turn < 0 or not stops:
            raise ModelError(_NO_STOP)
        return whole[min(stops) :]

    def read(self, token_ids: Sequence[int], tools: Sequence[ToolSpec] = ()) -> Turn:
        """A sampled turn as text, with the tool calls in it; `tools` give their arguments' types where the form has
        none. Calls within reasoning are no calls."""
        body = token_ids[:-1] if token_ids and token_ids[-1] in self.stop_ids else token_ids
        kept = [number for number in body if number not in self._dropped()]
        text = self.text(kept)
        form = self.template.form()
        reasoning, said = split_reasoning(text, opened=self.template.opens_reasoning())
        calls = form.read(said)[:MAX_CALLS]
        if form.name == "xml":
            calls = with_types(calls, tools)
        return Turn(text, calls, reasoning, form.content(said) if calls else said.strip())

    def assistant_message(self, turn: Turn) -> dict[str, Any]:
        """A turn as the template takes it. A turn with a call that cannot be made is text alone."""
        message: dict[str, Any] = {"role": "assistant", "content": turn.content}
        if turn.reasoning:
            message["reasoning_content"] = turn.reasoning
        if any(call.problem is not None for call in turn.calls):
            return message | {"content": turn.text}
        if turn.calls:
            message["tool_calls"] = [
                self.template.call(call.name, call.arguments, call_id(n)) for n, call in enumerate(turn.calls)
            ]
        return message

    def tool_messages(self, answers: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        """Tools' answers as the template takes them."""
        return [
            {"role": "tool", "name": name, "content": text, "tool_call_id": call_id(n)}
            for n, (name, text) in enumerate(answers)
        ]

    def check_appendable(self, *, system: bool = False) -> None:
        """Returns where ids that are appended are those that the template renders, or `history` is `template`.

        `system` asks it for conversations that begin with a system message.

        Raises:
            ModelError: they are not, or the template shows no tools; says where they part, and what to do.
        """
        if self.history == "template":
            self.template.style()
            return
        if system not in self._appendable:
            try:
                check_appendable(self, system=system)
                self._appendable[system] = None
            except ModelError as error:
                self._appendable[system] = error
        if (known := self._appendable[system]) is not None:
            raise known

    def continuation(self, ids: Sequence[int], text: str) -> list[int] | None:
        """The ids by which a rendered text goes on after `ids`; None where it does not begin with them, nor with their
        text up to a stop token. A model may write a text with other ids than the tokenizer gives it."""
        whole = self.encode(text)
        if whole[: len(ids)] == list(ids):
            return whole[len(ids) :]
        written, stop = self.text(ids), self.text(ids[-1:])
        if ids[-1] in self.stop_ids and text.startswith(written):
            after = self.encode(text[len(written) - len(stop) :])
            return after[1:] if after[0] == ids[-1] else None
        return None

    def text(self, ids: Sequence[int]) -> str:
        """The text of ids, special tokens included."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def encode(self, text: str) -> list[int]:
        """The ids of a rendered text. Half of a surrogate pair, which no tokenizer takes, becomes a question mark."""
        ids: list[int] = self.tokenizer.encode(text.encode(errors="replace").decode(), add_special_tokens=False)
        return ids

    def _answered(self, answers: Sequence[tuple[str, str]], identities: Sequence[str]) -> str:
        """A conversation that ends with `answers`. Templates that allow one call for each turn, as Llama's, are given
        one; they show all the answers."""
        tools = [
            {"role": "tool"} | self.template.harmless({"name": name, "content": text, "tool_call_id": identity})
            for (name, text), identity in zip(answers, identities, strict=True)
        ]
        calls = [self.template.call(_TURN, {}, identity) for identity in identities]
        user = {"role": "user", "content": "u"}

        def render(count: int) -> str:
            turn = {"role": "assistant", "content": _TURN, "tool_calls": calls[:count]}
            return self.template.render([user, turn, *tools], ())

        try:
            return render(len(calls))
        except ModelError:
            if len(calls) < 2:
                raise
            return render(1)

    def _dropped(self) -> frozenset[int]:
        """Special tokens that are left out of a turn's text: all but those of its tool calls and reasoning."""
        if self._dropped_ids is None:
            kept = {*self.template.form().markers, *TAGS}
            dropped = special_texts(self.tokenizer) - kept
            self._dropped_ids = frozenset(int(str(self.tokenizer.convert_tokens_to_ids(text))) for text in dropped)
        return self._dropped_ids
