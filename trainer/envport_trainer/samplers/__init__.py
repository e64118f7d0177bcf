"""Samplers: what turns prompts into completions under the current policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from envport_trainer.config import TrainConfig
    from envport_trainer.models.folder import LoadedModel
    from envport_trainer.types import Sampler

__all__ = ["make_sampler"]


def make_sampler(config: TrainConfig, loaded: LoadedModel, stop_ids: frozenset[int]) -> Sampler:
    """The sampler that `config.sampler` names, with the weights of `loaded`.

    Raises:
        SamplerError: vLLM is asked for and is not installed, or does not start.
    """
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
