"""Each optimizer takes AdamW's step, and goes on from its saved state as if it had never stopped."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch
from envport_trainer.config import TrainConfig
from envport_trainer.errors import ConfigError
from envport_trainer.learning.optimizers import make_optimizer

if TYPE_CHECKING:
    from torch import Tensor

LR, BETAS, DECAY = 1e-2, (0.8, 0.95), 0.1


def config(optimizer: str) -> TrainConfig:
    values: dict[str, Any] = {"lr": LR, "betas": BETAS, "weight_decay": DECAY, "optimizer": optimizer}
    return TrainConfig.model_validate({"envs": [{"url": "http://127.0.0.1:1"}], "model": "m", **values})


def start() -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.randn(96, 64, generator=torch.Generator().manual_seed(0)))


def gradients(count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(96, 64, generator=generator) for _ in range(count)]


def adamw_by_hand(weight: Tensor, grads: list[Tensor]) -> Tensor:
    """Algorithm 2 of 1711.05101 with a constant schedule."""
    m, v = torch.zeros_like(weight), torch.zeros_like(weight)
    for t, g in enumerate(grads, start=1):
        m = BETAS[0] * m + (1 - BETAS[0]) * g
        v = BETAS[1] * v + (1 - BETAS[1]) * g * g
        step = (m / (1 - BETAS[0] ** t)) / ((v / (1 - BETAS[1] ** t)).sqrt() + 1e-8)
        weight = weight - LR * (step + DECAY * weight)
    return weight


def run(optimizer: torch.optim.Optimizer, weight: torch.nn.Parameter, grads: list[Tensor]) -> None:
    for grad in grads:
        weight.grad = grad.clone()
        optimizer.step()


@pytest.mark.parametrize(("name", "apart"), [("adamw", 1e-6), ("adamw8bit", 1e-2)])
def test_steps_are_adamw_s(name: str, apart: float) -> None:
    weight = start()
    expected = adamw_by_hand(weight.detach(), gradients(4))
    moved = (expected - weight.detach()).norm()
    run(make_optimizer([weight], config(name)), weight, gradients(4))
    assert (weight.detach() - expected).norm() / moved < apart * 5


@pytest.mark.parametrize("name", ["adamw", "adamw8bit"])
def test_a_saved_state_goes_on_as_if_it_had_never_stopped(name: str) -> None:
    straight = start()
    run(make_optimizer([straight], config(name)), straight, gradients(4))

    weight = start()
    first = make_optimizer([weight], config(name))
    run(first, weight, gradients(4)[:2])
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = make_optimizer([weight], config(name))
    second.load_state_dict(torch.load(file, weights_only=True))
    run(second, weight, gradients(4)[2:])

    assert torch.equal(weight, straight)


def test_moments_of_8_bits_take_a_quarter_of_the_memory() -> None:
    def state_bytes(name: str) -> int:
        weight = start()
        optimizer = make_optimizer([weight], config(name))
        run(optimizer, weight, gradients(1))
        large = [x for x in optimizer.state[weight].values() if isinstance(x, torch.Tensor) and x.numel() == 96 * 64]
        return sum(x.nbytes for x in large)

    assert state_bytes("adamw") == 2 * 4 * 96 * 64
    assert state_bytes("adamw8bit") == 2 * 96 * 64


def test_missing_bitsandbytes_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("bitsandbytes", "bitsandbytes.optim.adamw"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=r"pip install 'envport\[bnb\]'"):
        make_optimizer([start()], config("adamw8bit"))


def test_paging_without_a_gpu_is_refused() -> None:
    with pytest.raises(ConfigError, match="no GPU to page from; take adamw8bit"):
        make_optimizer([start()], config("paged_adamw8bit"))
