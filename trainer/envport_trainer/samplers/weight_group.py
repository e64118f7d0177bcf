"""What both ends of a weight broadcast share: a group of processes, and tensors packed into flat buffers.

Rank 0 is the trainer, ranks 1 and up are the workers of a vLLM server. The two meet at a store that the trainer opens.
Each update is a stream of buffers; before each the trainer puts into the store what is in it, and at the end that there
are no more. A group is made by torch's own classes and not by `init_process_group`, since a worker has a default group
of its own that must stay as it is.

Both backends go the same way: only the class of the group and the device of the buffers differ. It imports torch and
nothing of envport, as it runs inside the server too.
"""

from __future__ import annotations

import json
import math
import socket
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import distributed
from torch._C._distributed_c10d import PrefixStore, TCPStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor
    from torch._C._distributed_c10d import Store

BUFFER_BYTES = 256 * 2**20
"""Of one broadcast; a larger tensor gets a buffer of its own."""
_ALIGNMENT = 256
"""Of each tensor in its buffer: any dtype may begin there, and a GPU copies it at full speed."""
_FAILED = "failed"


class Place(NamedTuple):
    """Where a tensor lies in a buffer."""

    name: str
    dtype: str
    """As torch calls it, such as bfloat16."""
    shape: list[int]
    offset: int
    """In bytes."""


class Packed(NamedTuple):
    """A flat buffer of bytes, and the tensors in it."""

    buffer: Tensor
    places: list[Place]


def packed(
    weights: Iterable[tuple[str, Tensor]], dtype: torch.dtype, device: torch.device, *, limit: int
) -> Iterator[Packed]:
    """All `weights`, floating ones in `dtype`, in buffers of at most `limit` bytes on `device`, each a new one.

    A tensor of more bytes than that lies in one alone.
    """
    buffer, places, end = torch.empty(0, dtype=torch.uint8, device=device), list[Place](), 0
    for name, tensor in weights:
        kind = dtype if tensor.is_floating_point() else tensor.dtype
        size = _aligned(tensor.numel() * kind.itemsize)
        if end + size > buffer.numel():
            if places:
                yield Packed(buffer[:end], places)
            buffer, places, end = torch.empty(max(limit, size), dtype=torch.uint8, device=device), [], 0
        place = Place(name, str(kind).removeprefix("torch."), list(tensor.shape), end)
        _tensor_at(buffer, place).copy_(tensor.detach())
        places.append(place)
        end += size
    if places:
        yield Packed(buffer[:end], places)


def unpacked(buffer: Tensor, places: Iterable[Place]) -> Iterator[tuple[str, Tensor]]:
    """Name and tensor of each; they share the buffer's memory."""
    return ((place.name, _tensor_at(buffer, place)) for place in places)


