"""Messages to token ids, once; after that only appended ids.

A conversation is rendered by the model's chat template for its first prompt. What the model samples is kept as the ids
it sampled. What a tool answers is rendered alone, as the text that the template would put between the model's stop
token and the next turn, and its ids are appended. Nothing is decoded and tokenized again.

Text from an environment is not trusted: in tasks, tool descriptions and tool answers, a special token's text is broken
up, so that no document can end the model's turn or open another.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from envport_protocol.messages import Message, ToolSpec

from envport_trainer.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase

_CALL = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL)
MAX_CALLS = 16
"""Tool calls taken from one turn; a model that repeats itself must not flood the environment."""
_TURN = "envport-turn"
"""Stands for the model's turn where a template is asked what follows it."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model wrote. `problem` says why it cannot be made; name and arguments are then empty."""

    name: str
    arguments: dict[str, Any]
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One sampled turn, read as text."""

    text: str
    """All of it, tool calls included."""
    calls: list[ToolCall]


class Chat:
    """Renders and reads for one tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stop_ids: frozenset[int]) -> None:
        self.tokenizer = tokenizer
        self.stop_ids = stop_ids
        self._special = sorted(_special_texts(tokenizer), key=len, reverse=True)
        self._tool_template: str | None = None
        self._checked_tools = False

    def prompt_ids(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> list[int]:
        """The ids of the conversation so far, up to where the model's turn begins.

        Raises:
            ModelError: the chat template refuses it, such as for having no place for a system message.
        """
        template = self._template_with_tools() if tools else None
        return self._encode(self._render([self._message(m) for m in messages], tools, template, prompt=True))

    def tool_ids(self, answers: Sequence[tuple[str, str]]) -> list[int]:
        """The ids that follow the model's stop token: the answers of the called tools, `(name, text)`, in the order
        of the calls, and the opening of the model's next turn."""
        messages: list[dict[str, Any]] = [
            {"role": "user", "content": "u"},
            {"role": "assistant", "content": _TURN, "tool_calls": [_call_dict(_TURN, n) for n in range(len(answers))]},
        ]
        for n, (name, text) in enumerate(answers):
            answer = {"role": "tool", "name": name, "content": text, "tool_call_id": _call_id(n)}
            messages.append(self._defused(answer))
        whole = self._render(messages, (), self._template_with_tools(), prompt=True)
        turn = whole.find(_TURN)
        ends = [found + len(stop) for stop in self._stop_texts() if (found := whole.find(stop, turn)) >= 0]
        if turn < 0 or not ends:
            raise ModelError(
                "the chat template does not end a turn that calls tools with a stop token of the model, so the tools' "
                "answers cannot be appended; give another template with --chat-template FILE"
            )
        return self._encode(whole[min(ends) :])

    def read(self, token_ids: Sequence[int]) -> Turn:
        """A sampled turn as text, with the tool calls in it (Hermes and Qwen form)."""
        body = token_ids[:-1] if token_ids and token_ids[-1] in self.stop_ids else token_ids
        text = str(self.tokenizer.decode(list(body), skip_special_tokens=True, clean_up_tokenization_spaces=False))
        return Turn(text, _calls(text)[:MAX_CALLS])

    def _message(self, message: Message) -> dict[str, Any]:
        plain: dict[str, Any] = self._defused(message.model_dump(exclude_none=True))
        return plain

    def _defused(self, value: Any) -> Any:
        """A JSON value whose texts hold no special token."""
        if isinstance(value, str):
            for special in self._special:
                if len(special) > 1 and special in value:
                    value = value.replace(special, f"{special[0]} {special[1:]}")
            return value
        if isinstance(value, dict):
            return {self._defused(key): self._defused(item) for key, item in value.items()}
        return [self._defused(item) for item in value] if isinstance(value, list) else value

    def _render(
        self, messages: list[dict[str, Any]], tools: Sequence[ToolSpec], template: str | None, *, prompt: bool
    ) -> str:
        described: list[Any] = [{"type": "function", "function": self._defused(tool.model_dump())} for tool in tools]
        from jinja2 import TemplateError  # comes with transformers; the rest of this module does without

        try:
            rendered = self.tokenizer.apply_chat_template(
                messages, tools=described or None, chat_template=template, add_generation_prompt=prompt, tokenize=False
            )
        except (TemplateError, TypeError) as error:
            roles = ", ".join(str(message["role"]) for message in messages)
            raise ModelError(
                f"the model's chat template refuses a conversation of {roles}: {' '.join(str(error).split())}; "
                "give another template with --chat-template FILE"
            ) from error
        return str(rendered)

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids

    def _stop_texts(self) -> list[str]:
        return [str(self.tokenizer.convert_ids_to_tokens(i)) for i in self.stop_ids]

    def _template_with_tools(self) -> str | None:
        """None where the model's own template shows tools and their answers; else the one that envport brings."""
        if not self._checked_tools:
            self._tool_template = None if self._shows_tools() else self._own_template()
            self._checked_tools = True
        return self._tool_template

    def _shows_tools(self) -> bool:
        probe = ToolSpec(name="probe_tool", description="d")
        user: dict[str, Any] = {"role": "user", "content": "u"}
        call: dict[str, Any] = {"role": "assistant", "content": "", "tool_calls": [_call_dict("probe_tool", 0)]}
        answer = {"role": "tool", "name": "probe_tool", "content": "probe answer", "tool_call_id": _call_id(0)}
        try:
            offered = self._render([user], [probe], None, prompt=True)
            answered = self._render([user, call, answer], [probe], None, prompt=True)
        except Exception:  # noqa: BLE001 - a boundary: a template may refuse tools in any way that Jinja allows
            return False
        readable = any(call.name == "probe_tool" for call in _calls(answered))
        return "probe_tool" in offered and "probe answer" in answered and readable

    def _own_template(self) -> str:
        known = set(self.tokenizer.get_vocab())
        if not {"<|im_start|>", "<|im_end|>"} <= known:
            raise ModelError(
                "the model's chat template shows no tools in the <tool_call> form, and its tokenizer has no ChatML "
                "tokens for envport's own; give a template with --chat-template FILE, or train with max_turns = 1"
            )
        return (files("envport_trainer") / "templates" / "chatml_tools.jinja").read_text(encoding="utf-8")


def _special_texts(tokenizer: PreTrainedTokenizerBase) -> set[str]:
    """What the tokenizer turns into a special token; `all_special_tokens` alone names those with a role."""
    added = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    return added | {str(text) for text in tokenizer.all_special_tokens}


def _call_dict(name: str, number: int) -> dict[str, Any]:
    return {"id": _call_id(number), "type": "function", "function": {"name": name, "arguments": {}}}


def _call_id(number: int) -> str:
    """Nine letters and digits, which some templates insist on."""
    return f"call{number:05d}"


def _calls(text: str) -> list[ToolCall]:
    return [_read_call(match) for match in _CALL.findall(text)]


def _read_call(text: str) -> ToolCall:
    """Never raises: what cannot be read becomes a call with a `problem` for the model to see."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return ToolCall("", {}, f"the tool call is not JSON: {error}")
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return ToolCall("", {}, 'a tool call is one JSON object: {"name": "...", "arguments": {...}}')
    arguments = value.get("arguments", {})
    if not isinstance(arguments, dict):
        return ToolCall("", {}, "the arguments of a tool call are one JSON object")
    return ToolCall(value["name"], arguments)
