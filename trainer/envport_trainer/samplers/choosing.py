"""The next token of each request, from its last hidden state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from envport_trainer.learning.logits import logits
from envport_trainer.samplers.block_attention import LEAST_ROWS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from torch import Tensor

    from envport_trainer.samplers.rows import Row


def choose(rows: Sequence[Row], hidden_BD: Tensor, head_VD: Tensor, stop_ids: Collection[int]) -> None:
    """Append a token to every row, with its logprob at the row's temperature.

    fp32 logits; one uniform number put through the inverse of the cumulative distribution. Temperature 0 takes the
    likeliest token and records its logprob at temperature 1.
    """
    hidden = functional.pad(hidden_BD.float(), (0, 0, 0, max(0, LEAST_ROWS - len(rows))))
    scores = logits(hidden, head_VD)[: len(rows)]
    temperature = torch.tensor([row.request.temperature or 1.0 for row in rows], device=scores.device)
    logprob = scores.div_(temperature[:, None]).log_softmax(-1)
    chosen = logprob.argmax(-1)
    if any(row.request.temperature for row in rows):
        greedy = torch.tensor([not row.request.temperature for row in rows], device=scores.device)
        uniform = torch.tensor([row.uniform() for row in rows], device=scores.device, dtype=torch.float32)
        chosen = torch.where(greedy, chosen, _drawn(logprob, uniform))
    logprobs = logprob.gather(1, chosen[:, None])[:, 0].tolist()
    for row, token, value in zip(rows, chosen.tolist(), logprobs, strict=True):
        row.append(token, value, stop_ids)


def _drawn(logprob_BV: Tensor, uniform_B: Tensor) -> Tensor:
    cumulative = logprob_BV.exp()
    torch.cumsum(cumulative, -1, out=cumulative)
    target = uniform_B[:, None] * cumulative[:, -1:]
    drawn = torch.searchsorted(cumulative, target, right=True)[:, 0]
    return drawn.clamp_(max=logprob_BV.shape[1] - 1)
