"""How the losses of tokens add up to the loss of a batch: a weight for each token, the same for all of a rollout.

The weights follow from the token counts of the WHOLE optimizer batch, on all ranks, and are known before the first
backward pass. Micro-batches and ranks then only add up, and the gradient depends on neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

Aggregation = Literal["token", "sequence", "constant"]


def token_weights(
    kind: Aggregation, tokens_R: Sequence[int], *, batch_tokens: int, batch_rollouts: int, max_new_tokens: int
) -> list[float]:
    """The weight (R,) of each token of each rollout. `tokens_R` counts their loss tokens; the batch's counts include
    those of other ranks, and rollouts without a loss token.

    `token`: 1 / N (DAPO, 2503.14476, eq. 8). `sequence`: 1 / (n_r R), the mean of the rollouts' means (GRPO,
    2402.03300, eq. 3). `constant`: 1 / (R max_new_tokens), no length in it (Dr. GRPO, 2503.20783, section 3.1).
    """
    if kind == "token":
        return [1 / max(1, batch_tokens)] * len(tokens_R)
    if kind == "sequence":
        return [1 / (max(1, tokens) * max(1, batch_rollouts)) for tokens in tokens_R]
    return [1 / (max(1, batch_rollouts) * max_new_tokens)] * len(tokens_R)
