"""The policy and its learner, as a configuration asks for them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

from envport_trainer.learning.adapters import add_adapters
from envport_trainer.learning.compiling import warm_up
from envport_trainer.learning.cpp_compiler import require_cpp_compiler
from envport_trainer.learning.learner import Learner
from envport_trainer.learning.policy import Policy
from envport_trainer.models.devices import find_device
from envport_trainer.models.folder import LoadedModel, load_policy

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from envport_trainer.config import TrainConfig

logger = logging.getLogger(__name__)


def load_trained(config: TrainConfig) -> LoadedModel:
    """The model to train on its device, with adapters where the run trains those alone.

    Raises:
        ConfigError: it is to be compiled, and there is no compiler.
        ModelError: it cannot be loaded, or takes no adapters.
        TrainerError: the device is not there.
    """
    if config.compile:
        require_cpp_compiler()
    device = find_device(config.device)
    loaded = load_policy(config.model, chat_template=config.chat_template)
    loaded.model.to(device)  # pyright: ignore[reportArgumentType]  # transformers wraps torch's signature
    if config.lora_rank is None:
        return loaded
    adapted = add_adapters(loaded.model, config.lora_rank, config.lora_alpha, seed=config.seed)
    return LoadedModel(cast("PreTrainedModel", adapted), loaded.tokenizer)  # it passes on what it wraps


def make_learner(config: TrainConfig, loaded: LoadedModel) -> Learner:
    """The learner of `loaded`, its layers compiled where the run asks for it.

    Raises:
        ModelError: the architecture cannot be trained here, or its layers do not compile.
        TrainerError: the optimizer is not there.
    """
    policy = Policy.under_plan(
        loaded.model,
        config.precision,
        gradient_checkpointing=config.gradient_checkpointing,
        compiled=config.compile,
    )
    learner = Learner(policy, config)
    if config.compile:
        logger.info("compiled the model's layers in %.0f s", warm_up(learner))
    return learner
