"""Models for the trainer's tests: a tiny one made on the spot, and the real SmolLM2 where it was fetched."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from .fake_openai import FakeOpenAi, FakeServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PreTrainedTokenizerBase

WORDS = ["<unk>", "<|im_end|>", "<|im_start|>", "user", "assistant", "yes", "no", "maybe", "question", "answer"]
TEMPLATE = (
    "{% for m in messages %}<|im_start|> {{ m.role }} {{ m.content }} <|im_end|> {% endfor %}"
    "{% if add_generation_prompt %}<|im_start|> assistant{% endif %}"
)
SMOLLM2 = Path(os.environ.get("ENVPORT_TEST_MODEL", Path(__file__).parents[2] / "models/smollm2-135m-instruct"))


def tiny_tokenizer(template: str | None = TEMPLATE) -> PreTrainedTokenizerBase:
    """One id for each of `WORDS`."""
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="<|im_end|>")
    fast.chat_template = template
    return fast


def tiny_model() -> LlamaForCausalLM:
    """Two layers, tied embeddings, the same weights every time."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        tie_word_embeddings=True,
        eos_token_id=1,
    )
    return LlamaForCausalLM(config).float().eval()


@pytest.fixture
def tiny_folder(tmp_path: Path) -> Path:
    """An ordinary model folder with the tiny model in fp32."""
    folder = tmp_path / "tiny"
    tiny_model().save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The real SmolLM2-135M-Instruct as a folder."""
    if not (SMOLLM2 / "config.json").is_file():
        pytest.skip("needs the model: python examples/fetch_smollm2.py")
    return SMOLLM2


@pytest.fixture
def fake_openai() -> Iterator[FakeOpenAi]:
    """A running fake of an OpenAI-compatible server."""
    fake = FakeOpenAi()
    server = FakeServer(fake)
    server.start()
    yield fake
    server.stop()
