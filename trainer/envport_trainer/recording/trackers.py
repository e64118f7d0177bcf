"""Where metrics go beside `metrics.jsonl`: TensorBoard, Weights & Biases, trackio, each by its name.

A tracker may not come up: then the run does not start, and its error says what to do. Once it runs, nothing that a
tracker does ends the run: its failure is warned of once. A resumed run goes on under the id that `trackers.json` has.

Sent are the configuration without tokens, and numbers. Not sent: the command line (it may hold a token), what the
terminal shows, code, rollouts, figures of the machine.
"""

from __future__ import annotations

import contextlib
import contextvars
import importlib
import io
import json
import logging
import math
import threading
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

from envport_trainer.errors import TrainerError
from envport_trainer.recording.atomic_files import replace_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import ModuleType, TracebackType

logger = logging.getLogger(__name__)

FILE_NAME = "trackers.json"
PROJECT = "envport"
"""Name of the project at trackers that have projects, where WANDB_PROJECT names none."""
CLOSE_WITHIN_S = 60.0
"""Seconds that a tracker has for sending what is left when the run ends."""


class Tracker(Protocol):
    """One place that metrics go to."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add the values of a step, all finite."""
        ...

    def close(self) -> None:
        """Send what is left."""
        ...


class Trackers:
    """The trackers of a run, under `run_name`. With `resume_step` they go on where an earlier process ended.

    Raises:
        TrainerError: a package is missing, or a tracker does not come up.
    """

    def __init__(
        self,
        names: Sequence[str],
        folder: Path,
        run_name: str,
        config_values: Mapping[str, Any],
        *,
        resume_step: int | None = None,
    ) -> None:
        run = _Run(folder, run_name, dict(config_values), resume_step)
        run_id = run.id() if {"wandb", "trackio"} & set(names) else ""
        self._open: dict[str, Tracker] = {}
        self._failed: set[str] = set()
        for name in dict.fromkeys(names):
            self._open[name] = _MAKERS[name](run, run_id)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add the values of a step to all; those that are not finite are left out. Never raises for a tracker."""
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        for name, tracker in self._open.items():
            self._guarded(name, lambda tracker=tracker: tracker.write(step, finite))  # type: ignore[misc]

    def close(self) -> None:
        """Send what is left and close all. Returns within `CLOSE_WITHIN_S` for each, sent or not."""
        for name, tracker in self._open.items():
            worker = threading.Thread(target=self._guarded, args=(name, tracker.close), daemon=True)
            with _quiet():
                worker.start()
                worker.join(CLOSE_WITHIN_S)
            if worker.is_alive():
                logger.warning("%s did not end within %.0f s; what was not sent stays here", name, CLOSE_WITHIN_S)
        self._open.clear()

    def _guarded(self, name: str, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - a boundary: nothing that a tracker does ends a run
            if name not in self._failed:
                self._failed.add(name)
                logger.warning("%s failed, the training goes on without it for now: %s", name, error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class _Run:
    """What a tracker is told when it is opened."""

    folder: Path
    name: str
    config: dict[str, Any]
    resume_step: int | None

    def id(self) -> str:
        """The id under which trackers know the run: a new one for a new run, the earlier one for a resumed run."""
        path = self.folder / FILE_NAME
        if self.resume_step is not None:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                return str(json.loads(path.read_bytes())["run_id"])
        run_id = uuid.uuid4().hex[:12]
        replace_file(path, json.dumps({"run_id": run_id}).encode() + b"\n")
        return run_id


class _TensorBoard:
    def __init__(self, run: _Run, _: str) -> None:
        _package("tensorboard", "train")
        from torch.utils.tensorboard.writer import SummaryWriter

        # TensorBoard hides what an earlier process wrote from this step on.
        self._board = SummaryWriter(str(run.folder / "tensorboard"), purge_step=(run.resume_step or 0) + 1)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def close(self) -> None:
        self._board.close()


class _Wandb:
    """`WANDB_MODE=offline` keeps everything in the run's folder, for `wandb sync`."""

    def __init__(self, run: _Run, run_id: str) -> None:
        wandb: Any = _package("wandb", "wandb")
        settings = wandb.Settings(
            silent=True,
            console="off",
            disable_code=True,
            disable_git=True,
            finish_timeout=CLOSE_WITHIN_S / 2,
            x_disable_meta=True,
            x_disable_stats=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
        )
        try:
            self._run: Any = wandb.init(
                project=wandb.setup().settings.project or PROJECT,
                name=run.name,
                id=run_id,
                resume="allow",
                dir=str(run.folder),
                config=run.config,
                settings=settings,
            )
        except Exception as error:
            raise TrainerError(
                f"Weights & Biases does not come up: {' '.join(str(error).split())}; run `wandb login`, or set "
                "WANDB_MODE=offline, or leave wandb out of `trackers`"
            ) from error
        # A resumed run writes some steps again; wandb's own step may not go back, an axis of ours may.
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log({**values, "step": step})

    def close(self) -> None:
        self._run.finish()


class _Trackio:
    """Local: a file under `TRACKIO_DIR` or trackio's own folder; `trackio show` reads it."""

    def __init__(self, run: _Run, run_id: str) -> None:
        trackio: Any = _package("trackio", "trackio")
        try:
            with _quiet():
                # In a context of its own: trackio then neither takes this run for the caller's nor ends it twice.
                self._run: Any = contextvars.copy_context().run(
                    trackio.init,
                    project=PROJECT,
                    name=f"{run.name}-{run_id}",  # trackio knows a run by its name alone
                    config=run.config,
                    resume="allow",
                    embed=False,
                    auto_log_gpu=False,
                    auto_log_cpu=False,
                )
        except Exception as error:
            raise TrainerError(
                f"trackio does not come up: {' '.join(str(error).split())}; mend that, or leave it out of `trackers`"
            ) from error

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()


_MAKERS: dict[str, Callable[[_Run, str], Tracker]] = {
    "tensorboard": _TensorBoard,
    "wandb": _Wandb,
    "trackio": _Trackio,
}


def _package(name: str, extra: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        raise TrainerError(
            f"the tracker {name} needs the package {missing.name!r}, which is not installed: "
            f"pip install 'envport[{extra}]', or leave it out of `trackers`"
        ) from missing


def _quiet() -> contextlib.redirect_stdout[io.StringIO]:
    """Trackers greet on stdout, which belongs to the command's result."""
    return contextlib.redirect_stdout(io.StringIO())
