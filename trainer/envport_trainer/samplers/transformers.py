"""Sampling by transformers, in waves: the default on a CPU, where it needs nothing but torch.

A wave begins when every open rollout waits for a sample, so that all of them are decoded together and what each
samples does not hang on which request came first. A rollout whose tool is slow is not waited for longer than
`GATHER_S`; it joins the next wave.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Literal

import torch
from envport_protocol.errors import EnvportError
from torch import nn

from envport_trainer.errors import SamplerError
from envport_trainer.learning.attention import use_planned_attention
from envport_trainer.learning.policy import output_weight
from envport_trainer.samplers.decoding import decode
from envport_trainer.types import Sample, SampleRequest

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from transformers import PreTrainedModel

GATHER_S = 5.0
"""Longest wait for rollouts that are busy with tools, since the last request came."""
ANSWER_TIMEOUT_S = 3600.0
"""No wave takes this long; one that hangs must not hang the run."""

_Waiting = tuple[SampleRequest, asyncio.Future[Sample]]


class TransformersSampler:
    """Holds its own copy of the weights, in `precision`; used from one event loop at a time."""

    def __init__(self, model: PreTrainedModel, stop_ids: frozenset[int], precision: Literal["bf16", "fp32"]) -> None:
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        config = type(model.config).from_dict(model.config.to_dict())
        self._model: PreTrainedModel = type(model)(config)
        self._model.to(model.device, dtype)  # pyright: ignore[reportArgumentType]  # transformers wraps torch's signature
        self._model.eval()
        _copy_buffers(model, self._model)
        use_planned_attention(self._model)
        output_weight(self._model)  # refuses a head of another kind now, not in the first wave
        self.update_weights(model)
        self._stop_ids = stop_ids
        self._waiting: list[_Waiting] = []
        self._open = 0
        self._ready = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="envport-sampler")
        self._closed = threading.Event()

    @asynccontextmanager
    async def rollout(self) -> AsyncGenerator[None]:
        """Count a rollout as open, so that a wave waits for its request."""
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1
            self._ready.set()

    async def sample(self, request: SampleRequest) -> Sample:
        """Sample one completion; waits for the wave that takes the request.

        Raises:
            SamplerError: the wave failed, took longer than `ANSWER_TIMEOUT_S`, or the sampler was closed.
        """
        future: asyncio.Future[Sample] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        self._ready.set()
        if self._loop is None or self._loop.done():
            self._loop = asyncio.create_task(self._run_waves())
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await future
        except TimeoutError as error:
            raise SamplerError(
                f"no sample within {ANSWER_TIMEOUT_S:.0f} s; lower max_new_tokens or the batch"
            ) from error

    def update_weights(self, model: nn.Module) -> None:
        """Copy the weights of `model`. Called between waves."""
        with torch.no_grad():
            for mine, theirs in zip(self._model.parameters(), model.parameters(), strict=True):
                mine.copy_(theirs)

    def close(self) -> None:
        """End the wave in hand at its next token and drop the thread."""
        self._closed.set()
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def _run_waves(self) -> None:
        while self._waiting:
            await self._gather()
            wave, self._waiting = [w for w in self._waiting if not w[1].done()], []
            if not wave:
                continue
            requests = [request for request, _ in wave]
            try:
                samples = await asyncio.get_running_loop().run_in_executor(
                    self._thread, decode, self._model, requests, self._stop_ids, self._closed
                )
            except EnvportError as error:
                self._fail(wave, error)
                continue
            except Exception as error:  # noqa: BLE001 - a boundary: whatever breaks a wave is told to all who wait for it
                self._fail(wave, SamplerError(f"sampling {len(wave)} requests failed: {error}"))
                continue
            for (_, future), sample in zip(wave, samples, strict=True):
                if not future.done():
                    future.set_result(sample)

    async def _gather(self) -> None:
        """Return when every open rollout waits, or when none has joined for `GATHER_S`."""
        while len(self._waiting) < self._open:
            self._ready.clear()
            before = len(self._waiting)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ready.wait(), GATHER_S)
            if len(self._waiting) == before and not self._ready.is_set():
                return

    @staticmethod
    def _fail(wave: list[_Waiting], error: EnvportError) -> None:
        for _, future in wave:
            if not future.done():
                future.set_exception(error)


def _copy_buffers(source: nn.Module, target: nn.Module) -> None:
    """Give `target` the buffers of `source` in their own precision: rounded rotary frequencies turn long texts."""
    for name, buffer in source.named_buffers():
        path, _, leaf = name.rpartition(".")
        setattr(target.get_submodule(path), leaf, buffer.clone())
