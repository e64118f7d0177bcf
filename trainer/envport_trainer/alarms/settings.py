"""What the alarms are told: the `[alarms]` table of the configuration.

[alarms]
mismatch = "stop"
plateau = "stop"
plateau_evals = 5
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Severity = Literal["off", "warn", "stop"]


class AlarmSettings(BaseModel):
    """Which alarms warn, which stop the run with a checkpoint, and from where on. Nothing here changes what is learned.

    Only `plateau` is off by default: to have learned all there is to learn is no fault.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    overfitting: Severity = "warn"
    """Reward in training rose, on the held-out tasks it did not. Needs `eval_every`."""
    tradeoff: Severity = "warn"
    """Reward rose while one of its components fell below where it began."""
    length: Severity = "warn"
    """Completions grew and the reward did not, or ever more of them are cut off."""
    entropy: Severity = "warn"
    """The policy is all but sure of each token: the rollouts of a group become equal."""
    repetition: Severity = "warn"
    """Completions repeat themselves."""
    tool_spam: Severity = "warn"
    """More tool calls, and no more reward."""
    untrainable: Severity = "warn"
    """Most rollouts teach nothing: their group's rewards are equal, they have no score, or they came too late."""
    mismatch: Severity = "warn"
    """Sampler and trainer disagree about the probability of the same tokens."""
    gradient: Severity = "warn"
    """Gradients many times as long as those before, or not finite."""
    plateau: Severity = "off"
    """Nothing has improved for `plateau_evals` evaluations. Needs `eval_every`."""

    window: Annotated[int, Field(ge=4)] = 10
    """Steps whose mean is compared with the mean of as many others. With fewer, the scatter of a mean is not known."""
    recent: Annotated[int, Field(ge=3)] = 5
    """Steps whose median is compared with a limit: more than half of them must be beyond it."""
    sigmas: Annotated[float, Field(ge=1)] = 5.0
    """Standard errors from which on a change counts. They are estimated from two windows of 10, and there is a look at
    each step: in 200 healthy runs of 100 steps, 3 gave 17 alarms, 4 gave 3, and 5 gave 1."""

    overfitting_evals: Annotated[int, Field(ge=3)] = 3
    """Evaluations that it takes to speak of overfitting. Two make no trend."""
    tradeoff_drop: Annotated[float, Field(ge=0)] = 0.1
    """Fall of a component, as a share of where it began. Less is drift."""
    tradeoff_ignore: tuple[str, ...] = ()
    """Components that may fall, such as those with a negative weight."""
    length_factor: Annotated[float, Field(gt=1)] = 2.0
    """Growth of completions. Reasoning grows them too, but then the reward rises with it (R1, 2501.12948)."""
    length_truncated: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Share of completions that are cut off, if it rose to there. One in four says little of how the task ends."""
    entropy_floor: Annotated[float, Field(ge=0)] = 0.02
    """Nats per token: at 0.02 two completions of 30 tokens are the same more often than not. What reward can still be
    gained is bought with entropy (2505.22617)."""
    repetition_rise: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Rise of the share of repeated 4-grams above the first steps'. JSON and code repeat some from the start."""
    repetition_limit: Annotated[float, Field(gt=0, le=1)] = 0.8
    """The share that is too high whatever it was at the start: a loop."""
    tool_factor: Annotated[float, Field(gt=1)] = 2.0
    """Growth of tool calls per rollout, by one call at least."""
    untrainable_limit: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Share of all rollouts. At 0.8, four of five are sampled for nothing."""
    mismatch_limit: Annotated[float, Field(gt=0)] = 0.02
    """KL divergence per token (k3). bf16 on both sides gives 0.001, so this is no rounding; a policy that moves under
    `max_staleness` may give some thousandths more."""
    gradient_factor: Annotated[float, Field(gt=1)] = 5.0
    """Times the median norm of the steps before: three such gradients in `window` updates, or a single one of four
    times as much. One of 5 now and then belongs to a healthy run, and `max_grad_norm` scales it down."""
    plateau_evals: Annotated[int, Field(ge=2)] = 5
    """Evaluations in a row without improvement."""
    plateau_gain: Annotated[float, Field(ge=0)] = 0.005
    """Reward by which an evaluation must exceed the best so far; less is the noise of few tasks."""
