"""What runs inside of a vLLM server's workers to take weights from memory to memory.

    VLLM_SERVER_DEV_MODE=1 vllm serve MODEL \\
        --worker-extension-cls envport_trainer.samplers.vllm_receiver.WeightReceiver

vLLM adds the class to the bases of its worker, and the trainer calls these methods by POST /collective_rpc, between two
steps of the engine. The weights go in by the worker's own `reload_weights`, as those from files do: a worker keeps some
of them in forms of its kernels, which cannot be written over.

A failure is an answer, not an exception: of an exception the server would tell nothing but that there was one.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import torch

from envport_trainer.samplers.weight_group import (
    WeightGroup,
    gpu_of,
    here,
    join_store,
    own_address,
    tell_failure,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from torch import Tensor

PROTOCOL = 1
"""Of what trainer and receiver say to each other; both are to be of one version of it."""


class WeightReceiver:
    """Methods for vLLM's worker class. Their names begin with envport_, so that they meet none of its own."""

    if TYPE_CHECKING:  # of the worker
        rank: int
        device: torch.device | None
        parallel_config: Any
        reload_weights: Callable[..., None]

    _envport_group: WeightGroup | None = None
    _envport_last: tuple[int, dict[str, Any]] = (0, {})
    """Number of the last update, and what was answered."""

    def envport_describe(self) -> dict[str, Any]:
        """What the trainer must know of this worker to open a group with it."""
        return {
            "protocol": PROTOCOL,
            "rank": self.rank,
            "workers": self.parallel_config.world_size,
            "engines": self.parallel_config.data_parallel_size,
            "gpu": gpu_of(_device(self.device)),
        }

    def envport_join(
        self, address: str, port: int, backend: str, size: int, join_timeout_s: float, timeout_s: float
    ) -> dict[str, Any]:
        """Leave the group of an earlier run, and meet the trainer at its store."""
        self.envport_leave()
        try:
            store = join_store(address, port, join_timeout_s)
            if store.add(here(self.rank), 1) > 1:
                # Told in the store as well: of several engines vLLM hands on the first one's answer alone.
                reason = f"there are two workers of rank {self.rank}, and one server of one engine was expected"
                tell_failure(store, reason)
                return {"error": reason}
            self._envport_group = WeightGroup(
                store,
                backend,
                rank=1 + self.rank,
                size=size,
                address=own_address(address, port),
                device=_device(self.device) if backend == "nccl" else torch.device("cpu"),
                timeout_s=timeout_s,
            )
        except Exception as error:  # noqa: BLE001 - boundary: torch raises many kinds, and the trainer is to hear of it
            return {"error": f"it did not reach the trainer at {address}, port {port}: {_told(error)}"}
        self._envport_last = (0, {})
        return {}

    def envport_receive(self, update: int) -> dict[str, Any]:
        """Take the weights of one update. Asked for the same one again, the answer is the same and nothing is done."""
        if self._envport_last[0] != update:
            self._envport_last = (update, self._envport_take(update))
        return self._envport_last[1]

    def envport_leave(self) -> dict[str, Any]:
        """Close the group, if there is one."""
        group, self._envport_group = self._envport_group, None
        if group is not None:
            group.close()
        return {}

    def _envport_take(self, update: int) -> dict[str, Any]:
        group = self._envport_group
        if group is None:
            return {"error": "it is in no group; was the server started again?"}
        count = _Count(group.received(update))
        try:
            self.reload_weights(weights_iterator=count)
            for _ in count:  # what the model does not take is sent all the same
                pass
        except Exception as error:  # noqa: BLE001 - boundary: a model raises anything on weights that do not fit
            reason = _told(error)
            with contextlib.suppress(RuntimeError):  # the trainer may be what failed
                tell_failure(group.store, f"worker {self.rank}: {reason}")
            self.envport_leave()
            return {"error": reason}
        return {"tensors": count.count}


class _Count:
    """Gives what an iterator gives, and counts it."""

    def __init__(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        self._weights = iter(weights)
        self.count = 0

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        return self

    def __next__(self) -> tuple[str, Tensor]:
        item = next(self._weights)
        self.count += 1
        return item


def _device(device: torch.device | None) -> torch.device:
    return torch.device("cpu") if device is None else device


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
