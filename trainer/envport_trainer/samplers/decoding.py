"""Sampling a wave of requests with transformers: what prompts share computed once, all requests decoded together.

All requests share the keys and values of their prompts' common beginning, those of one prompt (a GRPO group) share the
rest of it, and each owns those of its own tokens, in a buffer allocated once. A step is one forward over all unfinished
requests. Nothing a request samples depends on which others are in the wave: its randomness comes from its own seed, one
uniform number a token, put through the inverse of the cumulative distribution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy
import torch
from torch import Tensor
from torch.nn import functional

from envport_trainer.errors import SamplerError
from envport_trainer.learning.packing import common_root, pack_prompts
from envport_trainer.learning.policy import output_weight
from envport_trainer.types import Sample, SampleRequest

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from transformers import PreTrainedModel

    from envport_trainer.learning.packed_attention import PackedPlan


PREFILL_TOKENS = 4096
"""Prompt tokens of one forward pass; bounds its memory."""


@dataclass(slots=True)
class _PrefillPlan:
    """The packed prompts' attention; keeps each layer's keys and values."""

    packed: PackedPlan
    kept: list[tuple[Tensor, Tensor]]
    """Key and value of each layer, (kv_heads, T, D)."""

    @property
    def longest(self) -> int:
        return self.packed.longest

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        self.kept.append((key[0], value[0]))
        return self.packed.attend(layer, query, key, value, scale)


@dataclass(slots=True)
class _Prefilled:
    """Keys and values of one layer, in fp32, so that scores and softmax are exact to fp32."""

    root: tuple[Tensor, Tensor]
    """Of the ids that all prompts share, (kv_heads, A, D)."""
    rest: tuple[Tensor, Tensor]
    """Of the rest of each prompt, (U, kv_heads, P, D), padded on the right."""


class _DecodePlan:
    """One new token for each of U x G requests: U distinct prompts with up to G requests each."""

    def __init__(self, layers: Sequence[_Prefilled], rests: Sequence[int], group: int, longest: int, new: int) -> None:
        self.layers, self.prompts, self.group, self.longest, self.step = layers, len(rests), group, longest + new, 0
        keys = layers[0].rest[0]
        self.hidden_UP = torch.arange(keys.shape[2])[None, :] >= torch.tensor(rests)[:, None]
        self.hidden_UP = self.hidden_UP.to(keys.device)
        shape = (self.prompts * group, keys.shape[1], new, keys.shape[3])
        self.own = [(torch.zeros(shape, device=keys.device), torch.zeros(shape, device=keys.device)) for _ in layers]

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """query (U x G, heads, 1, D); the new token's key and value are stored first."""
        own_k, own_v = self.own[layer]
        own_k[:, :, self.step], own_v[:, :, self.step] = key[:, :, 0].float(), value[:, :, 0].float()
        own_k, own_v = own_k[:, :, : self.step + 1], own_v[:, :, : self.step + 1]
        (root_k, root_v), (rest_k, rest_v) = self.layers[layer].root, self.layers[layer].rest
        rows, heads, _, dim = query.shape
        q = query[:, :, 0].float().mul(scale).view(rows, key.shape[1], -1, dim)  # (U x G, kv_heads, rep, D)
        of_rest = (self._by_prompt(q) @ rest_k.transpose(2, 3)).masked_fill_(
            self.hidden_UP[:, None, None, :], float("-inf")
        )
        scores = [
            torch.unflatten(q.transpose(0, 1).flatten(1, 2) @ root_k.transpose(1, 2), 1, (rows, -1)).transpose(0, 1),
            self._by_row(of_rest, q.shape[2]),
            q @ own_k.transpose(2, 3),
        ]
        p_root, p_rest, p_own = torch.split(torch.cat(scores, -1).softmax(-1), [part.shape[-1] for part in scores], -1)
        out = p_own @ own_v
        out += torch.unflatten(p_root.transpose(0, 1).flatten(1, 2) @ root_v, 1, (rows, -1)).transpose(0, 1)
        out += self._by_row(self._by_prompt(p_rest) @ rest_v, q.shape[2])
        return out.reshape(rows, 1, heads, dim).to(query.dtype)

    def keep(self, rows: Tensor) -> None:
        """Go on with `rows` alone, each with its prompt's rest to itself; the root stays shared."""
        prompt = rows // self.group
        for layer in self.layers:
            layer.rest = (layer.rest[0][prompt], layer.rest[1][prompt])
        self.own = [(key[rows], value[rows]) for key, value in self.own]
        self.hidden_UP = self.hidden_UP[prompt]
        self.prompts, self.group = len(rows), 1

    def _by_prompt(self, x: Tensor) -> Tensor:
        """(U x G, kv_heads, rep, n) to (U, kv_heads, G x rep, n)."""
        return torch.unflatten(x, 0, (self.prompts, self.group)).transpose(1, 2).flatten(2, 3)

    def _by_row(self, x: Tensor, repeat: int) -> Tensor:
        """(U, kv_heads, G x rep, n) to (U x G, kv_heads, rep, n)."""
        return torch.unflatten(x, 2, (self.group, repeat)).transpose(1, 2).flatten(0, 1)


