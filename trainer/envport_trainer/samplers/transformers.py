"""Sampling by transformers with continuous batching: the default on a CPU, where it needs nothing but torch.

One thread owns a copy of the model and decodes, a token for each request at a time. Between two tokens it takes in new
requests, hands out finished ones, and takes over new weights; a rollout whose tool is slow holds up nobody.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import queue
import threading
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from envport_trainer.errors import SamplerError
from envport_trainer.learning.adapters import merged_state, ordinary
from envport_trainer.learning.attention import use_planned_attention
from envport_trainer.samplers.decoding import Decoder
from envport_trainer.samplers.rows import Row

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from transformers import PreTrainedModel

    from envport_trainer.types import Sample, SampleRequest

GATHER_S = 0.05
"""Longest wait of an idle sampler, after each request, for that of another open rollout. No result depends on it: what
begins together is computed together, and so a bit cheaper."""
QUIET_S = 0.002
"""Its wait where every open rollout has asked: many that begin at once are told apart from one."""
ANSWER_TIMEOUT_S = 3600.0
"""No request takes this long; one that hangs must not hang the run."""
UPDATE_TIMEOUT_S = 600.0
"""No step of decoding takes this long."""


class TransformersSampler:
    """Holds its own copy of the weights, in `precision`; its methods may be called from any thread and event loop.

    New weights may come while samples are in flight: each goes on with the keys and values that it has, and its next
    token is of the new weights.
    """

    def __init__(self, model: PreTrainedModel, stop_ids: frozenset[int], precision: Literal["bf16", "fp32"]) -> None:
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        plain = ordinary(model)
        config = type(plain.config).from_dict(plain.config.to_dict())
        self._model: PreTrainedModel = type(plain)(config)
        self._model.to(plain.device, dtype)  # pyright: ignore[reportArgumentType]  # transformers wraps torch's signature
        self._model.eval()
        _copy_buffers(plain, self._model)
        use_planned_attention(self._model)
        _copy_weights(model, self._model)
        self._decoder = Decoder(self._model, stop_ids)  # refuses a head of another kind now, not in the first step
        self._open = 0
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._tickets: dict[Row, _Ticket] = {}
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="envport-sampler", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    @asynccontextmanager
    async def rollout(self) -> AsyncGenerator[None]:
        """Count a rollout as open: an idle sampler waits for its request for a moment."""
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    async def sample(self, request: SampleRequest) -> Sample:
        """Sample one completion, beginning at the next token of those that run, if there is room.

        Raises:
            SamplerError: the prompt is empty, the step failed, the answer took longer than `ANSWER_TIMEOUT_S`, or the
                sampler was closed.
        """
        if not request.prompt_ids or request.max_new_tokens < 1:
            raise SamplerError(
                f"a prompt of {len(request.prompt_ids)} ids and max_new_tokens {request.max_new_tokens}; expected at "
                "least one of each"
            )
        ticket = _Ticket(asyncio.get_running_loop())
        row = Row(request, version=0)
        self._submit(lambda: self._take_in(row, ticket))
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await ticket.future
        except TimeoutError as error:
            raise SamplerError(
                f"no sample within {ANSWER_TIMEOUT_S:.0f} s; lower max_new_tokens or the batch"
            ) from error
        finally:
            if ticket.future.cancelled():
                self._jobs.put(lambda: self._drop(row))

    def update_weights(self, model: nn.Module) -> None:
        """Copy the weights of `model` between two tokens; returns when they are in use.

        Raises:
            SamplerError: they do not fit, or the sampler was closed; do not sample from it after that.
        """
        done: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._submit(lambda: self._renew(model, done))
        try:
            done.result(timeout=UPDATE_TIMEOUT_S)
        except TimeoutError as error:
            raise SamplerError(f"the sampler took no weights within {UPDATE_TIMEOUT_S:.0f} s") from error

    def sleep(self) -> None:
        """Give back the memory of the weights and of what is kept for requests to come, unless samples are in flight.
        The next weights wake it; a sample that is asked for before fails."""
        self._submit(self._rest)

    def wake(self) -> None:
        """There is nothing to do: `update_weights` did it."""

    def close(self) -> None:
        """End at the next token; samples in flight fail. A second call does nothing."""
        atexit.unregister(self.close)
        self._closed.set()
        self._jobs.put(None)
        self._thread.join()

    def _submit(self, job: Callable[[], None]) -> None:
        self._jobs.put(job)
        if self._closed.is_set():
            raise SamplerError("the sampler was closed")

    # From here on: the sampler's own thread.

    def _run(self) -> None:
        told = SamplerError("the sampler was closed while it sampled")
        try:
            while self._take_jobs():
                if self._decoder.rows or self._decoder.waiting:
                    self._step()
        except Exception as error:  # noqa: BLE001 - a boundary: it ends the thread, and those who wait hear of it
            told = SamplerError(f"the sampler ended: {type(error).__name__}: {error}")
            told.__cause__ = error
        self._closed.set()
        for ticket in self._tickets.values():
            ticket.fail(told)

    def _take_jobs(self) -> bool:
        """Do what was asked for, waiting where there is nothing else to do. False when told to stop."""
        deadline = 0.0 if self._decoder.rows or self._decoder.waiting else None
        while not self._closed.is_set():
            wait = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                job = self._jobs.get(block=wait != 0.0, timeout=wait)
            except queue.Empty:
                return True
            if job is None:
                break
            job()
            if deadline != 0.0:
                alone = len(self._tickets) >= self._open
                deadline = time.monotonic() + (QUIET_S if alone else GATHER_S)
        return False

    def _rest(self) -> None:
        if not self._tickets:
            self._decoder.rest()
            _free_weights(self._model)

    def _take_in(self, row: Row, ticket: _Ticket) -> None:
        if self._decoder.resting:
            ticket.fail(SamplerError("the sampler sleeps; give it weights by update_weights first"))
            return
        self._tickets[row] = ticket
        self._decoder.waiting.append(row)

    def _drop(self, row: Row) -> None:
        if self._tickets.pop(row, None) is not None:
            self._decoder.drop(row)

    def _step(self) -> None:
        decoder = self._decoder
        try:
            done = decoder.step()
        except Exception as error:  # noqa: BLE001 - a boundary: whatever breaks a step is told to all who are in it
            failed = [row for row in self._tickets if row not in decoder.waiting]
            decoder.reset()
            told = SamplerError(f"sampling {len(failed)} requests failed: {error}")
            told.__cause__ = error
            for row in failed:
                self._tickets.pop(row).fail(told)
            return
        for row in done:
            self._tickets.pop(row).answer(row.sample())

    def _renew(self, model: nn.Module, done: concurrent.futures.Future[None]) -> None:
        try:
            _allocate_weights(self._model)
            _copy_weights(model, self._model)
            self._decoder.renew()
        except Exception as error:  # noqa: BLE001 - a boundary: told to the caller, who waits in another thread
            done.set_exception(error)
        else:
            done.set_result(None)


class _Ticket:
    """Where a request's answer goes."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.future: asyncio.Future[Sample] = loop.create_future()

    def answer(self, sample: Sample) -> None:
        self._tell(lambda: self.future.set_result(sample))

    def fail(self, error: SamplerError) -> None:
        self._tell(lambda: self.future.set_exception(error))

    def _tell(self, action: Callable[[], None]) -> None:
        def unless_done() -> None:
            if not self.future.done():
                action()

        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(unless_done)


