"""What a training run is told: a TOML file, overridden by flags.

Top-level keys and one `[[env]]` table for each environment:

    model = "models/smollm2-135m-instruct"
    steps = 100

    [[env]]
    url = "http://127.0.0.1:8000"
    weight = 1.0
"""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from envport.handshake import without_secrets
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from envport_trainer.alarms.settings import AlarmSettings
from envport_trainer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

_Count = Annotated[int, Field(ge=1)]

_FREE_ON_RESUME = frozenset(
    {
        "output",
        "steps",
        "chat_template",
        "device",
        "max_tokens",
        "micro_batch_tokens",
        "compile",
        "sampler_weights",
        "vllm_memory",
        "env_retries",
        "env_timeout_s",
        "checkpoint_every",
        "keep_checkpoints",
        "eval_every",
        "eval_tasks",
        "eval_split",
        "trackers",
        "run_name",
        "alarms",
        "sampler_url",
        "sampler_token_env",
        "gradient_checkpointing",
    }
)


_CUTS_OFF = frozenset({"top_p", "top_k", "min_p"})
"""Settings of sampling that no run may have."""


def _none(value: object) -> object:
    """TOML has no null: the text "none" stands for it."""
    return None if isinstance(value, str) and value.lower() == "none" else value


class EnvSource(BaseModel):
    """One environment to take tasks from."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    url: Annotated[str, Field(pattern=r"^https?://")]
    """Where it is served."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """Share of the groups of a step, relative to the other environments."""
    split: Annotated[str, Field(min_length=1)] = "train"
    """Its tasks to train on."""
    token_env: Annotated[str | None, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = None
    """Environment variable that holds the trainer's token for its server, and for no other. The file has its name."""


