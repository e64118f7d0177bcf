"""Sampling by vLLM in this process: continuous batching, and new weights without a restart.

One thread owns the engine. Requests join the running batch between two steps of the engine, and each answer is handed
to its event loop when it is complete. The engine's log-softmax runs in `dtype` arithmetic over whatever else is in the
batch, so equal requests give answers that are equal up to rounding, not always to the bit.

New weights are loaded between two steps as well. A sample that is in flight then goes on with them and with the keys
and values that it has (in-flight updates, 2509.19128); each token's logprob is that of the weights which sampled it.
No later prompt finds those keys and values: the version of the weights is the salt of the cache.

Every import of vLLM is in this file.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import itertools
import os
import queue
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from envport_trainer.errors import SamplerError
from envport_trainer.learning.adapters import merged_state
from envport_trainer.samplers.vllm_capabilities import Vllm, check_capabilities, check_reload
from envport_trainer.types import Sample, SampleRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from contextlib import AbstractAsyncContextManager

    from torch import nn

_CPU_CACHE_BYTES = 2**30
"""KV cache on a CPU: 45,000 tokens of a 135M model. Left alone, vLLM takes half of the machine's memory."""
_PREFILL_TOKENS = 8192
"""Prompt tokens of one engine step: the prompts of a whole group at once."""
_ANSWER_TIMEOUT_S = 1800.0
"""No turn takes this long; an engine that hangs must not hang the run."""
_UPDATE_TIMEOUT_S = 600.0
_LOOK_EVERY_S = 1.0
_SLEEP_LEVEL = 2
"""Frees the weights as well: waking brings new ones, so level 1 would copy the old ones to the host for nothing."""


