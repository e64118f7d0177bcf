"""The decoder layers of the policy under `torch.compile`, for the update alone.

A layer becomes one graph that all layers of its kind run, of any number of packed tokens: its weights are inputs, and
the pack's axis is marked as one that changes. Embedding, last norm and head stay as they are. Layers are compiled only
under the plan of an update (`TensorPlan`); under any other, such as a sampler's, the same module runs as it always did.
A module is changed by its class alone, so weights keep their names and a deep copy runs its own.
"""

from __future__ import annotations

import logging
import time
from functools import cache
from subprocess import CalledProcessError
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers.modeling_layers import GradientCheckpointingLayer

from envport_trainer.algorithm.batch import TrainingRow
from envport_trainer.errors import ModelError
from envport_trainer.learning.adapters import ordinary
from envport_trainer.learning.packing import pack
from envport_trainer.learning.traced_attention import TensorPlan
from envport_trainer.types import TokenRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn
    from transformers import PreTrainedModel

    from envport_trainer.learning.learner import Learner
    from envport_trainer.learning.packing import PackedBatch

logger = logging.getLogger(__name__)

WARM_UP_TOKENS = 512
"""From about this number on the compiler divides its loops between threads; it looks at the first pack alone."""


def compile_layers(model: PreTrainedModel) -> None:
    """Have the decoder layers of `model` compiled when they first run under a `TensorPlan`.

    Raises:
        ModelError: the architecture has no layers that are known as such.
    """
    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not layers:
        raise ModelError(f"{type(model).__name__} has no layers to compile; set compile to false")
    for layer in layers:
        layer.__class__ = _compiled_class(type(layer))  # type: ignore[arg-type]  # a class is hashable


def warm_up(learner: Learner) -> float:
    """Compile what updates will need, by one pass forward and backward over made tokens; gives the seconds it took.

    No weight changes, no gradient stays, and no random number is drawn.

    Raises:
        ModelError: the layers cannot be compiled.
    """
    from torch._dynamo.exc import TorchDynamoException

    began = time.perf_counter()
    policy = learner.policy
    batch = _made_batch(learner)
    try:
        policy.logprobs(batch, 1.0).sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        if learner.reference is not None:
            learner.reference(batch, 1.0)
    except (TorchDynamoException, CalledProcessError) as error:
        name = type(ordinary(policy.model)).__name__
        raise ModelError(
            f"{name} has layers that do not compile ({_first_line(error)}); set compile to false"
        ) from error
    finally:
        learner.optimizer.zero_grad(set_to_none=True)
    return time.perf_counter() - began


@cache
def _compiled_class(kind: type[nn.Module]) -> type[nn.Module]:
    """`kind` with a forward that is compiled under the plan of an update."""
    plain: Callable[..., Any] = kind.forward
    compiled = _Compiled(plain, kind.__name__)

    def forward(self: nn.Module, hidden_states: Tensor, *args: Any, **named: Any) -> Any:
        under_update = isinstance(named.get("plan"), TensorPlan)
        return (compiled if under_update else plain)(self, hidden_states, *args, **named)

    return type(f"Compiled{kind.__name__}", (kind,), {"forward": forward, "__module__": __name__})


class _Compiled:
    """A layer's forward, compiled at most as often as torch allows (`torch._dynamo.config.recompile_limit`)."""

    def __init__(self, forward: Callable[..., Any], name: str) -> None:
        self._run = torch.compile(forward, fullgraph=True)
        self._name = name
        self._at_limit = False

    def __call__(self, layer: nn.Module, hidden_states: Tensor, *args: Any, **named: Any) -> Any:
        from torch._dynamo.exc import FailOnRecompileLimitHit

        _mark_tokens(hidden_states, [*args, *named.values()])
        if not self._at_limit:
            try:
                return self._run(layer, hidden_states, *args, **named)
            except FailOnRecompileLimitHit:
                self._at_limit = True
                logger.warning(
                    "the layers %s were compiled as often as is allowed, and are not compiled again: what no graph "
                    "fits now runs as without compile, at its speed; TORCH_LOGS=recompiles says why, and compile = "
                    "false spares the attempts",
                    self._name,
                )
        with torch.compiler.set_stance("eager_on_recompile"):
            return self._run(layer, hidden_states, *args, **named)


def _mark_tokens(hidden_states: Tensor, given: list[Any]) -> None:
    """Tell the compiler which axes have another length in every pack: the tokens', and those of the plan."""
    from torch._dynamo import maybe_mark_dynamic

    tokens = hidden_states.shape[1]
    for value in (hidden_states, *given):
        if isinstance(value, TensorPlan):
            for tensor in value.tensors():
                maybe_mark_dynamic(tensor, 0)
            continue
        for tensor in value if isinstance(value, tuple) else (value,):
            if isinstance(tensor, Tensor) and tensor.dim() > 1 and tensor.shape[1] == tokens:
                maybe_mark_dynamic(tensor, 1)


def _made_batch(learner: Learner) -> PackedBatch:
    """Prompts with completions of unlike lengths, so that no two lengths of the pack are equal by chance."""
    policy, config = learner.policy, learner.config
    embeddings: Any = ordinary(policy.model).get_input_embeddings()
    vocabulary: int = embeddings.weight.shape[0]
    longest = min(48, config.max_tokens)
    rows: list[TrainingRow] = []
    packed = 0
    while len(rows) < 3 or packed < min(WARM_UP_TOKENS, config.micro_batch_tokens):
        group, length = len(rows) // 2, max(3, longest - len(rows) % 5)
        ids = [(7 * group + place) % vocabulary for place in range(length)]
        prompt = max(1, length // 4)
        mask = [place >= prompt for place in range(length)]
        row = TokenRow(ids, mask, [0.0] * length, prompt)
        rows.append(TrainingRow(row, [1.0] * length, group, len(rows), 0))
        packed += length
    return pack(rows, 10 * packed, policy.model.device)[0]


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
