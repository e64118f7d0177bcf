"""In which precision matrix products of fp32 tensors run."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from collections.abc import Generator


@contextmanager
def product_precision(precision: Literal["bf16", "fp32"]) -> Generator[None]:
    """For `bf16`, products of fp32 tensors may round their inputs while the context is open, to bf16 on a CPU and to
    tf32 on a GPU; they add up and answer in fp32. `fp32` leaves them as they are.

    What a bf16 run multiplies in fp32 are logits and attention's scores, whose inputs are of bf16 already or are in the
    sampler: rounding them changes little, rounding the answer would change much. On a CPU oneDNN then computes them in
    place of MKL; on an AMD EPYC with AVX-512 it rounds nothing and takes 0.4 of the time. The setting is the process's,
    for all threads: do not open two of different precision at once.
    """
    if precision == "fp32":
        yield
        return
    of_cpu, of_gpu = torch.backends.mkldnn.matmul, torch.backends.cuda.matmul
    before = of_cpu.fp32_precision, of_gpu.fp32_precision
    of_cpu.fp32_precision, of_gpu.fp32_precision = "bf16", "tf32"
    try:
        yield
    finally:
        of_cpu.fp32_precision, of_gpu.fp32_precision = before
