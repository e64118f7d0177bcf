"""One run of several processes: rank 0 is the run, the others only learn.

Rank 0 samples, plays, records and saves as a process alone does. For each update it deals the step's groups, sends each
other rank its share, and all of them make the same update. In between the others wait; that costs them no CPU.

Signals are rank 0's to answer: torchrun sends Ctrl-C to every process, and the update that runs needs all of them.
"""

from __future__ import annotations

import signal
from contextlib import contextmanager, suppress
from datetime import timedelta
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import torch
import torch.distributed as dist

from envport_trainer.errors import ConfigError
from envport_trainer.learning import ranks
from envport_trainer.learning.allocator import return_freed_memory
from envport_trainer.learning.making import load_trained, make_learner
from envport_trainer.runs.resuming import CHECKPOINTS, earlier_state, restore
from envport_trainer.runs.updating import update_within_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from types import TracebackType

    from envport_trainer.config import TrainConfig
    from envport_trainer.learning.learner import Learner
    from envport_trainer.models.folder import LoadedModel
    from envport_trainer.runs.checkpoint import TrainState
    from envport_trainer.types import Trajectory

    Groups = Sequence[Sequence[Trajectory]]

_LONGEST_STEP = timedelta(days=1)
"""How long a rank waits for its next order, while rank 0 samples, plays and evaluates. Where rank 0 dies, the wait ends
at once; this is for one that hangs."""
_LEAVE = timedelta(seconds=5)
"""How long rank 0, on an error, waits for a rank to read that it may go; one that is busy sees the connection close."""


class Followers:
    """The ranks that learn with rank 0; none where it runs alone. Use it as a context manager: its end is theirs."""

    def __init__(self, learner: Learner, *, step: int) -> None:
        """Returns when every rank is ready; `step` is where the run stands.

        Raises:
            TrainerError: a rank ended, or stands at another step.
        """
        self._learner = learner
        self._line = _Line(step) if ranks.count() > 1 else None

    def update(self, groups: Groups, step: int, *check: Callable[[dict[str, float]], None]) -> dict[str, float]:
        """`Learner.update` of all ranks together, each with its share of `groups`; gives what is worth logging. `check`
        is asked in this rank alone.

        Raises:
            TrainerError: a rank ended or failed, or memory does not suffice.
        """
        mine, *others = dealt(groups, ranks.count())
        if self._line is not None:
            for rank, share in enumerate(others, start=1):
                self._line.send(rank, _Order.UPDATE, _Work(share, step))
        return update_within_memory(self._learner, mine, step, *check)

    def dismiss(self) -> None:
        """Send them home from a run that did not come to its first update, or broke off."""
        if self._line is not None:
            self._line.dismiss()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._line is None:
            return
        if error is not None:
            self.dismiss()
            return
        for rank in range(1, ranks.count()):
            self._line.send(rank, _Order.END)
        self._learner.check_same_weights()


class Begun(NamedTuple):
    """What every rank has before the first update."""

    state: TrainState | None
    """The checkpoint that the run goes on from."""
    loaded: LoadedModel
    learner: Learner


def begin(config: TrainConfig, *, resume: bool) -> Begun:
    """The model and its learner as the run's checkpoint has them, in every rank or in none.

    Raises:
        TrainerError: they cannot be loaded, in this rank or in another.
    """
    with ranks.all_or_none():
        state = earlier_state(config, resume=resume)
        loaded = load_trained(config)
        learner = make_learner(config, loaded)
        if state is not None:
            restore(state, loaded, learner, config.output / CHECKPOINTS)
    return Begun(state, loaded, learner)


def follow(config: TrainConfig, *, resume: bool) -> None:
    """What every rank but 0 does: the updates that rank 0 orders, until it says that the run is over.

    Raises:
        TrainerError: as `train` does; or rank 0 ended without a word.
    """
    with _signals_ignored():
        state, _, learner = begin(config, resume=resume)
        line = _Line(state.step if state is not None else 0)
        while (order := line.next()) == _Order.UPDATE:
            work = line.work()
            update_within_memory(learner, work.groups, work.step)
            return_freed_memory()
        if order == _Order.END:
            learner.check_same_weights()


def check_several(config: TrainConfig) -> None:
    """Returns where `config` can be run by as many ranks as there are.

    Raises:
        ConfigError: it cannot.
    """
    several = ranks.count()
    if several == 1:
        return
    if config.sampler == "vllm":
        raise ConfigError(
            f"sampler is vllm, which makes a process group of its own, and {several} processes share this run; start "
            "`vllm serve` by itself and use sampler = vllm-server, or run one process"
        )
    if config.prompts_per_step < several:
        raise ConfigError(
            f"prompts_per_step is {config.prompts_per_step}, and {several} processes share the groups of a step, which "
            "are never cut; raise it, or start fewer processes"
        )


def dealt(groups: Groups, shares: int) -> list[list[Sequence[Trajectory]]]:
    """Whole groups in shares of about equal tokens: the longest first, each to the share that has least by then.

    A share keeps the order of its groups.
    """
    places: list[list[int]] = [[] for _ in range(shares)]
    tokens = [0] * shares
    for place in sorted(range(len(groups)), key=lambda place: -_tokens(groups[place])):
        least = tokens.index(min(tokens))
        places[least].append(place)
        tokens[least] += _tokens(groups[place])
    return [[groups[place] for place in sorted(own)] for own in places]


def _tokens(group: Sequence[Trajectory]) -> int:
    return sum(len(row.input_ids) for trajectory in group for row in trajectory.rows)


class _Order(IntEnum):
    UPDATE = 1
    """A `_Work` follows."""
    END = 2
    """The run is over; the weights are compared once more."""
    LEAVE = 3
    """The run is over by an error, which rank 0 tells."""


class _Work(NamedTuple):
    groups: Groups
    step: int


class _Line:
    """From rank 0 to each other rank: a group of its own, since what it waits for takes longer than an update."""

    def __init__(self, step: int) -> None:
        ranks.check_same(
            "checkpoint than process 0", step, remedy="all of them need the same --output, on a disk that they share"
        )
        patience = _LONGEST_STEP if ranks.own_rank() else ranks.TIMEOUT
        with ranks.reached():
            self._group: Any = dist.new_group(backend="gloo", timeout=patience)

    def send(self, rank: int, order: _Order, work: _Work | None = None) -> None:
        with ranks.reached():
            dist.send(torch.tensor([order]), dst=rank, group=self._group)
            if work is not None:
                dist.send_object_list([work], dst=rank, group=self._group)

    def dismiss(self) -> None:
        """Tell every rank that waits for an order that there will be none."""
        for rank in range(1, ranks.count()):
            with suppress(RuntimeError):
                sent = dist.isend(torch.tensor([_Order.LEAVE]), dst=rank, group=self._group)
                assert sent is not None
                sent.wait(_LEAVE)

    def next(self) -> _Order:
        order = torch.tensor([0])
        with ranks.reached():
            dist.recv(order, src=0, group=self._group)
        return _Order(int(order))

    def work(self) -> _Work:
        received: list[Any] = [None]
        with ranks.reached():
            dist.recv_object_list(received, src=0, group=self._group)
        work: _Work = received[0]
        return work


@contextmanager
def _signals_ignored() -> Generator[None]:
    """In the main thread alone."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
