"""One of the processes of a run, started by torchrun as `-m tests.trainer.rank_run RUN.toml FOLDER TROUBLE [resume]`.

It leaves its process id in `FOLDER/RANK.pid` and, unless it is killed, the weights that it ended with in
`FOLDER/RANK.pt`. `TROUBLE` befalls rank 1 in its third update; see `TROUBLES`.
"""

from __future__ import annotations

import os
import signal
import sys
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from envport.cli.boundary import exit_code_of
from envport_trainer import training
from envport_trainer.config import TrainConfig
from envport_trainer.learning import learner as learning
from envport_trainer.runs import following
from envport_trainer.training import train

if TYPE_CHECKING:
    from collections.abc import Callable

    from envport_trainer.learning.learner import Learner


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def run_out_of_memory() -> None:
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")


def fail() -> None:
    raise ValueError("no such thing")


TROUBLES: dict[str, Callable[[], None]] = {"dies": die, "memory": run_out_of_memory, "fails": fail}


def troubled(pack: Callable[..., Any], trouble: Callable[[], None]) -> Callable[..., Any]:
    """`pack`, which each rank calls once an update, with trouble in its third call."""
    calls = count(1)

    def called(*args: Any, **named: Any) -> Any:
        if next(calls) == 3:
            trouble()
        return pack(*args, **named)

    return called


def main(toml: Path, folder: Path, trouble: str, resume: bool) -> int:
    rank = int(os.environ["RANK"])
    (folder / f"{rank}.pid").write_text(str(os.getpid()))
    learners: list[Learner] = []
    make = training.make_learner

    def kept(*args: Any) -> Learner:
        learners.append(make(*args))
        if rank == 1 and trouble == "drifts":
            with torch.no_grad():
                learners[0].parameters[0][0, 0].mul_(1.0001)
        return learners[0]

    training.make_learner = following.make_learner = kept
    if rank == 1 and trouble in TROUBLES:
        learning.pack = troubled(learning.pack, TROUBLES[trouble])
    code = exit_code_of(lambda: train(TrainConfig.from_toml(toml), resume=resume))
    torch.save(learners[0].policy.model.state_dict(), folder / f"{rank}.pt")
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4:] == ["resume"]))
