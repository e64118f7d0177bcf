"""An update in as many parts as memory asks for."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from envport_trainer.errors import TrainerError
from envport_trainer.runs.memory import is_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from envport_trainer.learning.learner import Learner
    from envport_trainer.types import Trajectory

logger = logging.getLogger(__name__)


def update_within_memory(
    learner: Learner, groups: Sequence[Sequence[Trajectory]], step: int, *check: Callable[[dict[str, float]], None]
) -> dict[str, float]:
    """What `Learner.update` measured; with half the micro-batch, and again, where memory did not suffice.

    Of several ranks each halves its own: an update that runs out of memory does so in all of them.

    Raises:
        TrainerError: memory does not suffice for parts of any size.
    """
    while True:
        try:
            return learner.update(groups, step, *check)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if not learner.halve_micro_batch():
                raise TrainerError(
                    f"step {step + 1}: memory does not suffice for the update ({_one_line(error)}), however small its "
                    "parts; lower max_tokens, use gradient_checkpointing or lora_rank, or take a smaller model"
                ) from error
            logger.warning(
                "step %d: memory did not suffice for the update (%s); again with micro_batch_tokens = %d",
                step + 1,
                _one_line(error),
                learner.micro_batch_tokens,
            )


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