class TrainConfig(BaseModel):
    """A whole training run. Frozen; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())

    envs: Annotated[tuple[EnvSource, ...], Field(min_length=1)]
    """At least one; in TOML each is an `[[env]]` table, on the command line each is an `--env URL`."""
    model: Annotated[str, Field(min_length=1)]
    """A folder, a GGUF file, or a hub name."""
    chat_template: Path | None = None
    """A Jinja file in place of the tokenizer's own template, for models that have none."""
    output: Path = Path("runs/train")
    """Folder for checkpoints, metrics and the trained model; relative to where the command runs."""

    steps: _Count = 100
    """Weight updates. Small models show a clear gain within 20 to 100."""
    prompts_per_step: _Count = 8
    """Groups in a step. 8 groups of 8 are the 64 rollouts below which the gradient gets noisy."""
    group_size: Annotated[int, Field(ge=2)] = 8
    """Rollouts of one task; their mean is the baseline, and with fewer than 8 it is a poor one."""
    max_refills: Annotated[int, Field(ge=0)] = 16
    """Groups that a step may start beyond `prompts_per_step`, in place of groups whose rewards are all equal."""
    max_staleness: Annotated[int, Field(ge=0)] = 0
    """Weight updates that may come between the start of a rollout and its own update. 0 waits for each step's rollouts;
    1 samples the next step's while the weights are updated. Older ones are dropped."""
    curriculum: Literal["none", "difficulty"] = "none"
    """Which tasks come next: all in turn, or more often those whose rewards varied when they were last tried."""

    max_new_tokens: _Count = 256
    """Tokens of one turn of the model. Longer turns cost time in proportion."""
    max_turns: _Count = 8
    """Turns of the model in one rollout; tools are called between them."""
    max_tokens: _Count = 2048
    """Tokens of a whole rollout: prompt, turns and tool text. Bounds memory."""
    temperature: Annotated[float, Field(gt=0, le=2)] = 1.0
    """Of sampling and of the loss alike. 1 samples the policy that is trained."""

    lr: Annotated[float, Field(gt=0)] = 1e-6
    """Peak learning rate. The usual one for full fine-tuning of billions of weights; 135M bear 2e-5."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Steps of linear rise to `lr`. Adam's first steps have no history."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Off: runs are too short for it to do anything but pull towards zero."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    """A longer gradient is scaled down to this: one odd batch must not undo the run."""
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    """AdamW's own defaults."""

    loss: Literal["clip", "gspo", "cispo", "dppo"] = "clip"
    """Policy term: PPO's clip with separate bounds (DAPO), the same by sequence (GSPO), CISPO's capped weight, or
    DPPO's probability mask."""
    aggregation: Literal["token", "sequence", "constant"] = "token"
    """What each token weighs: equal in the batch (DAPO), equal within equal rollouts (GRPO), or by `max_new_tokens`
    alone (Dr.GRPO)."""
    clip_low: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """The ratio is clipped below 1 - this."""
    clip_high: Annotated[float, Field(ge=0)] = 0.28
    """The ratio is clipped above 1 + this; higher than `clip_low`, so that rare tokens can rise (DAPO)."""
    advantage: Literal["mean", "std", "rloo", "batch_std", "maxrl", "gdpo"] = "mean"
    """Reward minus the group's mean (Dr.GRPO); that over the group's (GRPO) or the batch's standard deviation, or over
    the mean (MaxRL); reward minus the mean of the others (RLOO); or each component normalized by itself (GDPO)."""
    kl_weight: Annotated[float, Field(ge=0)] = 0.0
    """Of a pull back to the model that the run began with. 0 keeps no copy of it, the practice of 2026."""
    kl: Literal["k1", "k2", "k3"] = "k3"
    """Its estimator; each has the gradient of the KL divergence."""
    correction: Literal["none", "truncate", "mask", "geometric"] = "none"
    """For a sampler that computes other logprobs than the trainer: the ratio is then taken to the trainer's own, and
    each token weighed by pi / mu, capped (TIS), dropped outside of bounds (IcePop), or by rollout (geometric mean)."""
    correction_low: Annotated[float, Field(ge=0)] = 0.5
    """Lower bound of that weight, where it drops tokens or rollouts."""
    correction_high: Annotated[float, Field(gt=0)] = 2.0
    """Its upper bound or cap."""
    truncated: Literal["train", "mask", "drop"] = "train"
    """Rollouts cut off by `max_tokens` or `max_new_tokens`: trained on; in the baseline alone; or left out."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Of task order and sampling."""
    history: Literal["append", "template"] = "append"
    """What the model sees of its own earlier turns: the tokens it wrote, or what the chat template makes of them, such
    as without the reasoning. Where that changes what came before, another row of tokens begins."""
    tool_format: Literal["auto", "hermes", "llama", "mistral", "json", "xml"] = "auto"
    """How the model writes tool calls; `auto` reads it off the chat template."""
    sampler: Literal["transformers", "vllm", "vllm-server"] = "transformers"
    """vLLM is the quick one on a GPU and needs the extra `vllm`; transformers runs anywhere."""
    sampler_url: Annotated[str | None, Field(pattern=r"^https?://")] = None
    """Of the vLLM server, for `vllm-server`."""
    sampler_token_env: Annotated[str | None, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = None
    """Environment variable that holds the vLLM server's API key. The file has its name alone."""
    sampler_weights: Literal["files", "broadcast"] = "files"
    """How a vLLM server gets new weights: files on a disk that both see, or from memory to memory, by NCCL on GPUs and
    gloo on CPUs."""
    lora_rank: _Count | None = None
    """Train low-rank adapters of this rank in place of all weights; needs the extra `lora`."""
    lora_alpha: Annotated[float, Field(gt=0)] = 32.0
    """Scale of the adapters, over their rank."""
    optimizer: Literal["adamw", "adamw8bit", "paged_adamw8bit"] = "adamw"
    """Those of 8 bits keep AdamW's state in a quarter of the memory and need the extra `bnb`, the paged one a GPU."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass: a third more time for a fraction of the memory."""
    compile: bool = False
    """Compile the model's layers with `torch.compile` before the first update; pays where steps are many and long."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """Of the forward and backward pass; weights and log-softmax stay fp32. bf16 takes 0.6 of the time on a CPU."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes the GPU where there is one."""
    micro_batch_tokens: _Count = 1024
    """Tokens of one forward and backward pass; a longer rollout gets one of its own. Bounds memory; the gradient does
    not depend on it. A GPU is busy with 8192 and more."""
    vllm_memory: Annotated[float, Field(gt=0, le=0.95)] = 0.4
    """Share of the GPU's memory for vLLM; the trainer needs the rest on the same device."""

    env_retries: Annotated[int, Field(ge=0)] = 2
    """Fresh starts of a rollout after the environment failed; then it is dropped, never scored 0."""
    env_timeout_s: Annotated[float, Field(gt=0)] = 60.0
    """Seconds for one call to the environment."""

    checkpoint_every: _Count = 10
    """Steps between checkpoints; the last step always writes one."""
    keep_checkpoints: _Count = 2
    """Checkpoints kept. Each takes about three times the fp32 weights."""
    eval_every: Annotated[_Count | None, BeforeValidator(_none)] = None
    """Steps between evaluations on `eval_split`; without it none during training."""
    eval_tasks: _Count = 64
    """Tasks of each evaluation."""
    eval_split: Annotated[str, Field(min_length=1)] = "eval"
    """Its tasks are never trained on."""
    trackers: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = ("tensorboard",)
    """Where metrics go beside `metrics.jsonl`; each but the first needs its own package."""
    run_name: str | None = None
    """Of the run at the trackers; without it the output folder's name."""
    alarms: AlarmSettings = AlarmSettings()
    """The `[alarms]` table: what warns, and what stops the run."""

    @model_validator(mode="after")
    def _fits_together(self) -> TrainConfig:
        if self.max_new_tokens > self.max_tokens:
            raise ValueError(
                f"max_new_tokens is {self.max_new_tokens}, more than max_tokens ({self.max_tokens}), "
                "which bounds the whole rollout; raise max_tokens or lower max_new_tokens"
            )
        if (self.sampler == "vllm-server") != (self.sampler_url is not None):
            raise ValueError(
                "sampler_url is the URL of a vLLM server: give it with sampler = vllm-server, and only then"
            )
        if self.sampler_weights == "broadcast" and self.sampler != "vllm-server":
            raise ValueError(
                "sampler_weights = broadcast hands weights to a vLLM server; use it with sampler = vllm-server"
            )
        if self.correction_low >= self.correction_high:
            raise ValueError(
                f"correction_low ({self.correction_low}) is not below correction_high ({self.correction_high})"
            )
        if self.history == "template" and (self.loss == "gspo" or self.correction == "geometric"):
            raise ValueError(
                "history = template may split a rollout in several rows, and gspo and the geometric correction weigh "
                "it as one; use history = append, or another loss and correction"
            )
        if self.alarms.plateau != "off" and self.eval_every is None:
            raise ValueError("alarms.plateau looks at evaluations; set eval_every")
        if self.loss == "dppo" and self.correction != "none":
            raise ValueError(
                "dppo drops tokens by the sampler's probabilities itself, and a correction takes these out of its "
                "ratio; use correction = none"
            )
        places = [(env.url.rstrip("/"), env.split) for env in self.envs]
        if len(set(places)) < len(places):
            raise ValueError("two [[env]] entries have the same url and split; give one of them both weights")
        token_of = {env.url.rstrip("/"): env.token_env for env in self.envs}
        if any(env.token_env != token_of[env.url.rstrip("/")] for env in self.envs):
            raise ValueError("two [[env]] entries have the same url and not the same token_env; give both the same")
        return self

    @classmethod
    def from_toml(cls, path: Path | None, overrides: Mapping[str, Any] | None = None) -> TrainConfig:
        """The configuration in `path`, with `overrides` (by field name; None means not given) on top.

        Raises:
            ConfigError: the file is missing or no TOML, a key is unknown, or a value does not fit.
        """
        values = {} if path is None else _read_toml(path)
        flags = {name: value for name, value in (overrides or {}).items() if value is not None}
        try:
            return cls.model_validate(values | flags)
        except ValidationError as error:
            raise ConfigError(_explain(error, path, frozenset(flags))) from error

    def resume_values(self) -> dict[str, Any]:
        """What must not change when a run is resumed, as JSON values.

        The URLs and tokens may change: a container comes back on another port.
        """
        values = self.model_dump(mode="json", exclude=set(_FREE_ON_RESUME))
        for env in values["envs"]:
            del env["url"], env["token_env"]
        return values

    def differences(self, earlier: Mapping[str, Any]) -> list[str]:
        """What keeps a run with `earlier` resume values from going on under this one; empty where nothing does.

        A setting that this version does not know any more is passed over.
        """
        now = self.resume_values()
        return [
            f"{key} was {earlier.get(key)!r}, is now {now.get(key)!r}"
            for key in sorted(now)
            if earlier.get(key) != now.get(key)
        ]


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"no configuration file at {path}; check the path") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    if "envs" in values:
        raise ConfigError(f"{path}: unknown key 'envs'; each environment is an [[env]] table")
    if "env" in values:
        tables = values.pop("env")
        values["envs"] = tables if isinstance(tables, list) else [tables]
    return values