@dataclass(slots=True)
class _Row:
    """A request in the wave."""

    place: int
    """Its place in the caller's list."""
    request: SampleRequest
    uniforms: numpy.ndarray[tuple[int], numpy.dtype[numpy.float64]]
    sample: Sample
    done: bool = False


@torch.inference_mode()
def decode(
    model: PreTrainedModel, requests: Sequence[SampleRequest], stop_ids: frozenset[int], closed: threading.Event
) -> list[Sample]:
    """Sample every request to its stop token or its `max_new_tokens`; answers in the order of the requests.

    Raises:
        SamplerError: `closed` was set in the meantime.
    """
    groups: dict[tuple[int, ...], list[_Row]] = {}
    for place, request in enumerate(requests):
        uniforms = numpy.random.Generator(numpy.random.Philox(request.seed)).random(request.max_new_tokens)
        row = _Row(place, request, uniforms, Sample([], [], truncated=True))
        groups.setdefault(tuple(request.prompt_ids), []).append(row)
    for rows in groups.values():
        rows.sort(key=lambda row: (row.request.seed, row.place))
    ordered = sorted(groups.items(), key=lambda item: (item[1][0].request.seed, item[0]))
    wave = _Wave(model, ordered, stop_ids, closed)
    wave.run()
    rows_by_place = sorted((row for _, rows in ordered for row in rows), key=lambda row: row.place)
    return [row.sample for row in rows_by_place]


