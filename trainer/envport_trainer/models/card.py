"""The model card of a run: `README.md` with the facts of `run.json` and `metrics.jsonl`, the reward curve beside it.

Names of environments and of their rewards come from servers. They stand between backquotes, without control characters
and cut to a length, so that they are text on the page and nothing else. No token is in a run's facts, and no URL in
them carries a password. Of the paths in them the card shows the last part: a card is for the world, a path is not.
"""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from envport_trainer.errors import ModelError
from envport_trainer.models.licence import licence_of
from envport_trainer.models.run_file import as_toml
from envport_trainer.recording.curve import draw_curve
from envport_trainer.recording.metrics import FILE_NAME as METRICS
from envport_trainer.recording.metrics import read_metrics
from envport_trainer.recording.run_facts import FILE_NAME as FACTS
from envport_trainer.recording.run_facts import read_run_facts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_README, _CURVE, _GENERATION = "README.md", "curve.png", "generation_config.json"
_COMPONENT = "eval/rewards/"
_LONGEST = 120
_SAMPLING = ("do_sample", "temperature", "top_p", "top_k", "min_p", "typical_p", "repetition_penalty", "num_beams")


class _Environment(BaseModel):
    name: str
    version: str
    digest: str | None = None


class _Facts(BaseModel):
    """What the card needs of `run.json`."""

    started_at: str
    environments: list[_Environment]
    config: dict[str, Any]
    device: str
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What there is to say about the model of one run after `step` updates."""

    facts: _Facts
    step: int
    metrics: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """Lines of the run's metrics up to `step`."""
    licence: str | None = None
    """The base model's, where it is known."""

    def write(self, folder: Path, *, dtype: str, adapter: bool) -> None:
        """Write `README.md`, and `curve.png` where a reward was measured, into a model's folder."""
        if any(line.get("reward") is not None for line in self.metrics):
            with tempfile.TemporaryDirectory() as place:
                lines = Path(place) / METRICS
                lines.write_text("".join(json.dumps(line) + "\n" for line in self.metrics), encoding="utf-8")
                draw_curve(lines, folder / _CURVE)
        text = "\n\n".join(self._parts(folder, dtype, adapter)) + "\n"
        (folder / _README).write_text(text, encoding="utf-8", errors="replace")

    def _parts(self, folder: Path, dtype: str, adapter: bool) -> Iterator[str]:
        settings = self.facts.config
        base = str(settings.get("model", "unknown"))
        yield self._front_matter(base, adapter)
        yield f"# {_code(_short(base))}, trained by reinforcement learning"
        yield self._what(base, dtype, adapter)
        yield f"## Environments\n\n{self._environments()}"
        yield "## Reward\n\n" + "\n\n".join(self._reward(has_curve=(folder / _CURVE).is_file()))
        yield f"## Sampling\n\n{_sampling(folder, settings)}"
        yield f"## How to make it again\n\n{self._again(_placeless(settings))}"
        yield f"## Limits\n\n{self._limits()}"

    def _front_matter(self, base: str, adapter: bool) -> str:
        tags = ["envport", "grpo", "reinforcement-learning", *(["lora"] if adapter else [])]
        lines = [f"library_name: {'peft' if adapter else 'transformers'}", f"base_model: {_yaml(_short(base))}"]
        lines += [f"license: {_yaml(self.licence)}"] if self.licence else []
        lines += ["pipeline_tag: text-generation", "tags:", *(f"- {tag}" for tag in tags)]
        return "\n".join(["---", *lines, "---"])

    def _what(self, base: str, dtype: str, adapter: bool) -> str:
        name = _code(_short(base))
        kind = f"The adapters (LoRA, {dtype}) for {name}" if adapter else f"The whole model in {dtype}"
        licence = f"that licence is {_code(self.licence)}" if self.licence else "it is not known here which that is"
        made = ", ".join(f"{name} {version}" for name, version in sorted(self.facts.versions.items()))
        return (
            f"{kind}, after {self.step} weight updates of GRPO by envport from {name}. The licence of that "
            f"model applies; {licence}.\n\n"
            f"Run begun {_code(self.facts.started_at)} on {_code(self.facts.device)}; written "
            f"{datetime.now(UTC).date().isoformat()}. Made with {_plain(made)}."
        )

    def _environments(self) -> str:
        envs: list[dict[str, Any]] = self.facts.config.get("envs", [])
        rows = [
            [_code(env.name), _code(env.version), _code(str(source.get("split", ""))), _code(env.digest or "none")]
            for env, source in zip(self.facts.environments, envs, strict=False)
        ]
        unnamed = any(env.digest is None for env in self.facts.environments)
        note = "\n\nAn environment without a digest was served from a folder: its content is not pinned."
        return _table(["environment", "version", "split", "digest"], rows) + (note if unnamed else "")

    def _reward(self, *, has_curve: bool) -> Iterator[str]:
        if has_curve:
            yield f"![Mean reward by step]({_CURVE})"
        evaluated = [line for line in self.metrics if line.get("eval/reward") is not None]
        if not evaluated:
            yield "The run measured no held-out tasks (`eval_every` was not set): whether it is better is not known."
            return
        shown = [evaluated[0], evaluated[-1]] if len(evaluated) > 1 else evaluated
        names = sorted({name for line in shown for name in line if name.startswith(_COMPONENT)})
        split, tasks = self.facts.config.get("eval_split", "eval"), self.facts.config.get("eval_tasks")
        yield f"Held-out tasks: split {_code(str(split))}, up to {tasks} of each environment, greedy; ± is 95 %."
        rows = [[_when(line), _estimate(line), *(_number(line.get(name)) for name in names)] for line in shown]
        yield _table(["", "reward", *(_code(name.removeprefix(_COMPONENT)) for name in names)], rows)
        yield (
            "These intervals are of each mean alone. `envport eval --env URL --model THIS --against BASE` compares the "
            "two task by task."
        )

    def _again(self, settings: Mapping[str, Any]) -> str:
        text = as_toml(settings)
        fence = "`" * max(3, _longest_run(text) + 1)
        return (
            "All settings are in this file; its seed decides task order and sampling. Of files and folders it has the "
            "last part of the path alone: say where yours are. Serve each environment at its `url`, in the version of "
            "the table, and then:\n\n```\nenvport train run.toml\n```\n\n"
            f"`run.toml`, of which {self.step} steps were done:\n\n{fence}toml\n{text}{fence}"
        )

    def _limits(self) -> str:
        return (
            "- The model was rewarded for what these environments score, and for nothing else. What it lost elsewhere "
            "was not measured.\n"
            "- It may have found answers that score well and are not what was meant; read some of its rollouts.\n"
            "- Another device or version of torch rounds otherwise, and sampling then takes other ways: a run made "
            "again is alike, not equal."
        )


