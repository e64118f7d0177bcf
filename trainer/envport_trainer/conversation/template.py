"""The model's chat template: what it renders, whether it shows tools, and in which form it writes their calls."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from envport_protocol.messages import ToolSpec

from envport_trainer.conversation.reasoning import opens_reasoning, split_reasoning
from envport_trainer.conversation.tool_formats import FORMATS, ToolFormat
from envport_trainer.conversation.tool_formats.xml import with_types
from envport_trainer.conversation.untrusted import Defuser, added_texts, special_texts, turn_marks
from envport_trainer.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase

FormatName = Literal["auto", "hermes", "llama", "mistral", "json", "xml"]
PROBE_TOOL = ToolSpec(
    name="probe_tool",
    description="d",
    parameters={"type": "object", "properties": {"at": {"type": "string", "description": "d"}}, "required": ["at"]},
)
PROBE_ARGUMENTS = {"at": "probe door"}
USER: dict[str, Any] = {"role": "user", "content": "probe question"}


class ToolStyle(NamedTuple):
    """How tools and their calls are shown to a model."""

    template: str | None
    """In place of the model's own chat template; None where that shows tools."""
    form: ToolFormat
    arguments_as_text: bool = False
    """The template wants a call's arguments as JSON text."""


class ChatTemplate:
    """Renders messages to text. What an environment wrote is made harmless before."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stop_ids: frozenset[int], tool_format: FormatName) -> None:
        self.tokenizer = tokenizer
        self.stop_texts = [str(tokenizer.convert_ids_to_tokens(number)) for number in stop_ids]
        self._tool_format: FormatName = tool_format
        self._special = special_texts(tokenizer)
        self._defuser: Defuser | None = None
        self._style: ToolStyle | ModelError | None = None
        self._opens_reasoning: bool | None = None

    def render(self, messages: Sequence[dict[str, Any]], tools: Sequence[ToolSpec], *, prompt: bool = True) -> str:
        """The conversation as text; `prompt` opens the model's next turn. With tools, or answers of tools, in the form
        that shows them.

        Raises:
            ModelError: the template refuses it, such as for having no place for a system message.
        """
        shows = bool(tools) or any(message["role"] == "tool" for message in messages)
        return self._render(messages, tools, self.style().template if shows else None, prompt=prompt)

    def style(self) -> ToolStyle:
        """How tools are shown.

        Raises:
            ModelError: the template shows none, or writes calls in a form that cannot be read, and envport's own
                template does not fit the tokenizer.
        """
        if self._style is None:
            try:
                self._style = self._choose_style()
            except ModelError as error:
                self._style = error
        if isinstance(self._style, ModelError):
            raise self._style
        return self._style

    def form(self) -> ToolFormat:
        """The form in which calls are read; for a model that cannot be shown tools, what it would be told to write."""
        try:
            return self.style().form
        except ModelError:
            return FORMATS["hermes" if self._tool_format == "auto" else self._tool_format]

    def opens_reasoning(self) -> bool:
        """Whether the opening of the model's turn has it think."""
        if self._opens_reasoning is None:
            self._opens_reasoning = opens_reasoning(self._render([USER], (), None, prompt=True))
        return self._opens_reasoning

    def harmless(self, value: Any) -> Any:
        """A JSON value from an environment or a model, without any text that begins or ends a turn."""
        if self._defuser is None:
            self._defuser = Defuser(self._special | self._turn_marks())
        return self._defuser.value(value)

    def call(self, name: str, arguments: dict[str, Any], call_id: str) -> dict[str, Any]:
        """A tool call as a message has it."""
        value = json.dumps(arguments) if self.style().arguments_as_text else arguments
        return _call(name, value, call_id)

    def _choose_style(self) -> ToolStyle:
        for as_text in (False, True):
            turn = self._probe_turn(as_text)
            if turn is None:
                continue
            if self._tool_format != "auto":
                return ToolStyle(None, FORMATS[self._tool_format], as_text)
            for form in FORMATS.values():
                if _reads_back(form, turn):
                    return ToolStyle(None, form, as_text)
        return ToolStyle(self._own_template(), FORMATS["hermes"])

    def _probe_turn(self, as_text: bool) -> str | None:
        """A turn that calls a tool, as the template writes it; None where it does not show tools and answers."""
        arguments = json.dumps(PROBE_ARGUMENTS) if as_text else PROBE_ARGUMENTS
        call = {"role": "assistant", "content": "", "tool_calls": [_call(PROBE_TOOL.name, arguments, call_id(0))]}
        answer = {"role": "tool", "name": PROBE_TOOL.name, "content": "probe answer", "tool_call_id": call_id(0)}
        try:
            offered = self._render([USER], [PROBE_TOOL], None, prompt=True)
            called = self._render([USER, call], [PROBE_TOOL], None, prompt=False)
            answered = self._render([USER, call, answer], [PROBE_TOOL], None, prompt=True)
        except ModelError:
            return None
        if PROBE_TOOL.name not in offered or "probe answer" not in answered:
            return None
        turn = called[self._same_opening(offered, called) :]
        ends = [place for stop in self.stop_texts if (place := turn.find(stop)) >= 0]
        return turn[: min(ends)] if ends else turn

    def _same_opening(self, prompt: str, whole: str) -> int:
        """Where the model's turn begins in `whole`, also where `prompt` opens it in another way, as with <think>."""
        if whole.startswith(prompt):
            return len(prompt)
        same = prompt[: next((n for n, (a, b) in enumerate(zip(prompt, whole, strict=False)) if a != b), len(whole))]
        return max((same.rfind(mark) + len(mark) for mark in {*self._special, "\n"} if mark in same), default=0)

    def _own_template(self) -> str:
        if self._tool_format not in ("auto", "hermes"):
            raise ModelError(
                f"the model's chat template shows no tools, and envport's own writes their calls as hermes, not as "
                f"{self._tool_format}; give a template with --chat-template FILE, or set tool_format = auto"
            )
        if not {"<|im_start|>", "<|im_end|>"} <= {
            token.content for token in self.tokenizer.added_tokens_decoder.values()
        }:
            raise ModelError(
                f"the model's chat template shows no tools with calls in a known form ({', '.join(FORMATS)}), and its "
                "tokenizer has no ChatML tokens for envport's own; give a template with --chat-template FILE, or train "
                "with max_turns = 1"
            )
        return (files("envport_trainer") / "templates" / "chatml_tools.jinja").read_text(encoding="utf-8")

    def _turn_marks(self) -> set[str]:
        contents = ("probe question", "probe reply", "probe rest")
        roles = ("user", "assistant", "user")
        talk = [{"role": role, "content": content} for role, content in zip(roles, contents, strict=True)]
        try:
            rendered = self._render(talk, (), None, prompt=True)
        except ModelError:
            return set()
        return turn_marks(rendered, contents, self._special | added_texts(self.tokenizer))

    def _render(
        self, messages: Sequence[dict[str, Any]], tools: Sequence[ToolSpec], template: str | None, *, prompt: bool
    ) -> str:
        described: list[Any] = [{"type": "function", "function": self.harmless(tool.model_dump())} for tool in tools]
        from jinja2 import TemplateError  # comes with transformers; the rest of this module does without

        try:
            rendered = self.tokenizer.apply_chat_template(
                list(messages),
                tools=described or None,
                chat_template=template,
                add_generation_prompt=prompt,
                tokenize=False,
            )
        except (TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
            roles = ", ".join(str(message["role"]) for message in messages)
            raise ModelError(
                f"the model's chat template refuses a conversation of {roles}: {' '.join(str(error).split())}; "
                "give another template with --chat-template FILE"
            ) from error
        return str(rendered)


def call_id(number: int) -> str:
    """Nine letters and digits, which some templates insist on."""
    return f"call{number:05d}"


def _call(name: str, arguments: Any, identity: str) -> dict[str, Any]:
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def _reads_back(form: ToolFormat, turn: str) -> bool:
    read = form.read(split_reasoning(turn).said)
    calls = with_types(read, [PROBE_TOOL]) if form.name == "xml" else read
    return [(call.name, call.arguments) for call in calls] == [(PROBE_TOOL.name, PROBE_ARGUMENTS)]
