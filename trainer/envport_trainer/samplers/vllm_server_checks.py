"""What a vLLM server must be like before a run samples from it: found by asking it, not by its version."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from envport_trainer.errors import SamplerError
from envport_trainer.samplers.vllm_http import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envport_trainer.samplers.vllm_http import VllmHttp

COLD, HOT = 0.02, 2.0
"""Temperatures; vLLM takes none above 2. Logits over the one lie 100 times as far apart as over the other."""
_SPREAD = 10
"""How many times as far apart the logprobs must lie at least; those before the temperature give 1."""
_TOP = 5
_TIMEOUT_S = 60.0
_NOT_FOUND = 404


class Server(NamedTuple):
    """A server that passed the checks."""

    model: str
    """The name that requests give the model."""
    reloads: bool
    """It takes new weights from a folder."""
    loads_adapters: bool
    """It takes adapters from a folder."""


async def check_server(http: VllmHttp, model: str, max_tokens: int, prompt_ids: list[int]) -> Server:
    """What the server offers; `model` chooses among several that it serves, `prompt_ids` is any prompt.

    Raises:
        SamplerError: it serves no such model, reads fewer tokens, or gives other logprobs than those it samples by.
    """
    card = _choose(await read(http, "GET", "/v1/models"), model, http.url)
    length = card.get("max_model_len")
    if isinstance(length, int) and length < max_tokens:
        raise SamplerError(
            f"the vLLM server at {http.url} reads {length} tokens and max_tokens is {max_tokens}; "
            f"start it with --max-model-len {max_tokens}, or lower max_tokens"
        )
    name = str(card["id"])
    cold, hot = [await _top_logprobs(http, name, prompt_ids, temperature) for temperature in (COLD, HOT)]
    mass = sum(math.exp(logprob) if logprob < 1 else math.inf for logprob in cold)
    if not (abs(mass - 1) < 0.01 and _spread(cold) > _SPREAD * _spread(hot)):
        raise SamplerError(
            f"the logprobs of the vLLM server at {http.url} are not those it samples by: the {_TOP} likeliest tokens "
            f"have a probability of {mass:.4g} in all at temperature {COLD}, expected 1, and their logprobs lie "
            f"{_spread(cold):.4g} apart, at {HOT} {_spread(hot):.4g}, expected {HOT / COLD:.0f} times less; "
            "start it with --logprobs-mode processed_logprobs"
        )
    return Server(name, await _offers(http, "/collective_rpc"), await _offers(http, "/v1/load_lora_adapter"))


async def read(http: VllmHttp, method: str, path: str, body: Any = None, *, timeout_s: float = _TIMEOUT_S) -> Any:
    """The JSON that the server answers.

    Raises:
        SamplerError: it refuses, fails, or answers no JSON.
    """
    answer = await http.ask(method, path, body, timeout_s=timeout_s)
    if not answer.is_success:
        raise SamplerError(f"the vLLM server at {http.url} refused {path}: HTTP {answer.status_code}: {shown(answer)}")
    try:
        return answer.json()
    except ValueError as error:
        raise SamplerError(
            f"{http.url}{path} answered no JSON but {shown(answer)!r}; is sampler_url that of a vLLM server?"
        ) from error


def _choose(models: Any, model: str, url: str) -> Mapping[str, Any]:
    """The card of the served model: the only one, or the one of that name or folder. Adapters have a parent."""
    try:
        cards = [card for card in models["data"] if card.get("parent") is None and card["id"]]
    except (AttributeError, KeyError, TypeError) as error:
        raise SamplerError(f"{url}/v1/models is no list of models; is sampler_url that of a vLLM server?") from error
    fitting = [card for card in cards if len(cards) == 1 or model in (card["id"], card.get("root"))]
    if not fitting:
        names = ", ".join(str(card["id"]) for card in cards) or "none"
        raise SamplerError(f"the vLLM server at {url} serves {names}; expected {model}: start it on that model")
    chosen: Mapping[str, Any] = fitting[0]
    return chosen


async def _top_logprobs(http: VllmHttp, model: str, prompt_ids: list[int], temperature: float) -> list[float]:
    """Those of the likeliest tokens after a prompt, as the server tells them, the lowest first."""
    body = {
        "model": model,
        "prompt": prompt_ids,
        "max_tokens": 1,
        "temperature": temperature,
        "seed": 0,
        "logprobs": _TOP,
        "return_tokens_as_token_ids": True,
        "ignore_eos": True,
    }
    answer = await read(http, "POST", "/v1/completions", body)
    try:
        logprobs = [float(logprob) for logprob in answer["choices"][0]["logprobs"]["top_logprobs"][0].values()]
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        logprobs = []
    if len(logprobs) < _TOP:
        raise SamplerError(f"the vLLM server at {http.url} gives no logprobs; expected those of {_TOP} tokens")
    return sorted(logprobs)[-_TOP:]


def _spread(logprobs: list[float]) -> float:
    return logprobs[-1] - logprobs[0]


async def _offers(http: VllmHttp, path: str) -> bool:
    """Whether there is such a path: an empty request is refused as bad, not as unknown."""
    return (await http.ask("POST", path, {}, timeout_s=_TIMEOUT_S)).status_code != _NOT_FOUND
