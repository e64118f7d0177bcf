"""A model by its folder, GGUF file or hub name, loaded as a module with its tokenizer."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from envport_trainer.errors import ModelError
from envport_trainer.models.hub import hub_is_away

if TYPE_CHECKING:
    from collections.abc import Generator

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
_SHOWN = 5
_GGUF_KEYS = ("quantization_config", "_name_or_path", "_model_name_or_path")


class LoadedModel(NamedTuple):
    """A model and its tokenizer, which always has a chat template."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def load_policy(name: str, *, chat_template: Path | None = None, dtype: torch.dtype = torch.float32) -> LoadedModel:
    """Load a folder, a folder or file with one GGUF, or a hub name; in evaluation mode, weights in `dtype`.

    `chat_template` is a Jinja file that takes the place of the tokenizer's own template.

    Raises:
        ModelError: it is missing, incomplete, unreadable, has no chat template, or the hub cannot be reached.
    """
    source = _find(name)
    tokenizer = load_tokenizer(name, chat_template=chat_template)
    from transformers import AutoModelForCausalLM

    with _explained(name, source.away, "model"):
        model = AutoModelForCausalLM.from_pretrained(source.place, dtype=dtype, **source.arguments)
        if source.gguf:
            model = _unmarked(model)
    model.eval()
    return LoadedModel(model, tokenizer)


def load_tokenizer(name: str, *, chat_template: Path | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer of `name`, with a chat template and a pad token.

    Raises:
        ModelError: no tokenizer, no chat template, or the hub cannot be reached.
    """
    source = _find(name)
    from transformers import AutoTokenizer

    with _explained(name, source.away, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(source.place, **source.arguments)
    if chat_template is not None:
        tokenizer.chat_template = _read_template(chat_template)
    if not tokenizer.chat_template:
        raise ModelError(
            f"the tokenizer of {name} has no chat template, so messages cannot be turned into tokens; "
            "give one with --chat-template FILE, or use an instruction-tuned model"
        )
    if tokenizer.eos_token_id is None:
        raise ModelError(f"the tokenizer of {name} names no end-of-text token; set eos_token in tokenizer_config.json")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def stop_ids(loaded: LoadedModel) -> frozenset[int]:
    """The token ids that end a turn: the tokenizer's end-of-text and those of the model's generation settings."""
    generation: Any = loaded.model.generation_config
    configured: int | list[int] | None = getattr(generation, "eos_token_id", None)
    ids = configured if isinstance(configured, list) else [] if configured is None else [configured]
    return frozenset({*ids, int(str(loaded.tokenizer.eos_token_id))})


class _Source(NamedTuple):
    """Where transformers shall look: a folder or hub name, and the GGUF file within it."""

    place: str
    gguf: str | None
    away: str | None = None
    """Why the hub cannot be asked, of a hub name; what was fetched earlier can still be used."""

    @property
    def arguments(self) -> dict[str, Any]:
        return ({"gguf_file": self.gguf} if self.gguf else {}) | ({"local_files_only": True} if self.away else {})


def _find(name: str) -> _Source:
    path = Path(name).expanduser()
    if path.is_file():
        if path.suffix != ".gguf":
            raise ModelError(f"{path} is a file but no .gguf; give a model folder, a GGUF file or a hub name")
        return _Source(str(path.parent), path.name)
    if path.is_dir():
        return _find_in_folder(path)
    if path.suffix == ".gguf" or path.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1:
        raise ModelError(
            f"no model at {name}: expected a folder with config.json, a .gguf file, or a hub name such as "
            "HuggingFaceTB/SmolLM2-135M-Instruct"
        )
    first = Path(path.parts[0])
    if first.is_dir():  # a hub's user of that name can be had by another folder to run in
        there = ", ".join(sorted(str(entry) for entry in first.iterdir() if entry.is_dir())[:_SHOWN])
        raise ModelError(
            f"no model at {name}: {first} is a folder here and has {there or 'no folders'}; check the name"
        )
    return _Source(name, None, hub_is_away())


def _find_in_folder(folder: Path) -> _Source:
    if (folder / "config.json").is_file():
        if not any((folder / file).is_file() for file in _TOKENIZER_FILES):
            raise ModelError(
                f"{folder} has no tokenizer ({' or '.join(_TOKENIZER_FILES[:3])}); copy the model's own there"
            )
        return _Source(str(folder), None)
    gguf = sorted(file.name for file in folder.glob("*.gguf"))
    if len(gguf) == 1:
        return _Source(str(folder), gguf[0])
    if gguf:
        raise ModelError(f"{folder} holds {len(gguf)} GGUF files; name one of them: {folder / gguf[0]}")
    raise ModelError(f"{folder} has no config.json and no .gguf file, so it is no model folder")


@contextmanager
def _explained(name: str, away: str | None, part: str) -> Generator[None]:
    """A boundary: what transformers raises on a folder or a hub it cannot read becomes one ModelError."""
    try:
        yield
    except Exception as error:  # a foreign library meets a foreign file: it raises anything
        reason = away or str(error).strip().split("\n")[0] or type(error).__name__
        if Path(name).expanduser().exists():
            raise ModelError(f"cannot load the {part} at {name}: {reason}; is the download whole?") from error
        raise ModelError(
            f"cannot load the {part} of {name}: no such folder here, and the hub did not give it ({reason}); "
            "check the name and the network, or give a local folder"
        ) from error


def _read_template(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"cannot read the chat template {file}: {error}") from error
    if not text.strip():
        raise ModelError(f"the chat template {file} is empty")
    return text


def _unmarked(model: PreTrainedModel) -> PreTrainedModel:
    """The same model without the GGUF mark: transformers refuses to save a marked one though it is dequantized."""
    values: dict[str, Any] = model.config.to_dict()
    for key in _GGUF_KEYS:
        values.pop(key, None)
    config = type(model.config)(**values)
    with torch.device("meta"):
        plain = type(model)(config)
    plain.load_state_dict(model.state_dict(), strict=True, assign=True)
    for (name, theirs), (_, mine) in zip(model.named_buffers(), plain.named_buffers(), strict=True):
        if mine.is_meta:
            module, _, buffer = name.rpartition(".")
            plain.get_submodule(module).register_buffer(buffer, theirs, persistent=False)
    plain.tie_weights()
    plain.generation_config = model.generation_config
    return plain
