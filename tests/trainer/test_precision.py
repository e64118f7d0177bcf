"""Matrix products of fp32 tensors in a bf16 run."""

from __future__ import annotations

import pytest
import torch
from envport_trainer.models.precision import product_precision


def tensors() -> tuple[torch.Tensor, torch.Tensor]:
    """Their product's terms are near 1: 256 of them."""
    noise = torch.Generator().manual_seed(0)
    return 1 + torch.rand(32, 256, generator=noise), 1 + torch.rand(256, 64, generator=noise)


def apart(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(((a.double() - b) / b).abs().max())


def test_a_bf16_run_may_round_inputs_and_never_the_answer():
    a, b = tensors()
    with product_precision("bf16"):
        product = a @ b
    rounded = a.bfloat16().double() @ b.bfloat16().double()
    exact = a.double() @ b.double()
    assert product.dtype == torch.float32
    assert min(apart(product, rounded), apart(product, exact)) < 3e-6
    assert apart(rounded, exact) > 1e-5
    assert apart(rounded.bfloat16(), rounded) > 1e-3


def test_an_fp32_run_rounds_nothing():
    a, b = tensors()
    with product_precision("fp32"):
        assert apart(a @ b, a.double() @ b.double()) < 1e-6


def test_products_are_exact_again_after_a_bf16_run_that_failed():
    a, b = tensors()
    with pytest.raises(RuntimeError, match="broken"), product_precision("bf16"):
        raise RuntimeError("broken")
    assert apart(a @ b, a.double() @ b.double()) < 1e-6
