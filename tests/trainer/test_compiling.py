"""Compiled layers give the gradient of plain ones, for packs of any length by one graph, and nobody else sees them."""

from __future__ import annotations

import copy
import logging
from typing import TYPE_CHECKING, Any

import pytest
import torch
from envport_trainer.errors import ConfigError, ModelError
from envport_trainer.learning.adapters import add_adapters
from envport_trainer.learning.compiling import compile_layers, warm_up
from envport_trainer.learning.learner import Learner, training_rows
from envport_trainer.learning.making import load_trained, make_learner
from envport_trainer.learning.packing import pack
from envport_trainer.learning.policy import Policy
from envport_trainer.models.folder import save_model
from envport_trainer.samplers.transformers import TransformersSampler
from envport_trainer.types import SampleRequest
from safetensors import safe_open
from torch._dynamo import config as dynamo
from torch._dynamo import graph_break
from torch._dynamo.utils import counters
from torch._inductor import config as inductor
from transformers import LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from .conftest import tiny_tokenizer
from .updates import KeptGradients, distance, settings, small_groups, small_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from envport_trainer.learning.packing import PackedBatch
    from torch import Tensor

# torch's tracer hides this warning of its own, and cannot where warnings are errors.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")


@pytest.fixture(autouse=True)
def nothing_compiled_yet() -> Iterator[None]:
    torch.compiler.reset()
    counters.clear()
    yield
    torch.compiler.reset()


def graphs() -> int:
    """How many were compiled in this test so far."""
    return counters["stats"]["unique_graphs"]


def learner_of(model: Any, *, compiled: bool, **changes: Any) -> Learner:
    """A learner that keeps gradients instead of applying them; a compiled one is warm."""
    config = settings(compile=compiled, **changes)
    policy = Policy.under_plan(
        model, config.precision, gradient_checkpointing=config.gradient_checkpointing, compiled=compiled
    )
    learner = Learner(policy, config)
    learner.optimizer = KeptGradients(model)  # type: ignore[assignment]  # what the learner uses of an optimizer
    if compiled:
        warm_up(learner)
    return learner


def gradient(learner: Learner, groups: Any, micro_batch_tokens: int) -> dict[str, Tensor]:
    learner.micro_batch_tokens = micro_batch_tokens
    learner.update(groups, step=0)
    kept: Any = learner.optimizer
    return dict(kept.kept)


def some_packs() -> list[PackedBatch]:
    groups = small_groups(small_model())
    rows = training_rows([*groups, *groups], [[0.5, -0.5, 0.3, -0.3]] * 4)
    return [pack(rows, 1000)[0], pack(rows[:3], 1000)[0], pack(rows[5:6], 1000)[0]]


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("adapted", [False, True])
def test_every_pack_gives_the_plain_gradient_and_none_after_the_first_is_compiled(
    checkpointing: bool, adapted: bool
) -> None:
    first, second = (add_adapters(small_model(), 4, 8.0) if adapted else small_model() for _ in range(2))
    plain = learner_of(first, compiled=False, gradient_checkpointing=checkpointing)
    compiled = learner_of(second, compiled=True, gradient_checkpointing=checkpointing)
    if adapted:
        give_adapters_weight([first, second])
    warm = graphs()
    # With adapters the first layer's input, of frozen embeddings, needs no gradient, and that of the others does; under
    # checkpointing peft has it need one too.
    assert warm == (2 if adapted and not checkpointing else 1)
    groups = small_groups(small_model())
    for some, tokens in ((groups, 40), (groups, 1000), (groups[:1], 25), (groups[1:], 1000)):
        expected, got = gradient(plain, some, tokens), gradient(compiled, some, tokens)
        assert distance(got, expected) < 1e-5
    assert graphs() == warm


def give_adapters_weight(models: Sequence[Any]) -> None:
    """Else the first factor of each has no gradient."""
    torch.manual_seed(4)
    for ours in zip(*(model.named_parameters() for model in models), strict=True):
        if "lora_B" in ours[0][0]:
            noise = 0.1 * torch.randn_like(ours[0][1])
            for _, parameter in ours:
                parameter.data.copy_(noise)