def _explain(error: ValidationError, path: Path | None, flags: frozenset[str]) -> str:
    """All problems on one line, numbered where there are several: where, what was seen, what to do."""
    items = error.errors(include_url=False)
    in_an_env = any(item["loc"][:1] == ("envs",) and len(item["loc"]) > 1 for item in items)
    told = [
        _explain_one(item["type"], [str(part) for part in item["loc"]], item["msg"], item.get("input"), path, flags)
        for item in items
        if not (in_an_env and item["loc"] == ("envs",))  # pydantic counts a bad entry as a missing one too
    ]
    return told[0] if len(told) == 1 else "; ".join(f"({number}) {text}" for number, text in enumerate(told, 1))


def _names_beside(place: list[str]) -> set[str]:
    """The keys that are known where an unknown one stands."""
    if place[0] == "envs":
        return set(EnvSource.model_fields)
    if len(place) > 1:
        return set(AlarmSettings.model_fields)
    return set(TrainConfig.model_fields) - {"envs"} | {"env"}


def _explain_one(
    kind: str, place: list[str], message: str, seen: object, path: Path | None, flags: frozenset[str]
) -> str:
    in_env = bool(place) and place[0] == "envs"
    source = f"{path}: " if path is not None and not (place and place[0] in flags) else ""
    key = ".".join(["env", *place[1:]] if in_env else place)
    if kind == "extra_forbidden" and place[-1] in _CUTS_OFF:
        return (
            f"{source}{key} is not for training: it cuts tokens off, and the logprobs of the others would then be "
            "wrong by the mass that was cut, and the loss with them; leave it out"
        )
    if kind == "extra_forbidden":
        names = _names_beside(place)
        near = difflib.get_close_matches(place[-1], names, n=1, cutoff=0.5)
        known = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(sorted(names))}"
        return f"{source}unknown key {key!r}; {known}"
    if kind == "missing" and place in (["envs"], ["model"]):
        what = "an environment: an [[env]] table with its url, or --env URL"
        return f"{source}needs {what}" if in_env else f"{source}needs a model: a line model = NAME, or --model NAME"
    if kind == "missing":
        return f"{source}{key} is missing"
    if not place:
        return source + message.removeprefix("Value error, ")
    if place[-1] in ("token_env", "sampler_token_env"):
        return f"{source}{key} is no name of an environment variable; put the token in one, and its name here"
    if kind == "string_pattern_mismatch":
        todo = "expected one with http:// or https://" if "://" in str(seen) else "put http:// before it"
        return f"{source}{key} is {_shown(place, seen)}: {todo}"
    return f"{source}{key} is {_shown(place, seen)}: {message[0].lower()}{message[1:]}"


def _shown(place: list[str], seen: object) -> str:
    """A value as an error shows it; of what is, or holds, a URL without what may be a user, a password or a query."""
    holds_a_url = place[-1].endswith("url") or (place[0] == "envs" and len(place) < 3)
    if not holds_a_url:
        return repr(seen)
    return repr(without_secrets(seen)) if isinstance(seen, str) else f"of type {type(seen).__name__}"
