"""Continuous batching: steps of decoding over all requests that are being sampled, which join and leave between two.

One step is one forward pass over the last token of each running request and the prompts of newcomers, after which each
has one token more. Keys and values of what requests begin with are computed once and found again by their ids: those
of a group's prompt, of the beginning that all prompts have in common, and of a conversation's earlier turns.

Nothing a request samples depends on the others, nor on when it came: its randomness comes from its own seed, and each
token's result has, on one thread, the same bits in any company (see `block_attention`); on several it may differ by
rounding.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from envport_trainer.learning.policy import output_weight
from envport_trainer.samplers.block_attention import LEAST_ROWS, RunningRows, Segment, StepPlan, in_order
from envport_trainer.samplers.choosing import choose
from envport_trainer.samplers.prefixes import BLOCK, Piece, PrefixIndex, Stem, block_names
from envport_trainer.samplers.rows import Lanes

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from transformers import PreTrainedModel

    from envport_trainer.samplers.rows import Row

PREFILL_TOKENS = 4096
"""Prompt tokens of one step, but for a single longer prompt; bounds its memory and how long it holds up the others."""
LIVE_TOKENS = 2**16
"""Tokens that the requests in hand may come to have for themselves. At 46 kB a token (fp32 keys and values of
SmolLM2-135M) they take 3 GB, and up to twice that with the spare room of their lanes. A longer request runs alone."""
CACHED_TOKENS = 2**15
"""Tokens whose keys and values are kept for requests to come: 512 of each of 64 conversations, 1.5 GB at 46 kB."""


class Decoder:
    """The requests in hand and what is stored for them; used by one thread."""

    def __init__(self, model: PreTrainedModel, stop_ids: Collection[int]) -> None:
        self.model, self.stop_ids = model, stop_ids
        self.waiting: deque[Row] = deque()
        self.rows: list[Row] = []
        self.version = 0
        self._reserved: dict[Row, int] = {}
        self.renew()
        self.reset()

    def renew(self) -> None:
        """The model has new weights: the running requests go on with the keys and values that they have, and new ones
        begin with none of the old."""
        self.version += 1
        # fp32 logits: rounding them is most of bf16's error
        self.head: Tensor | None = output_weight(self.model).detach().float()
        self.index = PrefixIndex(CACHED_TOKENS // BLOCK)

    def rest(self) -> None:
        """Hold nothing until `renew`."""
        self.reset()
        self.head = None

    @property
    def resting(self) -> bool:
        """Whether no token can be sampled before `renew`."""
        return self.head is None

    def reset(self) -> None:
        """Forget the running requests and all that is stored; those that wait stay."""
        self.rows = []
        self._reserved.clear()
        self.lanes = Lanes()
        self.index.clear()
        self._running: RunningRows | None = None
        self._users: Counter[bytes] = Counter()
        """Running requests by the names of their prompts' blocks."""

    @torch.inference_mode()
    def drop(self, row: Row) -> None:
        """Nobody waits for `row` any more."""
        if row in self._reserved:
            self._leave(row)
        elif row in self.waiting:
            self.waiting.remove(row)

    @torch.inference_mode()
    def step(self) -> list[Row]:
        """Take in newcomers, sample one token for each request, and give back those that are done."""
        assert self.head is not None  # nothing is taken in while the decoder rests
        newcomers, segments = self._admit()
        running = self._arranged()
        plan = StepPlan(running, list(segments.values()), longest=0)
        hidden = self._forward(running, plan, segments)
        ends = [segments[row.prompt].places[-1] for row in newcomers]
        if newcomers:
            self._settle(newcomers, plan, segments)
        running.advance()
        rows = [*running.rows, *newcomers]
        places = torch.tensor([*range(len(running.rows)), *ends], device=hidden.device)
        choose(rows, hidden[places], self.head, self.stop_ids)
        done = [row for row in rows if row.done]
        for row in done:
            self._publish(row)
            self._leave(row)
        self.index.shrink()
        return done

    def _admit(self) -> tuple[list[Row], dict[tuple[int, ...], Segment]]:
        """Requests in the order in which they came, as long as there is room, and what of their prompts is to be
        computed. The first that has no room holds up those behind it, so that none waits for ever."""
        newcomers: list[Row] = []
        segments: dict[tuple[int, ...], Segment] = {}
        begin = end = len(self.rows)
        while self.waiting:
            row = self.waiting[0]
            known = self.index.match(row.names)
            start = BLOCK * _blocks(known)
            own = len(row.prompt) + row.request.max_new_tokens - BLOCK * self._shared_blocks(row, others=1)
            work = 0 if row.prompt in segments else len(row.prompt) - start
            full = self._reserved and sum(self._reserved.values()) + own > LIVE_TOKENS
            if full or (newcomers and end - begin + work > PREFILL_TOKENS):
                break
            self.waiting.popleft()
            if work:
                stem = Stem(row.names[start // BLOCK :], None)
                segments[row.prompt] = Segment(known, start, range(end, end + work), stem)
                end += work
                if stem.names:
                    self.index.add(stem)
            row.version = self.version
            self._reserved[row] = own
            self._users.update(row.names)
            newcomers.append(row)
        return newcomers, segments

    def _shared_blocks(self, row: Row, others: int) -> int:
        """Leading blocks of the prompt that at least `others` of the requests in hand begin with."""
        names = row.names
        return next((place for place, name in enumerate(names) if self._users[name] < others), len(names))

    def _arranged(self) -> RunningRows:
        """The running requests, in lanes that have room for one token more."""
        if self.lanes.make_room(self.rows) or self._running is None:
            self._running = RunningRows(self.rows, self.lanes.used(), self.model.device)
        return self._running

    def _forward(self, running: RunningRows, plan: StepPlan, segments: dict[tuple[int, ...], Segment]) -> Tensor:
        """The last hidden state of each token of the step's row (T, D)."""
        ids = [row.token_ids[-1] for row in running.rows]
        positions = [row.position for row in running.rows]
        for prompt, segment in segments.items():
            ids += prompt[segment.start :]
            positions += range(segment.start, len(prompt))
        fill = [0] * max(0, LEAST_ROWS - len(ids))
        plan.longest = max(positions) + 1
        device = self.model.device
        out: Tensor = self.model.base_model(
            input_ids=torch.tensor([ids + fill], device=device),
            position_ids=torch.tensor([positions + fill], device=device),
            use_cache=False,
            plan=plan,
        ).last_hidden_state
        return out[0]

    def _settle(self, newcomers: Sequence[Row], plan: StepPlan, segments: dict[tuple[int, ...], Segment]) -> None:
        """Store what was computed of the newcomers' prompts: what several begin with once, the rest for each."""
        kept = torch.stack([torch.stack(of_layer) for of_layer in plan.kept])  # (layers, 2, kv_heads, T, D)
        for segment in segments.values():
            begin = segment.places.start
            segment.stem.kv = kept[:, :, :, begin : begin + BLOCK * len(segment.stem.names)].clone()
        alone: dict[Row, list[Piece]] = {}
        for row in newcomers:
            segment = segments[row.prompt]
            pieces = [*segment.before, Piece(segment.stem, 0, len(segment.stem.names))]
            row.shared, alone[row] = _split(pieces, self._shared_blocks(row, others=2))
        ordered, owns = in_order(newcomers), list[Tensor]()
        for row in ordered:
            segment = segments[row.prompt]
            rest = kept[:, :, :, segment.places.start + BLOCK * len(segment.stem.names) : segment.places.stop]
            parts = [*(piece.kv for piece in alone[row]), rest]
            owns.append(torch.cat(parts, 3))
        self.lanes.put(ordered, owns)
        self.rows += ordered
        self._running = None

    def _publish(self, row: Row) -> None:
        """Let a later turn begin with what this one has computed."""
        known = BLOCK * len(row.names)
        ids = [*row.prompt, *row.token_ids][known : row.position]
        names = block_names(ids, row.names[-1] if row.names else b"")
        if names and row.version == self.version:
            first = known - row.own_start
            own = row.lane.own(row, first, first + BLOCK * len(names))
            self.index.add(Stem(names, own.clone()))

    def _leave(self, row: Row) -> None:
        row.lane.drop(row)
        self.rows.remove(row)
        self._users -= Counter(row.names)
        del self._reserved[row]
        self._running = None


def _blocks(pieces: Sequence[Piece]) -> int:
    return sum(piece.end - piece.first for piece in pieces)


def _split(pieces: Sequence[Piece], blocks: int) -> tuple[list[Piece], list[Piece]]:
    """The first `blocks` blocks of the pieces, and the others."""
    before: list[Piece] = []
    after: list[Piece] = []
    for piece in pieces:
        cut = min(piece.end, piece.first + max(0, blocks - _blocks(before)))
        if cut > piece.first:
            before.append(Piece(piece.stem, piece.first, cut))
        if cut < piece.end:
            after.append(Piece(piece.stem, cut, piece.end))
    return before, after