def card_of_run(run: Path, step: int) -> ModelCard:
    """The card of the run in the folder `run` after `step` updates.

    Raises:
        ModelError: the folder has no `run.json`, or one that no run wrote.
        MetricsError: its metrics are not what a run writes.
    """
    values = read_run_facts(run)
    if values is None:
        raise ModelError(f"{run} has no readable {FACTS}, which says what the run was; give the folder of a run")
    try:
        facts = _Facts.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ModelError(f"{run / FACTS} is not what a run writes: {place}: {first['msg'].lower()}") from error
    lines = [line for line in read_metrics(run / METRICS) if line["step"] <= step]
    return ModelCard(facts, step, lines, licence_of(str(facts.config.get("model", ""))))


def _when(line: Mapping[str, Any]) -> str:
    return "before training" if line["step"] == 0 else f"after step {line['step']}"


def _estimate(line: Mapping[str, Any]) -> str:
    half = line.get("eval/reward_ci95")
    return _number(line["eval/reward"]) + (f" ± {half:.3f}" if isinstance(half, int | float) else "")


def _number(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else "-"


def _sampling(folder: Path, settings: Mapping[str, Any]) -> str:
    trained = f"It was trained on samples at temperature {settings.get('temperature', 1.0)} without top-p or top-k."
    path = folder / _GENERATION
    values = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    kept = {name: values[name] for name in _SAMPLING if values.get(name) is not None}
    if not kept:
        return trained
    return (
        f"{trained} `{_GENERATION}` is the base model's and says otherwise: {_code(json.dumps(kept))}; set your own to "
        "sample as in training."
    )


def _short(base: str) -> str:
    """A hub name as it is; of a folder or file the last part, for the rest is this machine's business."""
    path = Path(base).expanduser()
    return path.name if path.exists() or path.is_absolute() or base.count("/") != 1 else base


def _placeless(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with no path of this machine in them."""
    shown = {"model": _short, "output": _last, "chat_template": _last}
    return {
        name: shown[name](value) if name in shown and isinstance(value, str) else value
        for name, value in settings.items()
    }


def _last(path: str) -> str:
    return Path(path).name or "."


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _code(text: str) -> str:
    """`text` between backquotes, as one line that ends neither them nor a table's cell."""
    clean = _plain(text).replace("|", "¦") or "-"
    clean = clean if len(clean) <= _LONGEST else clean[: _LONGEST - 1] + "…"
    marks = "`" * (_longest_run(clean) + 1)
    space = " " if clean.startswith("`") or clean.endswith("`") else ""
    return f"{marks}{space}{clean}{space}{marks}"


def _plain(text: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _yaml(text: str) -> str:
    """A double-quoted scalar: JSON's escapes are YAML's too, and nothing else is special in it."""
    return json.dumps(_plain(text), ensure_ascii=False)


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
