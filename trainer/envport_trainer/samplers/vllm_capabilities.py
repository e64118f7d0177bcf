"""Whether a vLLM can do what sampling for training needs, seen from its signatures and never from its number.

vLLM's interfaces move with nearly every release. What is asked for here was found in the sources of 0.25.0, 0.28.0,
0.32.0 and 0.33.0; a release that drops it is refused when the sampler starts, not in the middle of a run.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, NamedTuple

from envport_trainer.errors import SamplerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

ENGINE_ARGUMENTS = (
    "enable_chunked_prefill",
    "enable_sleep_mode",
    "enforce_eager",
    "generation_config",
    "kv_cache_memory_bytes",
    "logprobs_mode",
    "skip_tokenizer_init",
    "use_tqdm_on_load",
)
"""What the sampler sets and a release may rename."""
SAMPLING_ARGUMENTS = ("detokenize", "ignore_eos", "logprobs", "output_kind", "seed", "stop_token_ids")
ENGINE_METHODS = ("abort_request", "add_request", "collective_rpc", "has_unfinished_requests", "reset_prefix_cache")


class Vllm(NamedTuple):
    """The parts of an installed vLLM that the sampler uses."""

    version: str
    engine: Any
    """The class of the engine."""
    engine_arguments: Any
    """The class of its arguments."""
    sampling_params: Any
    tokens_prompt: Any
    """The typed dictionary of a prompt in token ids."""


def check_capabilities(vllm: Vllm, *, sleeps: bool) -> None:
    """Nothing, where `vllm` has all that is needed; `sleeps` asks for sleep and wake as well.

    Raises:
        SamplerError: the version, and what it lacks.
    """
    _refuse(vllm.version, _missing(vllm, sleeps=sleeps))


def check_reload(version: str, reload_weights: Callable[..., Any] | None) -> None:
    """Nothing, where the worker's `reload_weights` takes an iterator of weights.

    Raises:
        SamplerError: it does not.
    """
    known = reload_weights is not None and "weights_iterator" in _parameters(reload_weights)
    _refuse(version, [] if known else ["a worker that reloads weights from an iterator"])


def _missing(vllm: Vllm, *, sleeps: bool) -> Iterator[str]:
    yield from _lacks("the engine argument", ENGINE_ARGUMENTS, _parameters(vllm.engine_arguments))
    yield from _lacks("the sampling parameter", SAMPLING_ARGUMENTS, _parameters(vllm.sampling_params))
    yield from _lacks("the engine's method", ENGINE_METHODS, set(dir(vllm.engine)))
    if "cache_salt" not in _keys(vllm.tokens_prompt):
        yield "cache_salt in a prompt of token ids"
    if sleeps and not ("level" in _method(vllm.engine, "sleep") and "tags" in _method(vllm.engine, "wake_up")):
        yield "an engine that sleeps by level and wakes by tag"


def _lacks(what: str, names: Iterable[str], known: set[str]) -> Iterator[str]:
    return (f"{what} {name}" for name in names if name not in known)


def _method(kind: Any, name: str) -> set[str]:
    method = getattr(kind, name, None)
    return set() if method is None else _parameters(method)


def _parameters(function: Callable[..., Any]) -> set[str]:
    return set(inspect.signature(function).parameters)


def _keys(typed_dictionary: Any) -> set[str]:
    """Of a TypedDict, inherited ones included."""
    return {*typed_dictionary.__required_keys__, *typed_dictionary.__optional_keys__}


def _refuse(version: str, missing: Iterable[str]) -> None:
    if lacking := ", ".join(missing):
        raise SamplerError(
            f"vLLM {version} lacks {lacking}; versions 0.25 to 0.33 have it: pip install 'envport[vllm]', "
            "or use --sampler transformers"
        )