@dataclass(slots=True)
class _Pending:
    """A request on its way, and where its answer goes."""

    future: asyncio.Future[Sample]
    loop: asyncio.AbstractEventLoop

    def answer(self, sample: Sample) -> None:
        self._tell(self._set_result, sample)

    def fail(self, error: SamplerError) -> None:
        self._tell(self._set_error, error)

    def _tell(self, action: Callable[[Any], None], value: Sample | SamplerError) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.loop.call_soon_threadsafe(action, value)

    def _set_result(self, sample: Sample) -> None:
        if not self.future.done():
            self.future.set_result(sample)

    def _set_error(self, error: SamplerError) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class VllmSampler:
    """A `Sampler` on vLLM. `folder` is an ordinary model folder; `stop_ids` end a turn.

    Raises:
        SamplerError: vLLM is not installed, or the engine does not start.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        stop_ids: Collection[int],
        max_tokens: int = 2048,
        dtype: str = "bfloat16",
        memory_share: float = 0.4,
        cache_bytes: int | None = None,
        max_batch: int = 256,
        seed: int = 0,
    ) -> None:
        if Path(folder).exists() and not (Path(folder) / "config.json").is_file():
            raise SamplerError(
                f"vLLM reads ordinary model folders, and {folder} has no config.json; for a GGUF file use "
                "--sampler transformers, or make a folder of it with envport_trainer.models.folder.export_gguf"
            )
        self._stop_ids = sorted(stop_ids)
        self._max_tokens = max_tokens
        if cache_bytes is None and not _gpu_is_there():
            cache_bytes = _CPU_CACHE_BYTES
        self._engine = _start_engine(
            {
                "model": str(folder),
                "dtype": dtype,
                "seed": seed,
                "max_model_len": max_tokens,
                "max_num_seqs": max_batch,
                "max_num_batched_tokens": max(max_tokens, _PREFILL_TOKENS),
                # A prompt cut in two by chunked prefill rewinds its seeded generator, which a CPU generator cannot.
                "enable_chunked_prefill": _gpu_is_there(),
                "gpu_memory_utilization": memory_share,
                "kv_cache_memory_bytes": cache_bytes,
                "enforce_eager": True,
                "enable_sleep_mode": _gpu_is_there(),
                "logprobs_mode": "processed_logprobs",
                "generation_config": "vllm",
                "skip_tokenizer_init": True,
                "disable_log_stats": True,
                "use_tqdm_on_load": False,
            }
        )
        self._sleeps = _gpu_is_there()
        self._asleep = self._weights_are_gone = False
        self._version = 0
        self._numbers = itertools.count()
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._pending: dict[str, _Pending] = {}
        self._failure: SamplerError | None = None
        self._thread = threading.Thread(target=self._run, name="vllm-engine", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    async def sample(self, request: SampleRequest) -> Sample:
        """Sample one completion; calls made while others run join their batch.

        Raises:
            SamplerError: the prompt is empty or too long, the engine failed or was closed.
        """
        room = self._max_tokens - len(request.prompt_ids)
        if not request.prompt_ids or room < 1:
            raise SamplerError(
                f"the prompt has {len(request.prompt_ids)} tokens; expected 1 to {self._max_tokens - 1}, "
                "which leaves room for an answer within max_tokens"
            )
        number = str(next(self._numbers))
        loop = asyncio.get_running_loop()
        pending = _Pending(loop.create_future(), loop)
        self._submit(lambda: self._add(number, request, min(room, request.max_new_tokens), pending))
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                return await pending.future
        except TimeoutError as error:
            raise SamplerError(f"the engine gave no answer within {_ANSWER_TIMEOUT_S:.0f} s") from error
        finally:
            if pending.future.cancelled():
                self._jobs.put(lambda: self._abort(number))

    def rollout(self) -> AbstractAsyncContextManager[None]:
        """Nothing to hold open: requests join the running batch at any time."""
        return contextlib.nullcontext()

    def update_weights(self, model: nn.Module) -> None:
        """Copy the weights of `model` into the engine, adapters merged; `model` is not changed.

        Samples in flight go on with them; what the engine cached of the old ones serves no later prompt.

        Raises:
            SamplerError: the weights do not fit, or the engine failed or was closed.
        """
        self._ask(lambda: self._reload(model), _UPDATE_TIMEOUT_S)

    def sleep(self) -> None:
        """Give the GPU's memory to the trainer: weights and cache are freed. On a CPU this does nothing.

        Wake it by `update_weights` and then `wake`.

        Raises:
            SamplerError: samples are in flight, or the engine failed or was closed.
        """
        self._ask(self._fall_asleep, _UPDATE_TIMEOUT_S)

    def wake(self) -> None:
        """Take the memory of the cache back after `sleep` and `update_weights`. On a CPU this does nothing.

        Raises:
            SamplerError: the weights were not brought since `sleep`, or the engine failed or was closed.
        """
        self._ask(self._wake_up, _UPDATE_TIMEOUT_S)

    def close(self) -> None:
        """Stop the engine and free its memory; samples in flight fail. A second call does nothing."""
        atexit.unregister(self.close)
        if self._thread.is_alive():
            self._jobs.put(None)
            self._thread.join(timeout=60)

    def _ask(self, job: Callable[[], None], timeout_s: float) -> None:
        """Have the engine's thread do `job`, and wait for it. A refusal is raised here; what else `job` raises ends
        the engine."""
        done: concurrent.futures.Future[None] = concurrent.futures.Future()

        def do() -> None:
            try:
                job()
            except SamplerError as refusal:
                done.set_exception(refusal)
            except Exception as error:  # boundary: an engine with half of its weights must not sample
                done.set_exception(SamplerError(f"vLLM failed: {type(error).__name__}: {error}"))
                raise
            else:
                done.set_result(None)

        self._submit(do)
        deadline = time.monotonic() + timeout_s
        while not concurrent.futures.wait([done], _LOOK_EVERY_S).done:
            if not self._thread.is_alive():
                raise SamplerError(str(self._failure)) from self._failure
            if time.monotonic() > deadline:
                raise SamplerError(f"the engine did not do as told within {timeout_s:.0f} s; its weights are unknown")
        done.result()

    def _submit(self, job: Callable[[], None]) -> None:
        if self._failure is not None:
            raise SamplerError(str(self._failure)) from self._failure
        self._jobs.put(job)
        if not self._thread.is_alive():  # it ended between the check and the put
            raise SamplerError("the sampler was closed")

    # From here on: the engine's own thread.

    def _run(self) -> None:
        try:
            while self._take_jobs():
                if self._engine.has_unfinished_requests():
                    self._hand_out(self._engine.step())
            self._failure = SamplerError("the sampler was closed")
        except Exception as error:  # noqa: BLE001 - boundary: it ends the engine, and those who wait hear of it
            self._failure = SamplerError(f"vLLM failed: {type(error).__name__}: {error}")
            self._failure.__cause__ = error
        for pending in self._pending.values():
            pending.fail(self._failure)
        self._pending.clear()
        self._engine.engine_core.shutdown()

    def _take_jobs(self) -> bool:
        """Do what was asked for, waiting where there is nothing else to do. False when told to stop."""
        wait = not self._engine.has_unfinished_requests()
        while True:
            try:
                job = self._jobs.get(block=wait)
            except queue.Empty:
                return True
            if job is None:
                return False
            job()
            wait = False

    def _add(self, number: str, request: SampleRequest, max_new_tokens: int, pending: _Pending) -> None:
        if self._asleep:
            pending.fail(SamplerError("the engine sleeps; call update_weights and wake before sampling"))
            return
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        params = SamplingParams(
            max_tokens=max_new_tokens,
            temperature=request.temperature,
            seed=request.seed,
            stop_token_ids=self._stop_ids,
            ignore_eos=True,
            logprobs=0,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        try:
            self._engine.add_request(number, self._prompt(request), params)
        except ValueError as error:
            pending.fail(SamplerError(f"vLLM refused the request: {error}"))
            return
        self._pending[number] = pending

    def _prompt(self, request: SampleRequest) -> dict[str, Any]:
        return {"prompt_token_ids": list(request.prompt_ids), "cache_salt": f"weights {self._version}"}

    def _hand_out(self, outputs: Sequence[Any]) -> None:
        for output in outputs:
            pending = self._pending.pop(output.request_id, None) if output.finished else None
            if pending is None:
                continue
            completion = output.outputs[0]
            ids = [int(token) for token in completion.token_ids]
            logprobs = [float(at[token].logprob) for token, at in zip(ids, completion.logprobs, strict=True)]
            pending.answer(Sample(ids, logprobs, truncated=completion.finish_reason == "length"))

    def _abort(self, number: str) -> None:
        if self._pending.pop(number, None) is not None:
            self._engine.abort_request([number])

    def _reload(self, model: nn.Module) -> None:
        if self._weights_are_gone:
            self._engine.wake_up(tags=["weights"])
        self._engine.collective_rpc("reload_weights", kwargs={"weights_iterator": merged_state(model)})
        self._weights_are_gone = False
        self._version += 1
        self._engine.reset_prefix_cache()  # refused while samples are in flight; the salt keeps prompts apart

    def _fall_asleep(self) -> None:
        if self._pending:
            raise SamplerError(f"{len(self._pending)} samples are in flight; await them before the engine sleeps")
        if self._sleeps:
            self._engine.sleep(level=_SLEEP_LEVEL)
            self._asleep = self._weights_are_gone = True

    def _wake_up(self) -> None:
        if self._weights_are_gone:
            raise SamplerError("the engine's weights were freed by sleep; call update_weights before wake")
        if self._asleep:
            self._engine.wake_up(tags=["kv_cache"])
            self._asleep = False


def _gpu_is_there() -> bool:
    return torch.cuda.is_available()


def _start_engine(arguments: dict[str, Any]) -> Any:
    vllm = _import_vllm()
    check_capabilities(vllm, sleeps=arguments["enable_sleep_mode"])
    set_num_threads = torch.set_num_threads
    try:
        engine = vllm.engine.from_engine_args(vllm.engine_arguments(**arguments))
    except Exception as error:  # boundary: the engine raises anything on a model or a machine it does not like
        raise SamplerError(f"vLLM did not start on {arguments['model']}: {type(error).__name__}: {error}") from error
    finally:
        torch.set_num_threads = set_num_threads  # vLLM's CPU worker replaces it by one that does nothing
    check_reload(vllm.version, engine.collective_rpc(_reload_of)[0])
    return engine


def _import_vllm() -> Vllm:
    # vLLM reads these when it is imported; what the user has set stays.
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    try:
        import vllm
        from vllm import EngineArgs, LLMEngine, SamplingParams
        from vllm.inputs import TokensPrompt
    except ImportError as error:
        raise SamplerError(
            f"the sampler vllm needs vLLM ({error}): pip install 'envport[vllm]', or use --sampler transformers"
        ) from error
    return Vllm(str(vllm.__version__), LLMEngine, EngineArgs, SamplingParams, TokensPrompt)


def _reload_of(worker: Any) -> Callable[..., Any] | None:
    reload_weights: Callable[..., Any] | None = getattr(worker.model_runner, "reload_weights", None)
    return reload_weights