def _free_weights(model: nn.Module) -> None:
    """Leave the parameters of `model` their shapes and no memory."""
    for parameter in model.parameters():
        parameter.untyped_storage().resize_(0)


def _allocate_weights(model: nn.Module) -> None:
    """Give parameters that have no memory new memory, not yet filled."""
    for parameter in model.parameters():
        parameter.untyped_storage().resize_(parameter.numel() * parameter.element_size())


@torch.no_grad()
def _copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Give `target` the weights of `source`, its adapters merged.

    Raises:
        SamplerError: they are not of the same names and shapes; those before the first that does not fit are copied.
    """
    mine = target.state_dict()
    for name, tensor in merged_state(source):
        if name not in mine or mine[name].shape != tensor.shape:
            expected = tuple(mine[name].shape) if name in mine else "no such weight"
            raise SamplerError(
                f"the weight {name} {tuple(tensor.shape)} does not fit the sampler's model, which has {expected}; "
                "give it the model that it was made with"
            )
        mine.pop(name).copy_(tensor)
    if mine:
        raise SamplerError(f"there are no new weights for {', '.join(sorted(mine)[:3])}; give the whole model")


def _copy_buffers(source: nn.Module, target: nn.Module) -> None:
    """Give `target` the buffers of `source` in their own precision: rounded rotary frequencies turn long texts."""
    for name, buffer in source.named_buffers():
        path, _, leaf = name.rpartition(".")
        setattr(target.get_submodule(path), leaf, buffer.clone())
