"""Weights from the trainer's memory to that of a vLLM server's workers, by a broadcast in a group of their own.

The server is one of a single engine, started with `--worker-extension-cls`; see `vllm_receiver.py`, which is the other
end. The trainer's end listens on the address that the server reaches it by, and nowhere else. NCCL carries the weights
where the trainer and every worker have GPUs of their own, gloo everywhere else.

While the broadcast waits, the request that made the workers take part in it is watched: what a worker fails of, or a
server that dies, is told within seconds.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import httpx
import torch

from envport_trainer.errors import SamplerError
from envport_trainer.samplers.vllm_http import shown
from envport_trainer.samplers.vllm_receiver import PROTOCOL
from envport_trainer.samplers.weight_group import (
    BUFFER_BYTES,
    WeightGroup,
    gpu_of,
    here,
    open_store,
    own_address,
    packed,
    told_failure,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import Tensor

    from envport_trainer.samplers.vllm_http import VllmHttp

T = TypeVar("T")

JOIN_TIMEOUT_S = 60.0
"""For all workers to come: each comes between two steps of its engine."""
STALL_TIMEOUT_S = 60.0
"""No buffer takes this long to go, nor a worker to load it."""
_REACH_TIMEOUT_S = 20.0
"""For a worker to reach the trainer; its engine stands still meanwhile."""
_DESCRIBE_TIMEOUT_S = 60.0
_UPDATE_TIMEOUT_S = 600.0
_LEAVE_TIMEOUT_S = 5.0
_REASON_TIMEOUT_S = 15.0
"""For the server to say why its worker left, or to be found dead."""
_LOOK_EVERY_S = 0.002
_ADVICE = (
    "sampler_weights = broadcast needs a server with VLLM_SERVER_DEV_MODE=1 in its environment and "
    "--worker-extension-cls envport_trainer.samplers.vllm_receiver.WeightReceiver on its command line"
)


class Workers(NamedTuple):
    """The workers of a server that can take a broadcast."""

    number: int
    gpus: list[str | None]


def find_workers(http: VllmHttp) -> Workers:
    """What the server's workers say of themselves.

    Raises:
        SamplerError: it has no receiver in them, one of another version, or several engines.
    """
    try:
        described = http.wait_for(_call(http, "envport_describe", {}, _DESCRIBE_TIMEOUT_S))
    except SamplerError as error:
        raise SamplerError(f"{error}; {_ADVICE}") from error
    for worker in described:
        if worker.get("protocol") != PROTOCOL:
            raise SamplerError(
                f"the vLLM server at {http.url} has a weight receiver of version {worker.get('protocol')}, expected "
                f"{PROTOCOL}; install the same envport on both sides"
            )
        if worker["engines"] != 1 or worker["workers"] != len(described):
            raise SamplerError(
                f"the vLLM server at {http.url} has {worker['engines']} engines of {worker['workers']} workers, and "
                f"{len(described)} workers answered; expected one engine whose workers all answer: start it without "
                "data parallelism, or use sampler_weights = files"
            )
    return Workers(len(described), [worker["gpu"] for worker in described])


class WeightBroadcast:
    """Sends weights to the workers of the server behind `http`. For one thread at a time; close it.

    Raises:
        SamplerError: the server's workers cannot take them.
    """

    def __init__(self, http: VllmHttp, *, buffer_bytes: int = BUFFER_BYTES) -> None:
        self._http, self._buffer_bytes = http, buffer_bytes
        self._workers = find_workers(http)
        self._group: WeightGroup | None = None
        self._updates = 0

    def send(self, weights: Iterable[tuple[str, Tensor]], dtype: torch.dtype, device: torch.device) -> None:
        """Have every worker load `weights`, floating ones as `dtype`; they lie on `device`.

        Raises:
            SamplerError: a worker does not take them, or the server is gone. What its weights are then is unknown.
        """
        if self._group is None:
            self._group = self._open(device)
        group, self._updates = self._group, self._updates + 1
        request = self._http.start(_call(self._http, "envport_receive", {"update": self._updates}, _UPDATE_TIMEOUT_S))
        try:
            count = self._stream(group, request, weights, dtype)
            self._wait(request.done, group.store, request, _UPDATE_TIMEOUT_S)
            self._check(request.result())
            group.forget(self._updates, count + 1)
        except BaseException:
            request.cancel()
            self._drop()
            raise

    def close(self) -> None:
        """Take the workers out of the group, as far as the server does that within seconds."""
        if self._group is not None:
            with contextlib.suppress(SamplerError):
                self._http.wait_for(_call(self._http, "envport_leave", {}, _LEAVE_TIMEOUT_S))
            self._drop()

    def _drop(self) -> None:
        group, self._group = self._group, None
        if group is not None:
            group.close()

    def _open(self, device: torch.device) -> WeightGroup:
        url = httpx.URL(self._http.url)
        own_gpu = gpu_of(device)
        # NCCL takes no two members on one GPU.
        backend = "nccl" if own_gpu and all(self._workers.gpus) and own_gpu not in self._workers.gpus else "gloo"
        try:
            address = own_address(url.host, url.port or 80)
            store, port = open_store(address, STALL_TIMEOUT_S)
        except (OSError, RuntimeError) as error:
            raise SamplerError(
                f"cannot listen for the workers of the vLLM server at {self._http.url}: {error}"
            ) from error
        call = {
            "address": address,
            "port": port,
            "backend": backend,
            "size": 1 + self._workers.number,
            "join_timeout_s": _REACH_TIMEOUT_S,
            "timeout_s": STALL_TIMEOUT_S,
        }
        request = self._http.start(_call(self._http, "envport_join", call, JOIN_TIMEOUT_S))
        try:
            keys = [here(worker) for worker in range(self._workers.number)]
            self._wait(lambda: bool(store.check(keys)), store, request, JOIN_TIMEOUT_S)
            group = WeightGroup(
                store,
                backend,
                rank=0,
                size=1 + self._workers.number,
                address=address,
                device=device if backend == "nccl" else torch.device("cpu"),
                timeout_s=STALL_TIMEOUT_S,
            )
            self._check(request.result())
        except RuntimeError as error:
            raise SamplerError(
                f"the workers of the vLLM server at {self._http.url} did not reach the trainer at {address}: {error}"
            ) from error
        finally:
            request.cancel()
        return group

    def _stream(self, group: WeightGroup, request: _Request, weights: Iterable[Any], dtype: torch.dtype) -> int:
        """Broadcast all buffers, each while the next is filled. Returns how many."""
        count, under_way = 0, None
        for buffer in packed(weights, dtype, group.device, limit=self._buffer_bytes):
            self._arrived(group, request, under_way)
            group.announce(self._updates, count, buffer)
            under_way = self._of_the_group(request, partial(group.broadcast, buffer.buffer))
            count += 1
        self._arrived(group, request, under_way)
        group.announce(self._updates, count, None)
        return count

    def _arrived(self, group: WeightGroup, request: _Request, work: Any) -> None:
        """Wait for a broadcast."""
        if work is None:
            return
        self._wait(work.is_completed, group.store, request, STALL_TIMEOUT_S)
        self._of_the_group(request, work.wait)

    def _of_the_group(self, request: _Request, action: Callable[[], T]) -> T:
        """What `action` gives, whose failure is that of another member: the server's own word for it comes first."""
        try:
            return action()
        except RuntimeError as error:
            with contextlib.suppress(concurrent.futures.TimeoutError):
                self._check(request.result(_REASON_TIMEOUT_S))
            raise SamplerError(
                f"a worker of the vLLM server at {self._http.url} left in the middle of an update: {_line(error)}; "
                "look at its log, start it again, then go on with --resume"
            ) from error

    def _wait(self, done: Callable[[], bool], store: Any, request: _Request, timeout_s: float) -> None:
        """Until `done`, but no longer than the request goes well."""
        deadline = time.monotonic() + timeout_s
        while not done():
            if concurrent.futures.wait([request], _LOOK_EVERY_S).done and not done():
                self._check(request.result())
                raise self._refused("it answered before it had them all")
            if (reason := told_failure(store)) is not None:
                raise self._refused(reason)
            if time.monotonic() > deadline:
                raise SamplerError(
                    f"the workers of the vLLM server at {self._http.url} took nothing for {timeout_s:.0f} s; look at "
                    "its log and its load"
                )

    def _check(self, answers: list[Any]) -> None:
        for number, answer in enumerate(answers):
            if reason := answer.get("error"):
                raise self._refused(f"worker {number}: {reason}")

    def _refused(self, reason: str) -> SamplerError:
        return SamplerError(f"the vLLM server at {self._http.url} did not take the weights: {reason}")


if TYPE_CHECKING:
    _Request = concurrent.futures.Future[list[Any]]


async def _call(http: VllmHttp, method: str, arguments: dict[str, Any], timeout_s: float) -> list[Any]:
    """What each worker answers to a method of its receiver.

    Raises:
        SamplerError: the server has no such method, failed, or is gone.
    """
    body = {"method": method, "kwargs": arguments}
    answer = await http.ask("POST", "/collective_rpc", body, timeout_s=timeout_s, repeat_errors=False)
    try:
        results = list(answer.json()["results"])
    except (KeyError, TypeError, ValueError):
        results = []
    if not results or not all(isinstance(result, dict) for result in results):
        raise SamplerError(
            f"the vLLM server at {http.url} answered {method} by HTTP {answer.status_code}: {shown(answer)}"
        )
    return results


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
