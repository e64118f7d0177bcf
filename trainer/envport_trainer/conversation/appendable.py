"""Whether a chat template can be appended to: asked once, of a short conversation with two calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from envport_trainer.conversation.template import PROBE_ARGUMENTS, PROBE_TOOL, USER, call_id
from envport_trainer.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envport_trainer.conversation.chat import Chat

_ANSWERS = ("probe answer", "probe second answer")
_SHOWN = 60


def check_appendable(chat: Chat, *, system: bool) -> None:
    """Returns where the template renders a whole conversation with the very text of its prompt and of the tools'
    answers that are appended. Between them stand the model's turns, as which the template may write what it likes.

    Raises:
        ModelError: it does not, or shows no tools; says where they part, and what to do.
    """
    opening: list[dict[str, Any]] = [{"role": "system", "content": "probe system"}] if system else []
    opening.append(USER)
    chat.tool_ids([(PROBE_TOOL.name, _ANSWERS[0])])
    expected = [chat.render(opening, [PROBE_TOOL])]
    expected += [_after_stop(chat, chat.tool_text([(PROBE_TOOL.name, answer)])) for answer in _ANSWERS]
    plain = _parting(chat, chat.render(_whole(chat, opening, None), [PROBE_TOOL]), expected)
    if plain is None:
        return
    if _parting(chat, chat.render(_whole(chat, opening, "probe thought"), [PROBE_TOOL]), expected) is not None:
        raise ModelError(
            f"the model's chat template cannot be appended to{' with a system message' if system else ''}: {plain}; "
            "give a template that keeps what came before with --chat-template FILE, or set history = template, which "
            "begins another row of tokens where it changes"
        )


def _whole(chat: Chat, opening: Sequence[dict[str, Any]], reasoning: str | None) -> list[dict[str, Any]]:
    thought = {} if reasoning is None else {"reasoning_content": reasoning}
    messages = list(opening)
    for answer in _ANSWERS:
        call = chat.template.call(PROBE_TOOL.name, PROBE_ARGUMENTS, call_id(0))
        messages.append({"role": "assistant", "content": "", "tool_calls": [call]} | thought)
        messages += chat.tool_messages([(PROBE_TOOL.name, answer)])
    return messages


def _parting(chat: Chat, whole: str, expected: Sequence[str]) -> str | None:
    """Where `whole` is not `expected[0]`, a turn, `expected[1]`, a turn, `expected[2]`; None where it is."""
    parts = ("the prompt", "the first tool's answer", "the second tool's answer")
    rest = whole
    for part, text in zip(parts, expected, strict=True):
        if part != parts[0]:
            rest = _after_stop(chat, rest)
            if not rest:
                return f"it ends no turn of the model before {part} with a stop token"
        if not rest.startswith(text):
            return f"{part} is {_differences(text, rest)}"
        rest = rest[len(text) :]
    return f"it adds {_short(rest)} at the end" if rest else None


def _after_stop(chat: Chat, text: str) -> str:
    """What follows the first stop token; nothing where there is none."""
    ends = [found + len(stop) for stop in chat.template.stop_texts if (found := text.find(stop)) >= 0]
    return text[min(ends) :] if ends else ""


def _differences(text: str, whole: str) -> str:
    same = next((n for n, (one, other) in enumerate(zip(text, whole, strict=False)) if one != other), len(whole))
    begin = max(0, same - _SHOWN // 3)
    return f"{_short(text[begin:])} when it is new, and {_short(whole[begin:])} when the conversation goes on"


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")
