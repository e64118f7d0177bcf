"""The policy and its learner, as a configuration asks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from envport_trainer.learning.adapters import add_adapters
from envport_trainer.learning.learner import Learner
from envport_trainer.learning.policy import Policy
from envport_trainer.models.devices import find_device
from envport_trainer.models.folder import LoadedModel, load_policy

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from envport_trainer.config import TrainConfig


def load_trained(config: TrainConfig) -> LoadedModel:
    """The model to train on its device, with adapters where the run trains those alone.

    Raises:
        ModelError: it cannot be loaded, or takes no adapters.
        TrainerError: the device is not there.
    """
    device = find_device(config.device)
    loaded = load_policy(config.model, chat_template=config.chat_template)
    loaded.model.to(device)  # pyright: ignore[reportArgumentType]  # transformers wraps torch's signature
    if config.lora_rank is None:
        return loaded
    adapted = add_adapters(loaded.model, config.lora_rank, config.lora_alpha, seed=config.seed)
    return LoadedModel(cast("PreTrainedModel", adapted), loaded.tokenizer)  # it passes on what it wraps


def make_learner(config: TrainConfig, loaded: LoadedModel) -> Learner:
    """The learner of `loaded`.

    Raises:
        ModelError: the architecture cannot be trained here.
        TrainerError: the optimizer is not there.
    """
    policy = Policy.under_plan(loaded.model, config.precision, gradient_checkpointing=config.gradient_checkpointing)
    return Learner(policy, config)
