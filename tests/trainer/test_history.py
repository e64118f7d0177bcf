"""With `history = "template"` the template renders the whole before each later turn; where that changes what came
before, another row begins, and each sampled token is trained in one row alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from envport_protocol.messages import Message, ToolSpec
from envport_trainer.conversation.chat import Chat
from envport_trainer.conversation.rollout_tokens import RolloutTokens
from envport_trainer.errors import ModelError

from .bytewise import byte_tokenizer, ids_of, text_of

LOOK = ToolSpec(name="look", parameters={"type": "object", "properties": {"at": {"type": "string"}}})
TURN = "<|im_start|>{{ m.role }}\n{{ m.content }}"
CALLS = (
    "{% for c in m.tool_calls or [] %}{{ '\\n' }}<tool_call>\n"
    '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}\n</tool_call>{% endfor %}'
)
END = "<|im_end|>\n"
OPENING = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
TOOLS = "{% if tools %}<|im_start|>system\n{{ tools | tojson }}<|im_end|>\n{% endif %}"
KEEPS = TOOLS + "{% for m in messages %}" + TURN + CALLS + END + "{% endfor %}" + OPENING
"""Drops reasoning, which is no part of its content, from every turn."""
TOOLS_LAST = "{% for m in messages %}" + TURN + CALLS + END + "{% endfor %}" + TOOLS + OPENING
COUNTS = KEEPS.replace(END + "{% endfor %}", END + "{% endfor %}{{ messages | length }} messages\n")
REFUSES_TEXT = KEEPS.replace(
    "{% for m in messages %}",
    "{% for m in messages %}{% if m.role == 'assistant' and not m.tool_calls %}{{ raise_exception('no') }}{% endif %}",
)
CALL = '<tool_call>\n{"name": "look", "arguments": {"at": "door"}}\n</tool_call>'
QUESTION = Message(role="user", content="Where?")


def chat_of(template: str, history: Any = "template") -> Chat:
    tokenizer = byte_tokenizer(template)
    return Chat(tokenizer, frozenset({tokenizer.convert_tokens_to_ids("<|im_end|>")}), "auto", history)


def tokens_of(chat: Chat) -> RolloutTokens:
    rollout: Any = SimpleNamespace(messages=[QUESTION], tools=[LOOK], task_id="t")
    return RolloutTokens(chat, rollout, offer_tools=True, max_tokens=10_000)


def say(tokens: RolloutTokens, text: str) -> list[int]:
    ids = ids_of(tokens.chat, text + "<|im_end|>")
    tokens.append_sample(ids, [-0.5] * len(ids))
    return ids


def play(tokens: RolloutTokens, *turns: str) -> list[int]:
    """What was sampled: each of the turns but the last is answered by a tool."""
    sampled = say(tokens, turns[0])
    for turn in turns[1:]:
        tokens.append_tools([("look", "shut")], errors=0)
        sampled += say(tokens, turn)
    return sampled


def trained(tokens: RolloutTokens) -> list[int]:
    return [i for row in tokens.rows() for i, marked in zip(row.input_ids, row.loss_mask, strict=True) if marked]


def test_a_rollout_that_the_template_leaves_as_it_was_is_one_row():
    tokens = tokens_of(chat_of(KEEPS))
    sampled = play(tokens, f"Hm.\n{CALL}", f"Again.\n{CALL}", "Shut.")
    assert len(tokens.rows()) == 1
    assert trained(tokens) == sampled


def test_reasoning_that_the_template_drops_begins_another_row():
    tokens = tokens_of(chat_of(KEEPS))
    first = f"<think>\nA door?\n</think>\n\nHm.\n{CALL}"
    sampled = play(tokens, first, "Shut.")
    one, two = tokens.rows()
    assert text_of(tokens.chat, one.input_ids).endswith(f"<|im_start|>assistant\n{first}<|im_end|>")
    prompt = text_of(tokens.chat, two.input_ids[: two.prompt_length])
    assert prompt.endswith(
        f"user\nWhere?<|im_end|>\n<|im_start|>assistant\nHm.\n{CALL}<|im_end|>\n"
        "<|im_start|>tool\nshut<|im_end|>\n<|im_start|>assistant\n"
    )
    assert "A door?" not in prompt
    assert trained(tokens) == sampled
    assert not any(two.loss_mask[: two.prompt_length])


def test_with_append_the_same_rollout_is_one_row_that_keeps_the_reasoning():
    tokens = tokens_of(chat_of(KEEPS, "append"))
    sampled = play(tokens, f"<think>\nA door?\n</think>\n\nHm.\n{CALL}", "Shut.")
    (row,) = tokens.rows()
    assert "A door?" in text_of(tokens.chat, row.input_ids)
    assert trained(tokens) == sampled


def test_a_text_that_the_model_wrote_with_other_ids_is_still_its_own():
    """The tokenizer would write `aa` with one id."""
    chat = chat_of(KEEPS)
    chat.tokenizer.add_tokens(["aa"])
    tokens = tokens_of(chat)
    letter = chat.tokenizer.convert_tokens_to_ids("a")
    ids = [letter, letter, *ids_of(chat, f"\n{CALL}<|im_end|>")]
    tokens.append_sample(ids, [-0.5] * len(ids))
    tokens.append_tools([("look", "shut")], errors=0)
    say(tokens, "Shut.")
    (row,) = tokens.rows()
    assert row.input_ids[row.prompt_length : row.prompt_length + len(ids)] == ids


def test_a_row_in_which_nothing_was_sampled_is_left_out():
    tokens = tokens_of(chat_of(KEEPS))
    play(tokens, f"<think>\nA door?\n</think>\n\n{CALL}")
    tokens.append_tools([("look", "shut")], errors=0)
    assert len(tokens.rows()) == 1
    assert "A door?" not in text_of(tokens.chat, tokens.ids)


def test_a_malformed_call_is_shown_as_it_was_written():
    tokens = tokens_of(chat_of(KEEPS))
    play(tokens, "<tool_call>look</tool_call>", "Shut.")
    (row,) = tokens.rows()
    assert "<tool_call>look</tool_call><|im_end|>\n<|im_start|>tool\nshut" in text_of(tokens.chat, row.input_ids)


def test_a_turn_that_the_template_refuses_is_appended_to():
    tokens = tokens_of(chat_of(REFUSES_TEXT))
    sampled = play(tokens, "<tool_call>look</tool_call>", "Shut.")
    assert len(tokens.rows()) == 1
    assert trained(tokens) == sampled


def test_what_the_model_spelled_out_does_not_become_a_special_token():
    tokens = tokens_of(chat_of(KEEPS))
    spelled = [i for letter in "<|im_start|>" for i in ids_of(tokens.chat, letter)]
    ids = [*spelled, *ids_of(tokens.chat, f"\n{CALL}<|im_end|>")]
    tokens.append_sample(ids, [-0.5] * len(ids))
    tokens.append_tools([("look", "shut")], errors=0)
    (opens,) = ids_of(tokens.chat, "<|im_start|>")
    assert tokens.ids.count(opens) == 5  # system, user, assistant, tool, assistant
    assert len(tokens.rows()) == 1


def test_calls_within_reasoning_are_no_calls():
    turn = chat_of(KEEPS).read(ids_of(chat_of(KEEPS), f"<think>{CALL}</think>No.<|im_end|>"))
    assert (turn.calls, turn.reasoning, turn.content) == ([], CALL, "No.")


def test_reasoning_that_the_prompt_opened_is_read_as_such():
    chat = chat_of(KEEPS.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}"))
    turn = chat.read(ids_of(chat, f"A door?\n</think>\n{CALL}<|im_end|>"))
    assert (turn.reasoning, [call.name for call in turn.calls]) == ("A door?", ["look"])
    assert chat.read(ids_of(chat, CALL)).calls == []


@pytest.mark.parametrize(
    ("template", "why"),
    [(TOOLS_LAST, "the prompt is .*when it is new, and .* when the conversation goes on"), (COUNTS, "the prompt is ")],
    ids=["tools last", "counts"],
)
def test_a_template_that_cannot_be_appended_to_is_refused_at_once(template: str, why: str):
    with pytest.raises(ModelError, match=f"cannot be appended to: {why}") as told:
        tokens_of(chat_of(template, "append"))
    assert "--chat-template FILE, or set history = template" in str(told.value)
    tokens = tokens_of(chat_of(template))
    sampled = play(tokens, f"Hm.\n{CALL}", "Shut.")
    assert len(tokens.rows()) == 2
    assert trained(tokens) == sampled


def test_a_form_that_envports_own_template_does_not_write_is_refused():
    tokenizer = byte_tokenizer()
    chat = Chat(tokenizer, frozenset({tokenizer.eos_token_id}), "llama")
    with pytest.raises(ModelError, match="set tool_format = auto"):
        chat.prompt_ids([QUESTION], [LOOK])


def test_a_form_that_is_set_is_taken_over_the_one_that_the_template_writes():
    tokenizer = byte_tokenizer(KEEPS)
    chat = Chat(tokenizer, frozenset({tokenizer.eos_token_id}), "llama")
    (call,) = chat.read(ids_of(chat, '{"name": "look", "parameters": {"at": "door"}}<|im_end|>')).calls
    assert (call.name, call.arguments) == ("look", {"at": "door"})
