"""Samplers: what turns prompts into completions under the current policy."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from envport_trainer.errors import ConfigError

if TYPE_CHECKING:
    from envport_trainer.config import TrainConfig
    from envport_trainer.models.folder import LoadedModel
    from envport_trainer.types import Sampler

__all__ = ["make_sampler"]


def make_sampler(config: TrainConfig, loaded: LoadedModel, stop_ids: frozenset[int]) -> Sampler:
    """The sampler that `config.sampler` names, with the weights of `loaded`.

    A vLLM server's API key is read from VLLM_API_KEY, as the server itself does.

    Raises:
        SamplerError: vLLM is asked for and is not installed or does not start, or its server is not as a run needs it.
        ConfigError: weights are to go to a server from GPU to GPU.
    """
    if config.sampler == "vllm-server":
        return _server_sampler(config, loaded, stop_ids)
    if config.sampler == "vllm":
        from envport_trainer.samplers.vllm import VllmSampler

        sampler = VllmSampler(
            config.model,
            stop_ids=sorted(stop_ids),
            max_tokens=config.max_tokens,
            dtype="bfloat16" if config.precision == "bf16" else "float32",
            memory_share=config.vllm_memory,
            seed=config.seed,
        )
        sampler.update_weights(loaded.model)
        return sampler
    from envport_trainer.samplers.transformers import TransformersSampler

    return TransformersSampler(loaded.model, stop_ids, config.precision)


def _server_sampler(config: TrainConfig, loaded: LoadedModel, stop_ids: frozenset[int]) -> Sampler:
    import torch

    from envport_trainer.samplers.vllm_server import VllmServerSampler

    if config.weight_transfer != "file":
        raise ConfigError("weight_transfer = nccl is not there; use weight_transfer = file")
    assert config.sampler_url is not None  # the configuration asks for it
    sampler = VllmServerSampler(
        config.sampler_url,
        model=config.model,
        stop_ids=stop_ids,
        folder=config.output / "sampler-weights",
        max_tokens=config.max_tokens,
        dtype=torch.bfloat16 if config.precision == "bf16" else torch.float32,
        token=os.environ.get("VLLM_API_KEY") or None,
    )
    try:
        sampler.update_weights(loaded.model)
    except BaseException:
        sampler.close()
        raise
    return sampler
