"""When and how a run writes its checkpoints."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from envport_trainer.errors import CheckpointError
from envport_trainer.runs.checkpoint import TrainState, save_checkpoint
from envport_trainer.runs.resuming import CHECKPOINTS, identity
from envport_trainer.runs.weights import trained_state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envport_protocol.messages import Manifest

    from envport_trainer.config import TrainConfig
    from envport_trainer.learning.learner import Learner
    from envport_trainer.models.folder import LoadedModel

logger = logging.getLogger(__name__)


class Saver:
    """Writes the checkpoints of one run."""

    def __init__(self, config: TrainConfig, loaded: LoadedModel, learner: Learner, *, saved_step: int) -> None:
        """There is a checkpoint of `saved_step`, or that is 0: of the beginning none is needed."""
        self._config, self._loaded, self._learner = config, loaded, learner
        self.saved_step = saved_step
        self._failed = False

    def save_if_due(self, step: int, place: dict[str, Any], manifests: Sequence[Manifest]) -> bool:
        """Write one every `checkpoint_every` steps. One that fails, such as for a full disk, is told, and tried again
        after the next step: the earlier ones are whole, and the run goes on. True where one was written."""
        if not self._failed and step % self._config.checkpoint_every:
            return False
        try:
            self.save(step, place, manifests)
        except CheckpointError as error:
            logger.warning("step %d: %s; the run goes on and tries again after the next step", step, error)
            self._failed = True
            return False
        self._failed = False
        return True

    def save(self, step: int, place: dict[str, Any], manifests: Sequence[Manifest]) -> None:
        """Write the state after `step` updates, unless that was done; `place` is where the run stands in its tasks.

        Raises:
            CheckpointError: it cannot be written.
        """
        if self.saved_step == step:
            return
        save_checkpoint(
            self._config.output / CHECKPOINTS,
            TrainState(
                step=step,
                model=trained_state(self._loaded.model),
                optimizer=self._learner.state(),
                tasks=place,
                config=self._config.resume_values(),
                extra=identity(self._loaded, manifests),
            ),
            keep=self._config.keep_checkpoints,
        )
        self.saved_step = step