def test_packs_of_unlike_lengths_and_blocks_run_the_graph_of_the_first() -> None:
    policy = Policy.under_plan(small_model(), "fp32", compiled=True)
    plain = Policy.under_plan(small_model(), "fp32")
    packs = some_packs()
    assert len({batch.input_ids.shape[1] for batch in packs}) == 3
    assert len({len(batch.plan.blocks) for batch in packs}) > 1
    for batch in packs:
        torch.testing.assert_close(policy.logprobs(batch, 0.7), plain.logprobs(batch, 0.7), rtol=1e-5, atol=1e-5)
        assert graphs() == 1


def test_bf16_is_as_far_from_fp32_as_without_compile() -> None:
    groups = small_groups(small_model())
    exact = gradient(learner_of(small_model(), compiled=False), groups, 1000)
    plain = gradient(learner_of(small_model(), compiled=False, precision="bf16"), groups, 1000)
    compiled = gradient(learner_of(small_model(), compiled=True, precision="bf16"), groups, 1000)
    assert 1e-4 < distance(compiled, exact) < 1.5 * distance(plain, exact)


@pytest.mark.parametrize("adapted", [False, True])
def test_the_reference_keeps_the_first_weights_and_is_compiled_by_the_warm_up(adapted: bool) -> None:
    model = add_adapters(small_model(), 4, 8.0) if adapted else small_model()
    learner = learner_of(model, compiled=True, kl_weight=0.1)
    warm = graphs()
    batch = some_packs()[0]
    assert learner.reference is not None
    with torch.no_grad():
        for parameter in learner.parameters:
            parameter += 0.1 * torch.ones_like(parameter)
    plain = Policy.under_plan(small_model(), "fp32")
    torch.testing.assert_close(learner.reference(batch, 1.0), plain.logprobs(batch, 1.0), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(learner.policy.logprobs(batch, 1.0), plain.logprobs(batch, 1.0), atol=1e-2)
    assert graphs() == warm


def test_the_warm_up_changes_no_weight_and_leaves_no_gradient_and_draws_nothing() -> None:
    model = small_model()
    policy = Policy.under_plan(model, "fp32", compiled=True)
    learner = Learner(policy, settings(compile=True))
    before, generator = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    assert warm_up(learner) > 0
    assert graphs() == 1
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


async def test_a_sampler_of_a_compiled_model_compiles_nothing_and_samples_the_same() -> None:
    request = SampleRequest([5, 6, 7, 8], 12, seed=1)
    learner = learner_of(small_model(), compiled=True)
    warm = graphs()
    seen: list[tuple[list[int], list[float]]] = []
    for model in (learner.policy.model, small_model()):
        sampler = TransformersSampler(model, frozenset(), "fp32")  # type: ignore[arg-type]  # no adapters here
        sample = await sampler.sample(request)
        learner.update(small_groups(small_model()), step=0)
        sampler.update_weights(model)
        again = await sampler.sample(request)
        sampler.close()
        seen += [(sample.token_ids, sample.logprobs), (again.token_ids, again.logprobs)]
    assert seen[0] == seen[1] == seen[2] == seen[3]
    assert graphs() == warm


def test_under_another_plan_the_same_module_runs_as_it_is() -> None:
    model = small_model()
    Policy.under_plan(model, "fp32", compiled=True)
    batch = some_packs()[0]
    plain = small_model()
    Policy.under_plan(plain, "fp32")
    hidden, expected = (
        each.model(input_ids=batch.input_ids, position_ids=batch.position_ids, plan=batch.plan).last_hidden_state
        for each in (model, plain)
    )
    assert torch.equal(hidden, expected)
    assert graphs() == 0


def test_saved_weights_have_their_ordinary_names(tmp_path: Path) -> None:
    model = small_model()
    names = set(model.state_dict())
    learner_of(model, compiled=True)
    assert set(model.state_dict()) == names
    save_model(model, tiny_tokenizer(), tmp_path / "model", dtype=torch.float32)
    with safe_open(tmp_path / "model" / "model.safetensors", "pt") as file:
        assert set(file.keys()) == names - {"lm_head.weight"}  # tied
    loaded = LlamaForCausalLM.from_pretrained(tmp_path / "model")
    assert torch.equal(loaded.lm_head.weight, model.lm_head.weight)


def test_the_configuration_has_it_compiled_before_the_first_update(tiny_folder: Path) -> None:
    config = settings(model=str(tiny_folder), compile=True, device="cpu")
    learner = make_learner(config, load_trained(config))
    assert learner.policy.compiled
    assert graphs() == 1
    learner.update([], step=0)
    off = settings(model=str(tiny_folder), device="cpu")
    assert not make_learner(off, load_trained(off)).policy.compiled
    assert graphs() == 1


def test_without_a_cpp_compiler_a_run_ends_before_its_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(model=str(tmp_path / "nowhere"), compile=True, device="cpu")
    monkeypatch.setenv("PATH", str(tmp_path))
    cannot = pytest.raises(ConfigError, match=r"g\+\+ cannot be started.*apt-get install g\+\+ python3-dev")
    with inductor.patch({"cpp.cxx": (None, "g++")}), cannot:
        load_trained(config)
    with pytest.raises(ModelError):
        load_trained(settings(model=str(tmp_path / "nowhere"), device="cpu"))


@pytest.mark.parametrize(
    ("script", "told"),
    [("echo 'x.cpp: fatal error: Python.h: none' >&2; exit 1", "fatal error: Python.h: none"), ("exit 3", "status 3")],
)
def test_a_cpp_compiler_that_fails_is_told_with_its_first_error(script: str, told: str, tmp_path: Path) -> None:
    compiler = tmp_path / "cxx"
    compiler.write_text(f"#!/bin/sh\n{script}\n")
    compiler.chmod(0o755)
    with inductor.patch({"cpp.cxx": (None, str(compiler))}), pytest.raises(ConfigError, match=told):
        load_trained(settings(model=str(tmp_path / "nowhere"), compile=True, device="cpu"))


def test_at_the_limit_of_recompilations_the_run_goes_on_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    class OwnLayer(LlamaDecoderLayer):  # type: ignore[misc]  # transformers is not typed
        forward = copy_of(LlamaDecoderLayer.forward)

    model, plain = small_model(), Policy.under_plan(small_model(), "fp32")
    for layer in model.model.layers:
        layer.__class__ = OwnLayer
    policy = Policy.under_plan(model, "fp32", compiled=True)
    batch, other, _ = some_packs()
    policy.logprobs(batch, 1.0)
    assert graphs() == 1
    with dynamo.patch(recompile_limit=1), caplog.at_level(logging.WARNING, "envport_trainer"):
        for each in (batch, other):
            with torch.no_grad():  # without a gradient is another graph
                got = policy.logprobs(each, 1.0)
            torch.testing.assert_close(got, plain.logprobs(each, 1.0), rtol=1e-5, atol=1e-5)
    assert graphs() == 1
    (record,) = [r for r in caplog.records if r.name.startswith("envport_trainer")]
    assert "OwnLayer were compiled as often as is allowed" in record.getMessage()


def copy_of(function: Any) -> Any:
    """The same function with code of its own, for which torch counts anew."""
    return type(function)(function.__code__.replace(co_name="own"), function.__globals__, "own", function.__defaults__)


def test_layers_that_do_not_compile_are_told_before_the_first_update() -> None:
    class Breaking(LlamaDecoderLayer):  # type: ignore[misc]  # transformers is not typed
        def forward(self, hidden_states: Tensor, *args: Any, **named: Any) -> Any:
            graph_break()
            return super().forward(hidden_states, *args, **named)

    model = small_model()
    for layer in model.model.layers:
        layer.__class__ = Breaking
    learner = Learner(Policy.under_plan(model, "fp32", compiled=True), settings(compile=True))
    with pytest.raises(ModelError, match=r"LlamaForCausalLM has layers that do not compile .* set compile to false"):
        warm_up(learner)


def test_a_model_without_layers_is_refused() -> None:
    model = small_model()
    model.model.layers = torch.nn.ModuleList()
    with pytest.raises(ModelError, match="no layers to compile"):
        compile_layers(model)
