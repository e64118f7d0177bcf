"""One of two processes that share an update, run as `python -m tests.trainer.rank_process RANK FOLDER`.

It leaves what each of `EVERY_KIND` computed in `FOLDER/RANK.pt`, and what `shared_sums` gives in `FOLDER/RANK.sums.pt`.
"""

from __future__ import annotations

import dataclasses
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from envport_trainer.learning import ranks
from torch import nn

from .updates import Groups, nearby, small_groups, small_model, update

EVERY_KIND: list[dict[str, Any]] = [
    {"loss": "clip", "aggregation": "token", "advantage": "std", "kl_weight": 0.1, "kl": "k1"},
    {"loss": "gspo", "aggregation": "sequence", "advantage": "rloo", "correction": "none"},
    {"loss": "cispo", "aggregation": "constant", "advantage": "batch_std", "correction": "mask"},
    {"loss": "dppo", "aggregation": "token", "advantage": "gdpo", "kl_weight": 0.1, "kl": "k2"},
    {"loss": "clip", "aggregation": "sequence", "advantage": "maxrl", "correction": "geometric"},
    {"loss": "cispo", "aggregation": "token", "advantage": "mean", "correction": "truncate", "kl_weight": 0.1},
]


def scored_groups() -> Groups:
    """The small model's groups with components of their rewards."""
    return [
        [dataclasses.replace(t, rewards={"a": t.reward, "b": float(len(t.rows[0].input_ids) % 3)}) for t in group]
        for group in small_groups(small_model())
    ]


def uneven_groups() -> Groups:
    """Three groups; the first is the one rank's, the others are the other's."""
    first, second = scored_groups()
    return [first[:3], [*second, dataclasses.replace(first[3], reward=0.2)], [first[3], second[0]]]


def shared_sums(rank: int) -> list[torch.Tensor | None]:
    """The gradients after `ranks.add_gradients` of parameters with one in both ranks, in one, and in none."""
    parameters = [nn.Parameter(torch.zeros(2)) for _ in range(3)]
    parameters[0].grad = torch.tensor([1.0, 2.0 + rank])
    if rank == 1:
        parameters[1].grad = torch.tensor([5.0, 7.0])
    ranks.add_gradients(parameters)
    return [parameter.grad for parameter in parameters]


def after_a_look(rank: int) -> torch.Tensor:
    """What rank 1 receives of what rank 0 sends after it looked whether rank 1 is there."""
    message = torch.tensor([7.0])
    if rank == 0:
        assert not ranks._is_gone(1)
        dist.send(message, dst=1)
    else:
        message.zero_()
        dist.recv(message, src=0)
    return message


def main(rank: int, folder: Path) -> None:
    """Compute this rank's share of every kind of update, and of one in which the other rank has all groups."""
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2, timeout=timedelta(seconds=120)
    )
    groups, model = uneven_groups(), small_model()
    mine = groups[:1] if rank == 0 else groups[1:]
    got = [update(model, mine, nearby(model), **kind) for kind in EVERY_KIND]
    got.append(update(model, groups if rank == 0 else [], nearby(model), **EVERY_KIND[0]))
    torch.save([tuple(each) for each in got], folder / f"{rank}.pt")
    torch.save([*shared_sums(rank), after_a_look(rank)], folder / f"{rank}.sums.pt")
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
