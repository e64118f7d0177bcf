"""Samplers: what turns prompts into completions under the current policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from envport_trainer.config import TrainConfig
    from envport_trainer.models.folder import LoadedModel
    from envport_trainer.types import Sampler

__all__ = ["make_sampler"]


def make_sampler(
    config: TrainConfig, loaded: LoadedModel, stop_ids: frozenset[int], token: str | None = None
) -> Sampler:
    """The sampler that `config.sampler` names, with the weights of `loaded`. `token` is a vLLM server's API key.

    Raises:
        SamplerError: vLLM is asked for and is not installed or does not start, or its server is not as a run needs it.
    """
    if config.sampler == "vllm-server":
        return _server_sampler(config, loaded, stop_ids, token)
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


def _server_sampler(config: TrainConfig, loaded: LoadedModel, stop_ids: frozenset[int], token: str | None) -> Sampler:
    import torch

    from envport_trainer.samplers.vllm_server import VllmServerSampler

    assert config.sampler_url is not None  # the configuration asks for it
    sampler = VllmServerSampler(
        config.sampler_url,
        model=config.model,
        stop_ids=stop_ids,
        folder=config.output / "sampler-weights",
        max_tokens=config.max_tokens,
        dtype=torch.bfloat16 if config.precision == "bf16" else torch.float32,
        token=token,
        weights=config.sampler_weights,
    )
    try:
        sampler.update_weights(loaded.model)
    except BaseException:
        sampler.close()
        raise
    return sampler
