"""Sampling by a `vllm serve` process: token ids in and out over HTTP, and new weights from a folder or by broadcast.

For files the server must be able to read the output folder of the run. It is started by the user, with
`--logprobs-mode processed_logprobs`, and

  - for whole models, with VLLM_SERVER_DEV_MODE=1, which offers `/collective_rpc`: the weights are loaded between two
    steps of its engine;
  - for adapters, with `--enable-lora` and VLLM_ALLOW_RUNTIME_LORA_UPDATING=1: each version is loaded under a name of
    its own, since an adapter that is loaded again under its old name meets the keys and values of the old one. Without
    that they are merged and sent as a whole model;
  - for weights by broadcast, with VLLM_SERVER_DEV_MODE=1 and the receiver of `vllm_receiver.py` in its workers;
    adapters are merged on the way.

Samples in flight go on, with the new weights and the keys and values that they have, or with the adapter that they
began with. The prefix cache keeps versions apart by `cache_salt`, or by the adapter's name.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

from envport_trainer.errors import SamplerError
from envport_trainer.learning.adapters import is_adapted, merged_state
from envport_trainer.samplers.vllm_broadcast import WeightBroadcast
from envport_trainer.samplers.vllm_files import remove_folder, write_adapter, write_weights
from envport_trainer.samplers.vllm_http import VllmHttp, shown
from envport_trainer.samplers.vllm_server_checks import check_server, read
from envport_trainer.types import Sample, SampleRequest

if TYPE_CHECKING:
    from collections.abc import Collection
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    import torch
    from torch import nn

_ANSWER_TIMEOUT_S = 1800.0
"""No turn takes this long; a server that hangs must not hang the run."""
_UPDATE_TIMEOUT_S = 600.0
_LEAVE_TIMEOUT_S = 5.0
"""Of the end of a run, which must not wait long for a server that may be what ended it."""
_IMPOSSIBLE = -9999.0
"""What vLLM writes for a logprob of minus infinity, which no sampled token has."""


class VllmServerSampler:
    """A `Sampler` on the vLLM server at `url`. `folder` is for weights on their way, and is emptied.

    `model` chooses among several that the server has; `token` is its API key. `weights` says how it gets new ones.

    Raises:
        SamplerError: the server is away, or is not as a run needs it.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str,
        stop_ids: Collection[int],
        folder: Path,
        max_tokens: int,
        dtype: torch.dtype,
        token: str | None = None,
        weights: Literal["files", "broadcast"] = "files",
    ) -> None:
        self._stop_ids, self._max_tokens, self._dtype = sorted(stop_ids), max_tokens, dtype
        self._folder = folder.resolve()
        remove_folder(self._folder)
        self._run = uuid.uuid4().hex[:12]
        self._version = 0
        self._salt = f"{self._run} 0"
        self._adapter: str | None = None
        self._in_flight: Counter[str] = Counter()
        """Samples by the model or adapter that they asked for."""
        self._leaving: list[tuple[str, Path]] = []
        self._failure: SamplerError | None = None
        self._http = VllmHttp(url, token=token)
        try:
            self._server = self._http.wait_for(check_server(self._http, model, max_tokens, self._stop_ids[:1]))
            self._broadcast = WeightBroadcast(self._http) if weights == "broadcast" else None
        except BaseException:
            self._http.close()
            raise

    async def sample(self, request: SampleRequest) -> Sample:
        """Sample one completion; the server batches those under way.

        Raises:
            SamplerError: the prompt is empty or too long, the server is gone or answers nonsense, an update failed, or
                the sampler was closed.
        """
        if self._failure is not None:
            raise SamplerError(str(self._failure)) from self._failure
        room = self._max_tokens - len(request.prompt_ids)
        if not request.prompt_ids or room < 1:
            raise SamplerError(
                f"the prompt has {len(request.prompt_ids)} tokens; expected 1 to {self._max_tokens - 1}, "
                "which leaves room for an answer within max_tokens"
            )
        return await self._http.here(self._sample(request, min(room, request.max_new_tokens)))

    def rollout(self) -> AbstractAsyncContextManager[None]:
        """Nothing to hold open: requests join the running batch at any time."""
        return contextlib.nullcontext()

    def update_weights(self, model: nn.Module) -> None:
        """Have the server take over the weights of `model`, which is not changed. To be called from one thread.

        Raises:
            SamplerError: the server does not take them. Nothing can be sampled after that: its weights are unknown.
        """
        # A prompt that comes while the weights change is of neither version: nobody else finds its keys and values.
        self._salt = f"{self._run} {self._version} to {self._version + 1}"
        try:
            if self._broadcast is not None:
                self._broadcast.send(merged_state(model), self._dtype, next(model.parameters()).device)
                self._http.wait_for(self._reset_prefix_cache())
            elif is_adapted(model) and self._server.loads_adapters:
                self._send_adapter(model)
            else:
                self._send_weights(model)
        except BaseException as error:
            broken_off = SamplerError(f"an update of the sampler's weights was broken off ({type(error).__name__})")
            self._failure = error if isinstance(error, SamplerError) else broken_off
            raise
        self._version += 1
        self._salt = f"{self._run} {self._version}"

    def sleep(self) -> None:
        """The server's memory is its own."""

    def wake(self) -> None:
        """There is nothing to do."""

    def close(self) -> None:
        """Unload the adapters, as far as the server lets that be done in seconds, end the samples in flight and remove
        what was written. The server goes on. A second call does nothing."""
        with contextlib.suppress(Exception):  # what ended the run is what is told
            self._http.wait_for(self._unload_all())
        if self._broadcast is not None:
            with contextlib.suppress(Exception):  # a group that fails to close is given up like one that died
                self._broadcast.close()
        self._http.close()
        remove_folder(self._folder)

    def _send_weights(self, model: nn.Module) -> None:
        if not self._server.reloads:
            raise SamplerError(
                f"the vLLM server at {self._http.url} takes no new weights; start it with VLLM_SERVER_DEV_MODE=1 in "
                "its environment, or train adapters and start it with --enable-lora and "
                "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1"
            )
        place = self._folder / f"v{self._version + 1:06}"
        write_weights(merged_state(model), place, self._dtype)
        self._http.wait_for(self._reload(place))
        remove_folder(place)

    def _send_adapter(self, model: nn.Module) -> None:
        name = f"pol-{self._run}-v{self._version + 1:06}"
        write_adapter(model, self._folder / name)
        self._http.wait_for(self._load_adapter(name, self._folder / name))

    # From here on: the thread of the connections.

    async def _sample(self, request: SampleRequest, max_new_tokens: int) -> Sample:
        name = self._adapter or self._server.model
        self._in_flight[name] += 1
        try:
            body = self._body(name, request, max_new_tokens)
            answer = await read(self._http, "POST", "/v1/completions", body, timeout_s=_ANSWER_TIMEOUT_S)
        finally:
            self._in_flight[name] -= 1
        return _read_sample(answer, self._http.url)

    def _body(self, name: str, request: SampleRequest, max_new_tokens: int) -> dict[str, Any]:
        return {
            "model": name,
            "prompt": list(request.prompt_ids),
            "max_tokens": max_new_tokens,
            "temperature": request.temperature,
            "seed": request.seed,
            "stop_token_ids": self._stop_ids,
            "ignore_eos": True,
            "logprobs": 0,
            "return_token_ids": True,
            "return_tokens_as_token_ids": True,
            "cache_salt": self._salt,
            # Said outright: a server takes what is not said from the model's own generation settings.
            "top_p": 1.0,
            "top_k": 0,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
        }

    async def _reload(self, place: Path) -> None:
        body = {"method": "reload_weights", "kwargs": {"weights_path": str(place)}}
        answer = await self._http.ask("POST", "/collective_rpc", body, timeout_s=_UPDATE_TIMEOUT_S, repeat_errors=False)
        if not answer.is_success:
            raise SamplerError(
                f"the vLLM server at {self._http.url} did not load {place}: HTTP {answer.status_code}: "
                f"{shown(answer)}; can it read that folder?"
            )
        await self._reset_prefix_cache()

    async def _reset_prefix_cache(self) -> None:
        """Refused while samples are in flight. It frees memory; what keeps prompts apart is the salt."""
        await self._http.ask("POST", "/reset_prefix_cache", timeout_s=_UPDATE_TIMEOUT_S)

    async def _load_adapter(self, name: str, place: Path) -> None:
        body = {"lora_name": name, "lora_path": str(place)}
        answer = await self._http.ask(
            "POST", "/v1/load_lora_adapter", body, timeout_s=_UPDATE_TIMEOUT_S, repeat_errors=False
        )
        if not answer.is_success:
            raise SamplerError(
                f"the vLLM server at {self._http.url} did not load the adapter {place}: HTTP {answer.status_code}: "
                f"{shown(answer)}; can it read that folder, and is its --max-lora-rank high enough?"
            )
        if self._adapter is not None:
            self._leaving.append((self._adapter, self._folder / self._adapter))
        self._adapter = name
        await self._unload_left()

    async def _unload_left(self) -> None:
        """Earlier adapters that no sample uses any more."""
        for name, place in [item for item in self._leaving if not self._in_flight[item[0]]]:
            await self._http.ask("POST", "/v1/unload_lora_adapter", {"lora_name": name}, timeout_s=_UPDATE_TIMEOUT_S)
            self._leaving.remove((name, place))
            remove_folder(place)

    async def _unload_all(self) -> None:
        """The adapters that the server holds for this run."""
        names = [name for name, _ in self._leaving] + ([self._adapter] if self._adapter is not None else [])
        async with asyncio.timeout(_LEAVE_TIMEOUT_S):
            for name in names:
                with contextlib.suppress(SamplerError):
                    await self._http.ask(
                        "POST",
                        "/v1/unload_lora_adapter",
                        {"lora_name": name},
                        timeout_s=_UPDATE_TIMEOUT_S,
                        repeat_errors=False,
                    )


def _read_sample(answer: Any, url: str) -> Sample:
    """The sampled ids with their logprobs, NaN where the server has none.

    Raises:
        SamplerError: the answer has no ids, or not a logprob for each.
    """
    try:
        choice = answer["choices"][0]
        ids = [int(token) for token in choice["token_ids"]]
        logprobs = [_logprob(value) for value in choice["logprobs"]["token_logprobs"]]
        truncated = choice["finish_reason"] == "length"
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise SamplerError(
            f"the vLLM server at {url} answered without token ids or logprobs ({type(error).__name__}: {error}); "
            "vLLM 0.25 to 0.33 gives both"
        ) from error
    if not ids or len(ids) != len(logprobs):
        raise SamplerError(f"the vLLM server at {url} gave {len(ids)} token ids and {len(logprobs)} logprobs")
    return Sample(ids, logprobs, truncated)


def _logprob(value: float | None) -> float:
    return math.nan if value is None or value <= _IMPOSSIBLE else float(value)