class _Wave:
    def __init__(
        self,
        model: PreTrainedModel,
        groups: Sequence[tuple[tuple[int, ...], list[_Row]]],
        stop_ids: frozenset[int],
        closed: threading.Event,
    ) -> None:
        self.closed = closed
        self.model, self.stop_ids = model, stop_ids
        self.head = output_weight(model).float()  # fp32 logits: rounding them is most of bf16's error
        self.device = model.device
        group = max(len(rows) for _, rows in groups)
        self.rows = [row for _, rows in groups for row in [*rows, *[None] * (group - len(rows))]]
        prompts = [prompt for prompt, _ in groups]
        self.positions_B = torch.tensor([len(prompt) for prompt in prompts]).repeat_interleave(group)
        layers, hidden = self._prefill(prompts)
        self.hidden_B = hidden.repeat_interleave(group, 0)
        rests = [len(prompt) - layers[0].root[0].shape[1] for prompt in prompts]
        longest = max(len(prompt) for prompt in prompts)
        new = max(row.request.max_new_tokens for row in self.rows if row)
        self.plan = _DecodePlan(layers, rests, group, longest, new)

    def _prefill(self, prompts: Sequence[Sequence[int]]) -> tuple[list[_Prefilled], Tensor]:
        """Each layer's keys and values, and the last hidden state of each prompt (U, D)."""
        root = common_root(prompts)
        by_length = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))  # little padding in each part
        last: dict[int, Tensor] = {}
        rests: dict[int, list[tuple[Tensor, Tensor]]] = {}
        roots: list[tuple[Tensor, Tensor]] = []
        numbers = iter(by_length)
        for part in _chunks([prompts[number] for number in by_length], root):
            packed = pack_prompts(part, root, self.device)
            plan = _PrefillPlan(packed.plan, [])
            self._check_open()
            hidden = self._hidden(packed.input_ids, packed.position_ids, plan)[0]
            for span in packed.rests:
                number = next(numbers)
                last[number] = hidden[span[-1]]
                rests[number] = [(k[:, span.start : span.stop], v[:, span.start : span.stop]) for k, v in plan.kept]
            roots = [(k[:, :root].float(), v[:, :root].float()) for k, v in plan.kept]
        places = range(len(prompts))
        layers = [
            _Prefilled(layer_root, _padded([rests[place][layer] for place in places]))
            for layer, layer_root in enumerate(roots)
        ]
        return layers, torch.stack([last[place] for place in places])

    def _hidden(self, ids: Tensor, positions: Tensor, plan: _PrefillPlan | _DecodePlan) -> Tensor:
        out: Tensor = self.model.base_model(
            input_ids=ids.to(self.device), position_ids=positions.to(self.device), use_cache=False, plan=plan
        ).last_hidden_state
        return out

    def _check_open(self) -> None:
        if self.closed.is_set():
            raise SamplerError("the sampler was closed while it sampled")

    def run(self) -> None:
        while True:
            self._check_open()
            ids = self._choose(functional.linear(self.hidden_B.float(), self.head))
            open_rows = [place for place, row in enumerate(self.rows) if row is not None and not row.done]
            if not open_rows:
                return
            if 2 * len(open_rows) <= len(self.rows):
                ids = self._keep(open_rows, ids)
            hidden = self._hidden(ids[:, None], (self.positions_B + self.plan.step)[:, None], self.plan)
            self.hidden_B = hidden[:, 0]
            self.plan.step += 1

    def _keep(self, open_rows: list[int], ids: Tensor) -> Tensor:
        """Drop the finished rows; a wave ends with few, and each costs as much as an open one."""
        kept = torch.tensor(open_rows)
        self.plan.keep(kept.to(self.device))
        self.rows = [self.rows[place] for place in open_rows]
        self.positions_B = self.positions_B[kept]
        return ids[kept]

    def _choose(self, logits_BV: Tensor) -> Tensor:
        """The next id of every row, recorded with its logprob; finished rows get id 0 and record nothing."""
        temperature = [row.request.temperature if row and row.request.temperature else 1.0 for row in self.rows]
        logprob = logits_BV.div_(torch.tensor(temperature, device=self.device)[:, None]).log_softmax(-1)
        chosen = logprob.argmax(-1)
        if any(row and row.request.temperature for row in self.rows):
            step = len(next(row for row in self.rows if row and not row.done).sample.token_ids)
            uniform = [row.uniforms[step] if row and not row.done else 0.0 for row in self.rows]
            cumulative = logprob.exp().cumsum(-1)
            target = torch.tensor(uniform, device=self.device, dtype=torch.float32)[:, None] * cumulative[:, -1:]
            drawn = torch.searchsorted(cumulative, target, right=True)[:, 0].clamp_(max=logprob.shape[1] - 1)
            greedy = torch.tensor([row is None or not row.request.temperature for row in self.rows], device=self.device)
            chosen = torch.where(greedy, chosen, drawn)
        ids, logprobs = chosen.tolist(), logprob.gather(1, chosen[:, None])[:, 0].tolist()
        for row, token, value in zip(self.rows, ids, logprobs, strict=True):
            if row is not None and not row.done:
                row.sample.token_ids.append(token)
                row.sample.logprobs.append(value)
                stopped = token in self.stop_ids
                row.done = stopped or len(row.sample.token_ids) == row.request.max_new_tokens
                if stopped:
                    row.sample = Sample(row.sample.token_ids, row.sample.logprobs, truncated=False)
        return chosen.cpu()


def _chunks(prompts: Sequence[Sequence[int]], root: int) -> list[list[Sequence[int]]]:
    """The prompts in order, in parts of at most PREFILL_TOKENS beside the root; a longer prompt alone."""
    parts: list[list[Sequence[int]]] = []
    room = 0
    for prompt in prompts:
        if len(prompt) - root > room or not parts:
            parts.append([])
            room = PREFILL_TOKENS
        parts[-1].append(prompt)
        room -= len(prompt) - root
    return parts


def _padded(rests: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Keys and values (kv_heads, P_u, D) of each prompt to (U, kv_heads, P, D) in fp32."""
    longest = max(key.shape[1] for key, _ in rests)
    keys = [functional.pad(key.float(), (0, 0, 0, longest - key.shape[1])) for key, _ in rests]
    values = [functional.pad(value.float(), (0, 0, 0, longest - value.shape[1])) for _, value in rests]
    return torch.stack(keys), torch.stack(values)
