"""What an evaluation found: estimates with their intervals, and every row behind them."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from envport_trainer.errors import TrainerError
from envport_trainer.evaluation.student_t import errors_in_half
from envport_trainer.recording.atomic_files import replace_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from envport_trainer.types import Trajectory


@dataclass(frozen=True, slots=True)
class EvalRow:
    """One attempt at one task."""

    index: int
    """Number of the task within its split."""
    task_id: str | None = None
    reward: float | None = None
    """None where the attempt could not be scored: it counts neither for nor against the model."""
    rewards: dict[str, float] = field(default_factory=dict[str, float])
    reasons: dict[str, str] = field(default_factory=dict[str, str])
    """Why the environment gave a component its score, or none, where it says so."""
    metrics: dict[str, float] = field(default_factory=dict[str, float])
    finish: str | None = None
    """Why it ended, a value of `Finish`."""
    tokens: int | None = None
    """Tokens that the model wrote, where they are known."""
    tool_calls: int = 0
    tool_errors: int = 0
    messages: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    error: str | None = None
    """Why it could not be scored."""

    @classmethod
    def of_trajectory(cls, index: int, trajectory: Trajectory) -> EvalRow:
        """The row of a finished rollout."""
        return cls(
            index=index,
            task_id=trajectory.task_id,
            reward=trajectory.reward,
            rewards=trajectory.rewards,
            reasons=trajectory.reasons,
            metrics=trajectory.metrics,
            finish=trajectory.finish.value,
            tokens=trajectory.sampled_tokens,
            tool_calls=trajectory.tool_calls,
            tool_errors=trajectory.tool_errors,
            messages=trajectory.messages,
        )


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over tasks with its uncertainty."""

    mean: float
    se: float
    """Standard error: sample standard deviation over the root of n. NaN with fewer than two values."""
    n: int

    @property
    def ci95(self) -> float:
        """Half the width of the 95 % interval, by Student's t with n - 1 degrees of freedom; NaN below two values."""
        return errors_in_half(self.n) * self.se

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """The estimate from one value for each task; NaN from none."""
        n = len(values)
        if n == 0:
            return cls(math.nan, math.nan, 0)
        mean = math.fsum(values) / n
        variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1) if n > 1 else math.nan
        return cls(mean, math.sqrt(variance / n), n)

    def as_json(self) -> dict[str, float | int | None]:
        """Its values; null where there is none."""
        numbers = {"mean": self.mean, "se": self.se, "ci95": self.ci95}
        return {**{name: value if math.isfinite(value) else None for name, value in numbers.items()}, "n": self.n}


@dataclass(frozen=True, slots=True)
class EvalWork:
    """What was asked, apart from the tasks themselves: two results can be compared where all of it is equal."""

    env: str
    """Name and version of the environment."""
    env_digest: str | None
    split: str
    seed: int
    """Of sampling and of the environment's tasks."""
    max_new_tokens: int
    max_turns: int
    max_tokens: int
    """Of a rollout of a local model; a server has its own limit."""
    temperature: float


class _Limits(BaseModel):
    max_new_tokens: int
    max_turns: int
    max_tokens: int
    temperature: float


class _File(BaseModel):
    """A result file as it is read; its means are taken from the rows again."""

    model_config = ConfigDict(allow_inf_nan=False, protected_namespaces=())

    env: str
    env_digest: str | None
    split: str
    seed: int
    limits: _Limits
    env_url: str
    model: str
    seconds: float
    rows: list[EvalRow] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class EvalResult:
    """A model on the tasks of one split. Rows that could not be scored are in no mean."""

    work: EvalWork
    env_url: str
    model: str
    seconds: float
    rows: list[EvalRow]

    @property
    def scored(self) -> list[EvalRow]:
        """The rows with a reward."""
        return [row for row in self.rows if row.reward is not None]

    @property
    def reward(self) -> Estimate:
        """Mean reward with its interval."""
        return Estimate.of([row.reward for row in self.rows if row.reward is not None])

    @property
    def rewards(self) -> dict[str, Estimate]:
        """Score of each component, over the rows where it was scored."""
        return estimate_columns([row.rewards for row in self.scored])

    @property
    def metrics(self) -> dict[str, Estimate]:
        """Each metric, over the rows that have it."""
        return estimate_columns([row.metrics for row in self.scored])

    @property
    def failed(self) -> int:
        """Rows that could not be scored."""
        return len(self.rows) - len(self.scored)

    @property
    def n(self) -> int:
        """Scored rows."""
        return len(self.scored)

    @property
    def mean(self) -> float:
        """Mean reward."""
        return self.reward.mean

    @property
    def se(self) -> float:
        """Its standard error."""
        return self.reward.se

    @property
    def ci95(self) -> float:
        """Half the width of its 95 % interval."""
        return self.reward.ci95

    @property
    def env(self) -> str:
        """Name and version of the environment."""
        return self.work.env

    @property
    def env_digest(self) -> str | None:
        """Of the environment's bundle; None where it was served from a working folder."""
        return self.work.env_digest

    @property
    def split(self) -> str:
        """Which tasks."""
        return self.work.split

    def as_json(self, *, rows: bool = True) -> dict[str, Any]:
        """JSON values, with every row unless told otherwise."""
        work = self.work
        limits = (work.max_new_tokens, work.max_turns, work.max_tokens, work.temperature)
        summary: dict[str, Any] = {
            "env": work.env,
            "env_url": self.env_url,
            "env_digest": work.env_digest,
            "model": self.model,
            "split": work.split,
            "seed": work.seed,
            "limits": dict(zip(_Limits.model_fields, limits, strict=True)),
            **self.reward.as_json(),
            "failed": self.failed,
            "seconds": round(self.seconds, 3),
            "rewards": {name: estimate.as_json() for name, estimate in self.rewards.items()},
            "metrics": {name: estimate.as_json() for name, estimate in self.metrics.items()},
        }
        return summary | ({"rows": [asdict(row) for row in self.rows]} if rows else {})

    def write(self, path: Path) -> None:
        """Write everything as JSON. Atomic: `path` is the earlier file or the whole new one."""
        write_json(path, self.as_json())

    @classmethod
    def read(cls, path: Path) -> Self:
        """The result that `write` put there.

        Raises:
            TrainerError: the file is missing, is no result, or one of an earlier version without seed and limits.
        """
        values = _read_json(path)
        if isinstance(values, dict) and "comparison" in values:
            raise TrainerError(f"{path} holds a comparison of two models; give the result of one model")
        try:
            file = _File.model_validate(values)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"]) or "the whole"
            raise TrainerError(
                f"{path} is no result that can be compared: {place}: {first['msg'].lower()}; write it anew with "
                f"envport eval --out {path}"
            ) from error
        work = EvalWork(file.env, file.env_digest, file.split, file.seed, **file.limits.model_dump())
        return cls(work, file.env_url, file.model, file.seconds, file.rows)


def write_json(path: Path, value: object) -> None:
    """Write `value` as JSON. Atomic: `path` is the earlier file or the whole new one."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    replace_file(path, f"{text}\n".encode())


def _read_json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainerError(f"cannot read the result {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise TrainerError(f"{path} is no JSON: {error}; expected a file that envport eval --out wrote") from error


def estimate_columns(columns: Sequence[dict[str, float]]) -> dict[str, Estimate]:
    """The estimate of each name over the rows that have it, names in alphabetical order."""
    names = sorted({name for column in columns for name in column})
    return {name: Estimate.of([column[name] for column in columns if name in column]) for name in names}
