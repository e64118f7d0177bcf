"""Several processes that train one policy: each has whole groups of its own, and sums make their gradient one.

Within `joined`, the processes that torchrun started are one group of torch.distributed. These functions are then
collective: every rank calls each of them, in the same order. A process that runs alone is no group, and gets back what
it gave. No wrapper around the model is needed: token weights come from the counts of all ranks
(`algorithm/aggregation.py`), so the gradients of the ranks only add up.

What a rank computes between two calls may fail. `all_or_none` tells the others, so that none waits for one that will
not come; a process that ends without a word closes its connections, which the others see at once.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import get_node_local_rank

from envport_trainer.errors import ConfigError, TrainerError
from envport_trainer.runs.memory import is_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from torch import Tensor, nn

T = TypeVar("T")

TIMEOUT = timedelta(minutes=30)
"""The longest that one rank waits for another within an update. Shares are of about equal length, and updates take
minutes; a rank that dies is noticed at once, so this is for one that hangs."""
_OUTLAST = timedelta(seconds=60)
"""How long a rank that failed stays for rank 0's checkpoint: torchrun ends all soon after the first that failed."""
_PROBE = 1
"""The tag of what is sent to see whether a rank is there; all else has tag 0, and is not to meet it."""


@contextmanager
def joined(device: str) -> Generator[None]:
    """Within it the processes that torchrun started are one group: NCCL adds up what is on their GPUs, gloo the rest.
    `device` is `TrainConfig.device`. Nothing happens where torchrun did not start this process, or no other.

    Raises:
        ConfigError: there are more processes than GPUs on this machine, or on another.
        TrainerError: some processes have GPUs and some have none.
    """
    if not (dist.is_available() and dist.is_torchelastic_launched()):
        yield
        return
    on_gpus = device != "cpu" and torch.cuda.is_available()
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpus else "gloo", timeout=TIMEOUT)
    if dist.get_world_size() == 1:
        dist.destroy_process_group()
        yield
        return
    try:
        remedy = "give all of them a GPU and a torch that sees it, or the run device = cpu"
        check_same("kind of device than process 0", on_gpus, remedy=remedy)  # gloo's, which all of them have
        if on_gpus:
            with all_or_none():
                _take_own_gpu()
        yield
    except Exception:
        _outlast_rank_0()
        raise
    finally:
        dist.destroy_process_group()


def count() -> int:
    """The number of ranks; 1 for a process that runs alone."""
    return dist.get_world_size() if _several() else 1


def own_rank() -> int:
    """This process's place among the ranks."""
    return dist.get_rank() if _several() else 0


def gather(mine: T) -> list[T]:
    """What each rank passed, in the order of the ranks. It is pickled: pass small values."""
    if not _several():
        return [mine]
    every: list[Any] = [None] * dist.get_world_size()
    with reached():
        dist.all_gather_object(every, mine)
    return every


def add_up(values: Tensor) -> Tensor:
    """The sum over the ranks of a tensor; in place."""
    if _several():
        with reached():
            dist.all_reduce(values)
    return values


def highest(values: Tensor) -> Tensor:
    """The maximum over the ranks of a tensor; in place."""
    if _several():
        with reached():
            dist.all_reduce(values, dist.ReduceOp.MAX)
    return values


def add_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Give every rank the sum of all ranks' gradients, to which a rank without one adds zeros. A parameter that has
    none in any rank has none after it, as an optimizer makes a difference between that and zeros."""
    if not _several():
        return
    reached_P = highest(torch.tensor([parameter.grad is not None for parameter in parameters], dtype=torch.int32))
    with all_or_none():
        gradients = [_gradient(p) for p, is_reached in zip(parameters, reached_P.tolist(), strict=True) if is_reached]
    with reached():
        for gradient in gradients:
            dist.all_reduce(gradient)


@contextmanager
def all_or_none() -> Generator[None]:
    """What is within succeeds in every rank, or raises in every rank. It makes no collective call itself.

    Raises:
        MemoryError: memory did not suffice in another rank.
        TrainerError: another rank failed in another way.
    """
    try:
        yield
    except Exception as error:
        failure = _Failure(" ".join(str(error).split()) or type(error).__name__, is_out_of_memory(error))
        with suppress(TrainerError):  # where others are gone as well, this rank's own reason is what it tells
            gather(failure)
        raise
    outcomes: list[_Failure | None] = gather(None)
    for rank, other in enumerate(outcomes):
        if other is not None:
            kind = MemoryError if other.of_memory else TrainerError
            raise kind(f"process {rank} failed: {other.text}")


def check_same(what: str, mine: object, *, remedy: str) -> None:
    """Returns where every rank passed an equal value.

    Raises:
        TrainerError: one did not; it names `what` and says the `remedy`.
    """
    every = gather(mine)
    other = [rank for rank, value in enumerate(every) if value != every[0]]
    if other:
        raise TrainerError(f"{_processes(other)} {'has' if len(other) == 1 else 'have'} another {what}; {remedy}")


@contextmanager
def reached() -> Generator[None]:
    """A boundary around calls of torch.distributed, whose errors name an address and not a rank.

    Raises:
        TrainerError: a rank is gone, or did not answer in time; it says which.
    """
    try:
        yield
    except RuntimeError as error:  # gloo raises no narrower class
        first = (str(error).splitlines() or [""])[0]
        gone = [rank for rank in range(count()) if rank != own_rank() and _is_gone(rank)]
        if gone:
            seen = f"{_processes(gone)} of this run ended"
        else:
            seen = f"a process of this run did not answer within {TIMEOUT.total_seconds() / 60:.0f} minutes"
        raise TrainerError(f"{seen}; see what it wrote, then go on with --resume ({first[:200]})") from error


class _Failure(NamedTuple):
    text: str
    of_memory: bool


def _gradient(parameter: nn.Parameter) -> Tensor:
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad


def _take_own_gpu() -> None:
    place, there = get_node_local_rank(fallback_rank=0), torch.cuda.device_count()
    if place >= there:
        raise ConfigError(
            f"there are {there} GPUs and more processes on this machine; give torchrun --nproc-per-node {there}, or "
            "the run device = cpu"
        )
    torch.cuda.set_device(place)


def _is_gone(rank: int) -> bool:
    """Whether the connection to `rank` is closed. What it is sent then is read by nobody: the run is over."""
    try:
        dist.isend(torch.zeros(1), dst=rank, tag=_PROBE)
    except RuntimeError:
        return True
    return False


def _outlast_rank_0() -> None:
    if own_rank():
        with suppress(RuntimeError):  # it ended, or takes longer
            work = dist.irecv(torch.zeros(1), src=0)
            assert work is not None
            work.wait(_OUTLAST)


def _processes(ranks: Sequence[int]) -> str:
    return f"process{'' if len(ranks) == 1 else 'es'} {', '.join(map(str, ranks))}"


def _several() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
