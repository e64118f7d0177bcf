"""What stands in for a model in tests of rollouts: a sampler that says what it is told to."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from envport_trainer.types import Sample, SampleRequest

from .bytewise import ids_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from envport_trainer.conversation.chat import Chat
    from torch import nn

STOP = "<|im_end|>"


class ScriptedSampler:
    """Answers with the text that `say` gives for a request and its number, a stop token after it.

    The n-th id of a sample has the logprob -n/100. Text beyond `max_new_tokens` is cut off, as by a model.
    """

    def __init__(self, chat: Chat, say: Callable[[int, SampleRequest], str]) -> None:
        self.chat, self._say = chat, say
        self.requests: list[SampleRequest] = []
        self.samples: list[Sample] = []
        self.open = 0
        """Rollouts that hold the sampler open."""

    async def sample(self, request: SampleRequest) -> Sample:
        text = self._say(len(self.requests), request)
        self.requests.append(request)
        ids = ids_of(self.chat, text + STOP)
        kept = ids[: request.max_new_tokens]
        self.samples.append(Sample(kept, [-n / 100 for n in range(1, len(kept) + 1)], truncated=len(kept) < len(ids)))
        return self.samples[-1]

    @asynccontextmanager
    async def rollout(self) -> AsyncIterator[None]:
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1

    def update_weights(self, model: nn.Module) -> None:
        """Has no weights."""

    def sleep(self) -> None:
        """Has no memory to give."""

    def wake(self) -> None:
        """Was not asleep."""

    def close(self) -> None:
        """Has nothing to free."""
