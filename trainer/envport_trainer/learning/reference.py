"""The model that the run began with, to which the KL term pulls back."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from envport_trainer.learning.adapters import is_adapted, without_adapters
from envport_trainer.learning.packing import PackedBatch

if TYPE_CHECKING:
    from envport_trainer.learning.policy import Policy

Reference = Callable[[PackedBatch, float], Tensor]
"""Logprobs (N,) of a packed batch's loss tokens at a temperature, without gradient."""


def initial_policy(policy: Policy) -> Reference:
    """The reference of a run whose `policy` has, as yet, the weights that it begins with.

    With adapters it is the same model with them passed over: no second copy. Without, it is a frozen copy.
    """
    if not is_adapted(policy.model):
        return frozen_copy(policy)
    plain = without_gradient(policy)

    def logprobs(batch: PackedBatch, temperature: float) -> Tensor:
        with without_adapters(policy.model):
            return plain(batch, temperature)

    return logprobs


def frozen_copy(policy: Policy) -> Reference:
    """A reference that keeps the weights which `policy` has now, whatever becomes of them.

    Where the run computes in bf16, the copy's linear layers are held in bf16, which autocast makes of the policy's each
    time: as long as the policy has the same weights, its logprobs are the reference's. Embeddings, norms and the
    language-model head stay fp32, as they are computed.
    """
    frozen = copy.copy(policy)
    frozen.model = copy.deepcopy(policy.model).requires_grad_(False)
    if policy.precision == "bf16":
        head = frozen.model.get_output_embeddings()
        for module in frozen.model.modules():
            if isinstance(module, nn.Linear) and module is not head:
                module.to(torch.bfloat16)
    return without_gradient(frozen)


def without_gradient(policy: Policy) -> Reference:
    """`policy`'s logprobs as values."""

    def logprobs(batch: PackedBatch, temperature: float) -> Tensor:
        with torch.no_grad():
            return policy.logprobs(batch, temperature)

    return logprobs
