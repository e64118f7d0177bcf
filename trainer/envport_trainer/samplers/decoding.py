"""Sampling a wave of requests with transformers: each distinct prompt computed once, all requests decoded together.

Requests that share a prompt (a GRPO group) share its keys and values; every request owns only those of its own tokens,
in a buffer allocated once. A step is one forward over all unfinished requests. Nothing a request samples depends on
which others are in the wave: its randomness comes from its own seed, one uniform number a token, put through the
inverse of the cumulative distribution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy
import torch
from torch import Tensor
from torch.nn import functional

from envport_trainer.policy import output_weight
from envport_trainer.types import Sample, SampleRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedModel


@dataclass(slots=True)
class _PrefillPlan:
    """Causal attention over one prompt; keeps each layer's keys and values."""

    longest: int
    kept: list[tuple[Tensor, Tensor]]

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        self.kept.append((key[0], value[0]))
        repeat = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(repeat, 1), value.repeat_interleave(repeat, 1)
        out = functional.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale)
        return out.transpose(1, 2)


class _DecodePlan:
    """One new token for each of U x G requests: U distinct prompts with up to G requests each.

    Keys and values are held in fp32, so that scores and softmax are exact to fp32. Prompts shorter than the longest are
    padded on the right and hidden.
    """

    def __init__(self, prompts: Sequence[_PrefillPlan], group: int, max_new_tokens: int) -> None:
        self.longest = max(plan.longest for plan in prompts) + max_new_tokens
        self.prompts, self.group, self.step = len(prompts), group, 0
        lengths = torch.tensor([plan.longest for plan in prompts], device=prompts[0].kept[0][0].device)
        places = torch.arange(int(lengths.max()), device=lengths.device)
        self.hidden_UP = places[None, :] >= lengths[:, None]
        self.any_hidden = bool(self.hidden_UP.any())
        self.prompt = [self._pad([plan.kept[layer] for plan in prompts]) for layer in range(len(prompts[0].kept))]
        kv_heads, dim = prompts[0].kept[0][0].shape[0], prompts[0].kept[0][0].shape[2]
        shape = (self.prompts * group, kv_heads, max_new_tokens, dim)
        self.own = [
            (torch.zeros(shape, device=lengths.device), torch.zeros(shape, device=lengths.device)) for _ in self.prompt
        ]

    @staticmethod
    def _pad(layers: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        longest = max(key.shape[1] for key, _ in layers)
        keys = [functional.pad(key.float(), (0, 0, 0, longest - key.shape[1])) for key, _ in layers]
        values = [functional.pad(value.float(), (0, 0, 0, longest - value.shape[1])) for _, value in layers]
        return torch.stack(keys), torch.stack(values)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """query (U x G, heads, 1, D); the new token's key and value are stored first."""
        own_k, own_v = self.own[layer]
        own_k[:, :, self.step], own_v[:, :, self.step] = key[:, :, 0].float(), value[:, :, 0].float()
        prompt_k, prompt_v = self.prompt[layer]
        rows, heads, _, dim = query.shape
        kv_heads = key.shape[1]
        repeat = heads // kv_heads
        q = query[:, :, 0].float().view(rows, kv_heads, repeat, dim)
        by_prompt = q.view(self.prompts, self.group, kv_heads, repeat, dim).transpose(1, 2).flatten(2, 3)
        shared = by_prompt @ prompt_k.transpose(2, 3)
        if self.any_hidden:
            shared.masked_fill_(self.hidden_UP[:, None, None, :], float("-inf"))
        shared = self._by_row(shared, repeat)
        own = q @ own_k[:, :, : self.step + 1].transpose(2, 3)
        p = torch.cat([shared, own], -1).mul_(scale).softmax(-1)
        p_shared, p_own = p[..., : shared.shape[-1]], p[..., shared.shape[-1] :]
        p_shared = p_shared.view(self.prompts, self.group, kv_heads, repeat, -1).transpose(1, 2).flatten(2, 3)
        out = self._by_row(p_shared @ prompt_v, repeat) + p_own @ own_v[:, :, : self.step + 1]
        return out.view(rows, 1, heads, dim).to(query.dtype)

    def _by_row(self, x: Tensor, repeat: int) -> Tensor:
        """(U, kv_heads, G x rep, n) to (U x G, kv_heads, rep, n)."""
        return x.view(*x.shape[:2], self.group, repeat, x.shape[3]).transpose(1, 2).flatten(0, 1)


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
def decode(model: PreTrainedModel, requests: Sequence[SampleRequest], stop_ids: frozenset[int]) -> list[Sample]:
    """Sample every request to its stop token or its `max_new_tokens`; answers in the order of the requests."""
    groups: dict[tuple[int, ...], list[_Row]] = {}
    for place, request in enumerate(requests):
        uniforms = numpy.random.Generator(numpy.random.Philox(request.seed)).random(request.max_new_tokens)
        row = _Row(place, request, uniforms, Sample([], [], truncated=True))
        groups.setdefault(tuple(request.prompt_ids), []).append(row)
    for rows in groups.values():
        rows.sort(key=lambda row: (row.request.seed, row.place))
    ordered = sorted(groups.items(), key=lambda item: (item[1][0].request.seed, item[0]))
    wave = _Wave(model, ordered, stop_ids)
    wave.run()
    rows_by_place = sorted((row for _, rows in ordered for row in rows), key=lambda row: row.place)
    return [row.sample for row in rows_by_place]


class _Wave:
    def __init__(
        self, model: PreTrainedModel, groups: Sequence[tuple[tuple[int, ...], list[_Row]]], stop_ids: frozenset[int]
    ) -> None:
        self.model, self.stop_ids = model, stop_ids
        self.head = output_weight(model)
        self.device = model.device
        group = max(len(rows) for _, rows in groups)
        self.rows: list[_Row | None] = []
        prefills: list[_PrefillPlan] = []
        first: list[Tensor] = []
        for prompt, rows in groups:
            plan = _PrefillPlan(len(prompt), [])
            hidden = self._hidden(torch.tensor([prompt]), torch.arange(len(prompt))[None], plan)[:, -1]
            first.append(hidden.expand(group, -1))
            prefills.append(plan)
            self.rows += rows + [None] * (group - len(rows))
        self.hidden_B = torch.cat(first)
        self.positions_B = torch.tensor([len(prompt) for prompt, _ in groups]).repeat_interleave(group)
        self.plan = _DecodePlan(prefills, group, max(r.request.max_new_tokens for r in self.rows if r))

    def _hidden(self, ids: Tensor, positions: Tensor, plan: _PrefillPlan | _DecodePlan) -> Tensor:
        out: Tensor = self.model.base_model(
            input_ids=ids.to(self.device), position_ids=positions.to(self.device), use_cache=False, plan=plan
        ).last_hidden_state
        return out

    def run(self) -> None:
        while True:
            ids = self._choose(functional.linear(self.hidden_B, self.head).float())
            if all(row is None or row.done for row in self.rows):
                return
            hidden = self._hidden(ids[:, None], (self.positions_B + self.plan.step)[:, None], self.plan)
            self.hidden_B = hidden[:, 0]
            self.plan.step += 1

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
