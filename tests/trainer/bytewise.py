"""A tokenizer with an id for every byte and the two special tokens of ChatML: any text can be written and read back."""

from __future__ import annotations

from envport_trainer.conversation.chat import Chat
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

PLAIN = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""A chat template that shows no tools, as SmolLM2's own."""


def byte_tokenizer(template: str = PLAIN, *special: str) -> PreTrainedTokenizerFast:
    """Every byte is a token; `special` are added as special tokens without a role."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({letter: number for number, letter in enumerate(alphabet)}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken(text, special=True) for text in ("<|im_end|>", "<|im_start|>", *special)])
    fast = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|im_end|>")
    fast.chat_template = template
    return fast


def byte_chat(template: str = PLAIN, *special: str) -> Chat:
    """A chat that stops at <|im_end|>."""
    tokenizer = byte_tokenizer(template, *special)
    return Chat(tokenizer, frozenset({tokenizer.convert_tokens_to_ids("<|im_end|>")}))


def ids_of(chat: Chat, text: str) -> list[int]:
    """The ids of a text, the texts of special tokens taken for them."""
    ids: list[int] = chat.tokenizer.encode(text, add_special_tokens=False)
    return ids


def text_of(chat: Chat, ids: list[int]) -> str:
    """The text of ids, special tokens written out."""
    return str(chat.tokenizer.decode(ids, skip_special_tokens=False))
