"""Named, weighted parts of a reward: declared by `@reward`, added up by `Scorer`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, SupportsFloat, TypeVar, cast, overload

from envport_protocol.calling import NamedCall
from envport_protocol.errors import EnvDefinitionError, EnvFailedError
from envport_protocol.messages import ComputeRewardAnswer, RewardScore, RewardSpec
from envport_protocol.reasons import reason_text
from envport_protocol.results import RewardResult
from envport_protocol.tools import description_text, marked_attributes

if TYPE_CHECKING:
    from collections.abc import Iterable

F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__envport_reward__"
_ROUNDING = 1e-6

REWARD_INPUTS = frozenset({"rollout_id", "completion", "messages", "ground_truth", "task", "metadata", "seed"})
"""What a reward can ask for by name."""


@dataclass(frozen=True, slots=True)
class RewardMark:
    """What `@reward` leaves on a method."""

    name: str | None
    weight: float
    min: float
    max: float


@overload
def reward(function: F, /) -> F: ...
@overload
def reward(*, weight: float = 1.0, min: float = 0.0, max: float = 1.0, name: str | None = None) -> Callable[[F], F]: ...
def reward(
    function: F | None = None,
    /,
    *,
    weight: float = 1.0,
    min: float = 0.0,
    max: float = 1.0,
    name: str | None = None,
) -> F | Callable[[F], F]:
    """Makes a method a component of the reward, named like the method, with its weight and the range of its score.

    The method asks by name for what it needs of REWARD_INPUTS, and gives a finite number within the range, or None
    where this rollout cannot be scored by it. A RewardResult is either, with the reason for it.
    """

    def mark(target: F) -> F:
        setattr(target, _MARK, RewardMark(name, weight, min, max))
        return target

    return mark if function is None else mark(function)


@dataclass(frozen=True, slots=True)
class MethodReward:
    """A method marked by `@reward`."""

    spec: RewardSpec
    call: NamedCall


def method_rewards(env: object) -> list[MethodReward]:
    """The `@reward` methods of an object, in the order they were written."""
    found: list[MethodReward] = []
    for attribute in marked_attributes(type(env), _MARK):
        method = getattr(env, attribute)
        mark: RewardMark = getattr(method, _MARK)
        spec = RewardSpec(
            name=mark.name or attribute,
            weight=mark.weight,
            min=mark.min,
            max=mark.max,
            description=description_text(method.__doc__ or ""),
        )
        found.append(MethodReward(spec, NamedCall(method, REWARD_INPUTS)))
    return found


class Scorer:
    """Turns what `compute_reward` gave into the answer, with the declared weights and ranges.

    `declared` come from the environment; `weights` by name override theirs. A component that nobody declared counts
    with weight 1 and has no range.

    Raises:
        EnvDefinitionError: a name declared twice, or a weight for a component that is not among the declared ones.
    """

    def __init__(self, declared: Iterable[RewardSpec], weights: Mapping[str, float] | None = None) -> None:
        self._declared: dict[str, RewardSpec] = {}
        self._weights = dict(weights or {})
        for spec in declared:
            if spec.name in self._declared:
                raise EnvDefinitionError(f"the reward component {spec.name!r} is declared twice")
            self._declared[spec.name] = spec
        strangers = sorted(self._weights.keys() - self._declared.keys()) if self._declared else []
        if strangers:
            raise EnvDefinitionError(
                f"there is a weight for the reward component {strangers[0]!r}, which the environment does not declare; "
                f"it declares: {', '.join(self._declared)}"
            )

    @property
    def specs(self) -> list[RewardSpec]:
        """The components known beforehand, with the weights that count."""
        names = dict.fromkeys([*self._declared, *self._weights])
        specs = [self._declared.get(name) or RewardSpec(name=name) for name in names]
        return [spec.model_copy(update={"weight": self._weights.get(spec.name, spec.weight)}) for spec in specs]

    def answer(self, raw: Any) -> ComputeRewardAnswer:
        """`reward` is the sum of weight x score over the scored components, None where none was scored.

        Raises:
            EnvFailedError: not a number or a mapping of names to numbers, not finite, or outside the declared range;
                or a reason that is no text.
        """
        rewards = {name: self._scored(name, value) for name, value in _by_name(raw).items()}
        scored = [part.weight * part.score for part in rewards.values() if part.score is not None]
        total = sum(scored) if scored else None
        if total is not None and not math.isfinite(total):
            raise EnvFailedError(f"the weighted sum of the rewards is {total}; it must be finite")
        return ComputeRewardAnswer(reward=total, rewards=rewards)

    def _scored(self, name: str, value: Any) -> RewardScore:
        spec = self._declared.get(name)
        weight = self._weights.get(name, spec.weight if spec else 1.0)
        given = value if isinstance(value, RewardResult) else RewardResult(value)
        score = _finite(name, given.score)
        if spec is not None and score is not None and not spec.min - _ROUNDING <= score <= spec.max + _ROUNDING:
            raise EnvFailedError(
                f"the reward component {name!r} is {score}, outside its declared range {spec.min} to {spec.max}; "
                "correct the score or the range"
            )
        return RewardScore(score=score, weight=weight, reason=reason_text(name, given.reason))


def _by_name(raw: Any) -> Mapping[str, Any]:
    if isinstance(raw, Mapping):
        return {str(name): value for name, value in raw.items()}
    if isinstance(raw, RewardResult):
        return {"reward": raw}
    if raw is None or isinstance(raw, str | bytes) or not hasattr(raw, "__float__"):
        raise EnvFailedError(
            f"compute_reward gave {type(raw).__name__}; expected a number or a dict of names to numbers or None, or a "
            "RewardResult in place of a number"
        )
    return {"reward": raw}


def _finite(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, str | bytes) or not hasattr(value, "__float__"):
        raise EnvFailedError(
            f"the reward component {name!r} is of type {type(value).__name__}; expected a number or None"
        )
    try:
        score = float(cast("SupportsFloat", value))
    except (TypeError, ValueError, OverflowError) as error:
        raise EnvFailedError(f"the reward component {name!r} cannot become a number: {type(error).__name__}") from error
    if not math.isfinite(score):
        raise EnvFailedError(f"the reward component {name!r} is {score}; it must be finite, or None for not scored")
    return score
