"""The product of hidden states and the language-model head."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from envport_trainer.learning import logits as module
from envport_trainer.learning.logits import logits


def tensors(rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    noise = torch.Generator().manual_seed(rows)
    return torch.randn(rows, 96, generator=noise), torch.randn(1000, 96, generator=noise)


@pytest.mark.parametrize("rows", [1, 5, 64, 256])
def test_logits_are_the_product_in_fp32(rows: int) -> None:
    hidden, head = tensors(rows)
    exact = hidden.double() @ head.double().T
    assert float((logits(hidden, head).double() - exact).abs().max()) < 1e-4
    assert float(((hidden.bfloat16() @ head.bfloat16().T).double() - exact).abs().max()) > 1e-2


def test_no_rows_have_no_logits() -> None:
    _, head = tensors(1)
    assert logits(torch.empty(0, 96), head).shape == (0, 1000)


@pytest.mark.parametrize("missing", [AttributeError, RuntimeError, TypeError])
def test_a_torch_without_the_product_takes_its_ordinary_one(
    monkeypatch: pytest.MonkeyPatch, missing: type[Exception]
) -> None:
    def broken(*_: object) -> torch.Tensor:
        raise missing("no such operator")

    monkeypatch.setattr(torch.ops, "mkldnn", SimpleNamespace(_linear_pointwise=broken))
    module._on_cpu.cache_clear()
    hidden, head = tensors(3)
    assert torch.equal(logits(hidden, head), torch.nn.functional.linear(hidden, head))
    module._on_cpu.cache_clear()