class WeightGroup:
    """The group of `size` processes that meet at `store`; `address` is this machine's own, which the others reach.

    `backend` is "nccl" or "gloo", and `device` that of the buffers. No wait of it is longer than `timeout_s`.

    Raises:
        RuntimeError: the others do not come in time, or cannot be reached.
    """

    def __init__(
        self,
        store: Store,
        backend: str,
        *,
        rank: int,
        size: int,
        address: str,
        device: torch.device,
        timeout_s: float,
    ) -> None:
        self.device = device
        self.store, self._timeout = store, timedelta(seconds=timeout_s)
        kind = getattr(distributed, _KINDS[backend])
        # By their names of old, which every torch has that vLLM 0.25 to 0.33 asks for.
        options = kind.Options() if backend == "nccl" else kind._Options()
        if backend == "gloo":
            options._timeout = self._timeout
            options._devices = [kind.create_device(hostname=address)]
        # NCCL keeps its own of 10 minutes: where that is over it ends the process, and ours comes first.
        self._group = kind(PrefixStore("group", store), rank, size, options)

    def broadcast(self, buffer: Tensor) -> Any:
        """The work that brings rank 0's `buffer` into everybody's, begun but not waited for."""
        options = distributed.BroadcastOptions()
        options.rootRank = 0
        options.timeout = self._timeout
        return self._group.broadcast([buffer], options)

    def announce(self, update: int, number: int, held: Packed | None) -> None:
        """Tell the workers what buffer `number` of the update holds; None ends the update."""
        self.store.set(_key(update, number), json.dumps(None if held is None else [held.buffer.numel(), held.places]))

    def forget(self, update: int, count: int) -> None:
        """Take the announcements of a finished update out of the store."""
        for number in range(count):
            self.store.delete_key(_key(update, number))

    def received(self, update: int) -> Iterator[tuple[str, Tensor]]:
        """Name and tensor of each weight of the update, as they come; for the workers.

        What is given stays as it is: each buffer is a new one, whose memory is free when its last tensor is.

        Raises:
            RuntimeError: the trainer is gone, gave up, or is silent for as long as any wait may be.
        """
        number = 0
        while (announced := self._announced(update, number)) is not None:
            size, places = announced
            buffer = torch.empty(size, dtype=torch.uint8, device=self.device)
            self.broadcast(buffer).wait(self._timeout)
            yield from unpacked(buffer, [Place(*place) for place in places])
            number += 1

    def close(self) -> None:
        """Give up what is under way, so that the others hear of it; the group is of no use after that."""
        self._group.abort()
        # What holds a traceback holds this object: the sockets close with what they belong to.
        del self._group, self.store

    def _announced(self, update: int, number: int) -> Any:
        key = _key(update, number)
        self.store.wait([key], self._timeout)
        return json.loads(self.store.get(key))


def open_store(address: str, timeout_s: float) -> tuple[TCPStore, int]:
    """A store that listens on `address` alone, and its port.

    Raises:
        OSError: that is no address of this machine.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.create_server((address, 0), family=family)
    port: int = listener.getsockname()[1]
    # Left to itself the store listens on every address; only its older server takes a socket that listens already.
    store = TCPStore(
        address,
        port,
        is_master=True,
        timeout=timedelta(seconds=timeout_s),
        wait_for_workers=False,
        master_listen_fd=listener.detach(),
        use_libuv=False,
    )
    return store, port


def join_store(address: str, port: int, timeout_s: float) -> TCPStore:
    """The store that somebody opened there.

    Raises:
        RuntimeError: nobody answers within `timeout_s`.
    """
    return TCPStore(
        address,
        port,
        is_master=False,
        timeout=timedelta(seconds=timeout_s),
        wait_for_workers=False,
        use_libuv=False,
    )


def own_address(host: str, port: int) -> str:
    """The address of this machine from which `host` is reached. Nothing is sent.

    Raises:
        OSError: `host` has no address, or there is no way to it.
    """
    family, kind, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with closing(socket.socket(family, kind)) as probe:
        probe.connect(place)
        return str(probe.getsockname()[0])


def here(worker: int) -> str:
    """The key in the store by which a worker says that it has come."""
    return f"here {worker}"


def tell_failure(store: Store, reason: str) -> None:
    """Let the trainer know at once, which may wait for a worker or a broadcast that will not come."""
    store.set(_FAILED, reason)


def told_failure(store: Store) -> str | None:
    """What one of the workers told."""
    return store.get(_FAILED).decode() if store.check([_FAILED]) else None


def gpu_of(device: torch.device) -> str | None:
    """Which GPU a device is, the same name in every process; None of any other device."""
    return str(torch.cuda.get_device_properties(device).uuid) if device.type == "cuda" else None


_KINDS = {"nccl": "ProcessGroupNCCL", "gloo": "ProcessGroupGloo"}


def _tensor_at(buffer: Tensor, place: Place) -> Tensor:
    dtype: torch.dtype = getattr(torch, place.dtype)
    size = math.prod(place.shape) * dtype.itemsize
    return buffer[place.offset : place.offset + size].view(dtype).view(place.shape)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _key(update: int, number: int) -> str:
    return f"{update} {number}"
