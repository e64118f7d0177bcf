"""A model as a folder that every engine reads: weights, configuration, tokenizer, and a card that says what it is.

`folder` never holds half a model: it is the earlier one or the whole new one. Where this process is killed in the
moment between, `folder` is missing, and the earlier model lies beside it as `.NAME.old-*/model` until the next save.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from safetensors import SafetensorError

from envport_trainer.errors import ModelError
from envport_trainer.learning.adapters import is_adapted, merged_state, ordinary
from envport_trainer.models.loading import LoadedModel, load_policy, load_tokenizer, stop_ids

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from envport_trainer.models.card import ModelCard

__all__ = ["LoadedModel", "export_gguf", "load_policy", "load_tokenizer", "save_adapter", "save_model", "stop_ids"]

_CARD, _GENERATION = "README.md", "generation_config.json"


def save_model(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    *,
    card: ModelCard | None = None,
    dtype: torch.dtype = torch.bfloat16,
) -> None:
    """Write an ordinary model folder (safetensors, configuration, tokenizer, chat template), and `card` with its curve.

    Adapters are added to the weights; `model` itself stays as it is. bf16 is what samplers read; the fp32 weights that
    training needs are in the checkpoints.

    Raises:
        ModelError: the folder cannot be written, or holds something that is not a model.
    """

    def write(place: Path) -> None:
        _write_weights(model, place, dtype)
        tokenizer.save_pretrained(place)
        config = place / "config.json"
        values = json.loads(config.read_text(encoding="utf-8"))
        values["dtype"] = _name_of(dtype)
        config.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        if card is not None:
            card.write(place, dtype=_name_of(dtype), adapter=False)

    _replace_folder(folder, write)


def save_adapter(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    *,
    base: str,
    card: ModelCard | None = None,
    dtype: torch.dtype = torch.bfloat16,
) -> None:
    """Write the adapters of `model` alone, as a folder that peft loads on top of the model `base`.

    Raises:
        ModelError: the model has no adapters, the folder cannot be written, or holds something that is not a model.
    """
    if not is_adapted(model):
        raise ModelError("the model has no adapters: it was trained without lora_rank; write the whole model instead")

    def write(place: Path) -> None:
        adapted: Any = model
        adapted.peft_config["default"].base_model_name_or_path = base
        state = {name: _cast(tensor, dtype) for name, tensor in adapted.state_dict().items() if ".lora_" in name}
        # Whether the embeddings changed is no question for the hub: the adapters are on linear layers alone.
        adapted.save_pretrained(place, state_dict=state, save_embedding_layers=False)
        tokenizer.save_pretrained(place)
        (place / _CARD).unlink(missing_ok=True)  # peft's is a form to fill in
        if card is not None:
            card.write(place, dtype=_name_of(dtype), adapter=True)

    _replace_folder(folder, write)


def export_gguf(gguf: Path, folder: Path) -> None:
    """Turn one GGUF file into an ordinary model folder in bf16, which every engine reads.

    Raises:
        ModelError: the file is missing or unreadable, or the folder cannot be written.
    """
    loaded = load_policy(str(gguf))
    save_model(loaded.model, loaded.tokenizer, folder)


def _replace_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Have `write` fill an empty folder, and put that in the place of `folder` once it is on the disk.

    Raises:
        ModelError: it cannot be written, or `folder` holds something that is not a model.
    """
    if folder.exists() and not _is_replaceable(folder):
        raise ModelError(f"{folder} exists and is not a model folder; choose another folder or move it away")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(folder, "new")
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.new-", dir=folder.parent))
        try:
            write(temporary)
            _settle(temporary)
            _swap_in(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        _remove_leftovers(folder, "old")
    except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors wrap a full disk in their own
        reason = " ".join(str(error).split())
        raise ModelError(f"cannot write the model to {folder}: {reason}; check the space and the rights") from error


def _write_weights(model: nn.Module, folder: Path, dtype: torch.dtype) -> None:
    plain = _ordinary_shape(model)
    weights = _cast_weights(model, dtype)
    if differ := sorted(weights.keys() ^ plain.state_dict().keys()):
        raise ModelError(f"{len(differ)} weights do not fit the model's configuration, such as {differ[0]}")
    generation = plain.generation_config
    try:
        # transformers refuses to save some settings that models come with, such as a top_p without do_sample. They are
        # the base model's, and stay what they are.
        plain.generation_config = type(generation)()
        plain.save_pretrained(folder, state_dict=weights)
    finally:
        plain.generation_config = generation
    generation.to_json_file(folder / _GENERATION)


def _ordinary_shape(model: nn.Module) -> PreTrainedModel:
    """The transformers model to save as; of an adapted one a copy without weights, whose layers are the plain ones."""
    inner = ordinary(model)
    if not is_adapted(model):
        return inner
    with torch.device("meta"):
        plain = type(inner)(inner.config)
    plain.generation_config = inner.generation_config
    return plain


def _cast_weights(model: nn.Module, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The ordinary model's state in `dtype`; tied weights stay one tensor, so that they are written once."""
    # A merged weight lives for a moment only, and the next may get its place: it is tied to none.
    owned = {tensor.data_ptr() for tensor in ordinary(model).state_dict().values()}
    cast_by_place: dict[tuple[int, torch.Size], torch.Tensor] = {}
    weights: dict[str, torch.Tensor] = {}
    for name, tensor in merged_state(model):
        place = tensor.data_ptr(), tensor.shape
        if place[0] not in owned:
            weights[name] = _cast(tensor, dtype)
            continue
        if place not in cast_by_place:
            cast_by_place[place] = _cast(tensor, dtype)
        weights[name] = cast_by_place[place]
    return weights


def _cast(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return tensor.detach().to(dtype) if tensor.is_floating_point() else tensor


def _name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _settle(folder: Path) -> None:
    """Bring the files to the disk, and let everybody read them."""
    for path in (*folder.rglob("*"), folder):
        if path.is_file():
            with path.open("rb") as handle:
                os.fsync(handle.fileno())
        path.chmod(0o755 if path.is_dir() else 0o644)


def _is_replaceable(folder: Path) -> bool:
    marks = ("config.json", "adapter_config.json")
    return folder.is_dir() and (any((folder / mark).is_file() for mark in marks) or not any(folder.iterdir()))


def _swap_in(temporary: Path, folder: Path) -> None:
    """Put `temporary` in the place of `folder`, which comes back where that fails."""
    if not folder.exists():
        temporary.rename(folder)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old-", dir=folder.parent))
    try:
        folder.rename(old / "model")
        temporary.rename(folder)
    except BaseException:
        if (old / "model").exists():
            (old / "model").rename(folder)
        old.rmdir()
        raise


def _remove_leftovers(folder: Path, kind: Literal["new", "old"]) -> None:
    """Of this save and of killed ones."""
    for path in folder.parent.glob(f".{glob.escape(folder.name)}.{kind}-*"):
        shutil.rmtree(path, ignore_errors=True)
