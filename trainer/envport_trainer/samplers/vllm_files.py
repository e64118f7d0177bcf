"""The policy's weights as files that a vLLM server reads: whole models and adapters, never half of one."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import save_file

from envport_trainer.errors import SamplerError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    import torch
    from torch import Tensor

SHARD_BYTES = 2 * 2**30
"""Of one file: bounds the memory that the copy in another dtype takes."""


def write_weights(
    weights: Iterable[tuple[str, Tensor]], folder: Path, dtype: torch.dtype, *, shard_bytes: int = SHARD_BYTES
) -> None:
    """Write `weights` in `dtype` as safetensors files. `folder` appears when it is whole; an earlier one is replaced.

    Raises:
        SamplerError: the folder cannot be written.
    """
    with _appearing(folder) as place:
        for number, shard in enumerate(_shards(weights, dtype, shard_bytes), 1):
            save_file(shard, place / f"model-{number:05}.safetensors")


def write_adapter(model: Any, folder: Path) -> None:
    """Write the adapter of a peft model as a folder of peft's. It appears when it is whole; an earlier one is replaced.

    Raises:
        SamplerError: the folder cannot be written.
    """
    with _appearing(folder) as place:
        model.save_pretrained(place, save_embedding_layers=False)


def remove_folder(folder: Path) -> None:
    """Remove what was written, if it is there."""
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _appearing(folder: Path) -> Generator[Path]:
    """A folder to write in, which takes the place of `folder` at the end; open to a server of another user."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.new-", dir=folder.parent))
        try:
            yield temporary
            for file in temporary.iterdir():
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
                file.chmod(0o644)
            temporary.chmod(0o755)
            remove_folder(folder)
            temporary.rename(folder)
        finally:
            remove_folder(temporary)
    except (OSError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise SamplerError(f"cannot write the sampler's weights to {folder}: {reason}; check the space") from error


def _shards(weights: Iterable[tuple[str, Tensor]], dtype: torch.dtype, shard_bytes: int) -> Iterator[dict[str, Tensor]]:
    shard: dict[str, Tensor] = {}
    size = 0
    for name, tensor in weights:
        kind = dtype if tensor.is_floating_point() else tensor.dtype
        copy = tensor.detach().to("cpu", kind, copy=True).contiguous()  # tied weights must not share their memory
        if shard and size + copy.nbytes > shard_bytes:
            yield shard
            shard, size = {}, 0
        shard[name] = copy
        size += copy.nbytes
    if shard:
        yield shard
