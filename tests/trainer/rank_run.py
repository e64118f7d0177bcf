"""One of the processes of a run, started by torchrun as `-m tests.trainer.rank_run RUN.toml FOLDER TROUBLE [resume]`.

It leaves its process id in `FOLDER/RANK.pid` and, unless it is killed, the weights that it ended with in
`FOLDER/RANK.pt`. `TROUBLE` befalls rank 1: those of `TROUBLES` in its third update, the others before its first.
"""

from __future__ import annotations

import os
import signal
import sys
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from envport.cli.boundary import exit_code_of
from envport_trainer.config import TrainConfig
from envport_trainer.errors import ModelError
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


def cannot_load(_: TrainConfig) -> None:
    raise ModelError("there is no such model here")


def see_a_gpu() -> None:
    """As on a machine of another kind; torch of a CPU alone has no NCCL."""
    init = dist.init_process_group
    torch.cuda.is_available = lambda: True
    dist.init_process_group = lambda _, **named: init("gloo", **named)


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
    make = following.make_learner

    def kept(*args: Any) -> Learner:
        learners.append(make(*args))
        if rank == 1 and trouble == "drifts":
            with torch.no_grad():
                weights = next(p for p in learners[0].policy.model.parameters() if p.dim() == 2)
                weights[0, 0].mul_(1.0001)  # not trained where there are adapters
        return learners[0]

    following.make_learner = kept
    if rank == 1 and trouble == "cannot-load":
        following.load_trained = cannot_load
    if rank == 1 and trouble == "sees-a-gpu":
        see_a_gpu()
    if rank == 1 and trouble in TROUBLES:
        learning.pack = troubled(learning.pack, TROUBLES[trouble])
    code = exit_code_of(lambda: train(TrainConfig.from_toml(toml), resume=resume))
    if learners:
        torch.save(learners[0].policy.model.state_dict(), folder / f"{rank}.pt")
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4:] == ["resume"]))
